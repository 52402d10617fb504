"""A frozen data set: one signed list of many audited batches, so that a training job names one.

It repeats nothing of the attestations; it names them by digest. Whether one of them was recalled
since is for the status to say.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from auditor.provenance import statement
from auditor.provenance.digests import document_digest
from auditor.provenance.fields import Fields
from auditor.provenance.refused import Refused, printable
from auditor.provenance.strict_json import Json
from auditor.provenance.times import format_time

PREDICATE_TYPE: Final = "https://auditor.example/attestation/frozen-dataset/v1"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@+-]{0,127}")
_FIELDS: Final = frozenset({"parents", "rows", "createdOn"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """An audited batch: `resource` as its attestation says, without `dataset:`.

    `attestation_sha256` is that of the envelope's bytes, `published_sha256` that of the files: the
    name of the folder that both lie in. `rows` were published.
    """

    resource: str
    attestation_sha256: str
    published_sha256: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """A frozen data set. `sha256` is the subject's: of the list of parents, in its order."""

    name: str
    sha256: str
    parents: tuple[Parent, ...]
    rows: int
    created_on: datetime


def is_name(text: str) -> bool:
    """Whether a data set may be called so."""
    return _NAME.fullmatch(text) is not None


def build(name: str, parents: Sequence[Parent], created_on: datetime) -> bytes:
    """The canonical payload, ready to be signed; parents are sorted by resource and digest.

    Raises:
        Refused: what a reader would refuse.
    """
    ordered = sorted(parents, key=lambda one: (one.resource, one.attestation_sha256))
    listed: list[Json] = [_as_json(one) for one in ordered]
    predicate: dict[str, Json] = {
        "parents": listed,
        "rows": sum(one.rows for one in ordered),
        "createdOn": format_time(created_on),
    }
    payload = statement.build(f"dataset:{name}", document_digest(listed), PREDICATE_TYPE, predicate)
    read(payload)
    return payload


def read(payload: bytes) -> Frozen:
    """The data set in a payload, whoever signed it.

    Raises:
        Refused: PREDICATE_TYPE, FILES_EMPTY, ROWS, SUBJECT_DIGEST, a JSON or FIELD code.
    """
    said = statement.read(payload, PREDICATE_TYPE)
    predicate, (subject, digest) = said.predicate, said.subject()
    predicate.require_known(_FIELDS, "a data set")
    if not subject.startswith("dataset:") or not is_name(subject.removeprefix("dataset:")):
        raise Refused("FIELD_VALUE", f'"{printable(subject)}" is not the name of a data set.')
    parents = tuple(map(_parent, predicate.sections("parents")))
    if not parents:
        raise Refused("FILES_EMPTY", "A data set of no batch is none.")
    if len({one.published_sha256 for one in parents}) < len(parents):
        raise Refused("FIELD_VALUE", "The files of one batch are there twice.")
    if document_digest([_as_json(one) for one in parents]) != digest:
        raise Refused("SUBJECT_DIGEST", "The list of batches has another digest.")
    if predicate.count("rows") != sum(one.rows for one in parents):
        raise Refused("ROWS", "The batches add up to another number of rows.")
    return Frozen(
        name=subject.removeprefix("dataset:"),
        sha256=digest,
        parents=parents,
        rows=predicate.count("rows"),
        created_on=predicate.time("createdOn"),
    )


def _as_json(parent: Parent) -> dict[str, Json]:
    return {
        "name": f"dataset:{parent.resource}",
        "digest": {"sha256": parent.attestation_sha256},
        "published": {"sha256": parent.published_sha256},
        "rows": parent.rows,
    }


def _parent(fields: Fields) -> Parent:
    name = fields.text("name")
    if not name.startswith("dataset:"):
        raise Refused("FIELD_VALUE", f'{fields.where}.name is "{printable(name)}".')
    return Parent(
        resource=name.removeprefix("dataset:"),
        attestation_sha256=fields.digest("digest"),
        published_sha256=fields.digest("published"),
        rows=fields.count("rows"),
    )
