"""The status of a site: a short-lived signed statement of what is recalled and how long the log is.

The timestamp role of TUF. Whoever can only withhold it, or show an old one, cannot hide a recall
for longer than a day: an attestation counts together with a fresh status, not alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from auditor.provenance import statement
from auditor.provenance.digests import document_digest, is_sha256
from auditor.provenance.fields import Fields
from auditor.provenance.refused import Refused
from auditor.provenance.strict_json import Json
from auditor.provenance.times import format_time

PREDICATE_TYPE: Final = "https://auditor.example/attestation/status/v1"
#: How long a status may hold.
VALID: Final = timedelta(hours=24)

_NAME: Final = "status"
_FIELDS: Final = frozenset(
    {"policyVersion", "recalled", "checkpoint", "consistency", "issuedOn", "expiresOn"}
)


@dataclass(frozen=True, slots=True)
class Continuation:
    """The consistency proof from the log of `old` entries to the checkpoint of the status."""

    old: int
    hashes: tuple[str, ...]  # base64


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What holds at `issued_on`. `recalled`: sha256 of anything that must not be used any more.

    `checkpoint` is the signed note of the log; its own signature is not verified here.
    """

    policy_version: int
    recalled: frozenset[str]
    checkpoint: str | None
    consistency: tuple[Continuation, ...]
    issued_on: datetime
    expires_on: datetime


def build(
    *,
    policy_version: int,
    recalled: Iterable[str],
    issued_on: datetime,
    checkpoint: str | None = None,
    consistency: Sequence[Continuation] = (),
) -> bytes:
    """The canonical payload, ready to be signed; it holds for 24 hours.

    Raises:
        Refused: what a reader would refuse.
    """
    listed: list[Json] = [*sorted(set(recalled))]
    predicate: dict[str, Json] = {
        "policyVersion": policy_version,
        "recalled": listed,
        "issuedOn": format_time(issued_on),
        "expiresOn": format_time(issued_on + VALID),
    }
    if checkpoint is not None:
        predicate["checkpoint"] = checkpoint
        predicate["consistency"] = [
            {"old": one.old, "hashes": list(one.hashes)} for one in consistency
        ]
    payload = statement.build(_NAME, document_digest(listed), PREDICATE_TYPE, predicate)
    read(payload)
    return payload


def read(payload: bytes) -> Status:
    """The status in a payload, whoever signed it.

    Raises:
        Refused: with the code of the first rule that is broken.
    """
    said = statement.read(payload, PREDICATE_TYPE)
    predicate = said.predicate
    predicate.require_known(_FIELDS, "a status")
    recalled = predicate.texts("recalled")
    if not all(is_sha256(one) for one in recalled):
        raise Refused("DIGEST_ALGORITHM", "recalled needs sha256 in lowercase hex.")
    if said.subject() != (_NAME, document_digest(list(recalled))):
        raise Refused("SUBJECT_DIGEST", "The list of recalls is not the one that its digest names.")
    found = Status(
        policy_version=predicate.count("policyVersion"),
        recalled=frozenset(recalled),
        checkpoint=predicate.optional_text("checkpoint"),
        consistency=tuple(map(_continuation, _listed(predicate))),
        issued_on=predicate.time("issuedOn"),
        expires_on=predicate.time("expiresOn"),
    )
    if not found.issued_on < found.expires_on <= found.issued_on + VALID:
        raise Refused("TIME_ORDER", "A status expires after it is issued, within 24 hours.")
    return found


def _listed(predicate: Fields) -> Iterable[Fields]:
    return predicate.sections("consistency") if predicate.has("consistency") else ()


def _continuation(fields: Fields) -> Continuation:
    return Continuation(fields.count("old"), fields.texts("hashes"))
