"""in-toto Statement v1: one subject with a digest, a predicate type, a predicate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from auditor.provenance import strict_json
from auditor.provenance.fields import Fields
from auditor.provenance.refused import Refused, printable
from auditor.provenance.strict_json import Json

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement of the expected type whose contents have not been judged yet."""

    document: Fields
    predicate: Fields

    def subject(self) -> tuple[str, str]:
        """Name and sha256 of the only subject.

        Raises:
            Refused: SUBJECT_COUNT, DIGEST_ALGORITHM or a FIELD code.
        """
        subjects = list(self.document.sections("subject"))
        if len(subjects) != 1:
            raise Refused("SUBJECT_COUNT", f"There are {len(subjects)} subjects.")
        return subjects[0].text("name"), subjects[0].digest("digest")


def read(payload: bytes, predicate_type: str) -> Statement:
    """Read a statement and demand its type.

    Raises:
        Refused: PREDICATE_TYPE, a JSON code or a FIELD code.
    """
    document = Fields.of(strict_json.loads(payload), "statement")
    for name, wanted in (("_type", STATEMENT_TYPE), ("predicateType", predicate_type)):
        if (found := document.text(name)) != wanted:
            raise Refused("PREDICATE_TYPE", f'{name} is "{printable(found)}", not {wanted}.')
    return Statement(document, document.section("predicate"))


def build(name: str, digest: str, predicate_type: str, predicate: Mapping[str, Json]) -> bytes:
    """The canonical bytes (RFC 8785) of a statement, ready to be signed.

    Raises:
        Refused: JSON_INVALID where a value has no canonical form.
    """
    return strict_json.canonical(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": name, "digest": {"sha256": digest}}],
            "predicateType": predicate_type,
            "predicate": dict(predicate),
        }
    )
