"""The signed list of known-bad tokens, domains and file digests: written, and read once verified.

An in-toto statement in a DSSE envelope, like a manifest. The subject's digest is that of the
entries in canonical JSON. A list expires: one that was true last year says nothing about today.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from auditor.provenance import dsse, statement
from auditor.provenance.digests import document_digest, is_sha256, sha256
from auditor.provenance.fields import Fields
from auditor.provenance.keys import PublicKey
from auditor.provenance.refused import Refused, printable
from auditor.provenance.strict_json import Json
from auditor.provenance.times import SKEW, format_time
from auditor.texts.signature_list import SignatureList, domain, token

PREDICATE_TYPE: Final = "https://auditor.example/attestation/known-bad/v1"
KINDS: Final = ("tokens", "domains", "files")
_FIELDS: Final = frozenset({*KINDS, "version", "createdOn", "expiresOn"})


def build(
    name: str,
    *,
    version: int,
    created_on: datetime,
    expires_on: datetime,
    tokens: Iterable[str] = (),
    domains: Iterable[str] = (),
    files: Iterable[str] = (),
) -> bytes:
    """The payload of a list, ready to be signed; entries in the form they are compared in.

    Raises:
        ValueError: an entry is none.
        Refused: a field of the list breaks a rule of the format.
    """
    given = {"tokens": tokens, "domains": domains, "files": files}
    entries = {kind: sorted(_entries(kind, values)) for kind, values in given.items()}
    predicate: dict[str, Json] = {
        **{kind: list(values) for kind, values in entries.items()},
        "version": version,
        "createdOn": format_time(created_on),
        "expiresOn": format_time(expires_on),
    }
    payload = statement.build(name, _digest(predicate), PREDICATE_TYPE, predicate)
    read(payload)
    return payload


def verify(
    envelope: bytes, *, keys: Sequence[PublicKey], threshold: int, now: datetime
) -> SignatureList:
    """The list, if enough of `keys` signed it and it is in force.

    Raises:
        Refused: with the code of the first rule that is broken.
    """
    opened = dsse.parse(envelope)
    dsse.verify(opened, keys=keys, threshold=threshold, payload_type=dsse.IN_TOTO)
    found = read(opened.payload)
    if found.created_on > now + SKEW:
        raise Refused("TIME_FUTURE", f"The list is of {format_time(found.created_on)}.")
    if found.expires_on <= now:
        raise Refused("EXPIRED", f"The list expired on {format_time(found.expires_on)}.")
    return found


def read(payload: bytes) -> SignatureList:
    """The list in a payload, whoever signed it.

    Raises:
        Refused: with the code of the first rule that is broken.
    """
    said = statement.read(payload, PREDICATE_TYPE)
    predicate = said.predicate
    unknown = sorted(set(predicate.values) - _FIELDS)
    if unknown:
        raise Refused("FIELD_UNKNOWN", f'There is no field "{printable(unknown[0])}".')
    name, digest = said.subject()
    if digest != _digest(predicate.values):
        raise Refused("SUBJECT_DIGEST", "The list is not the one that its digest names.")
    created, expires = predicate.time("createdOn"), predicate.time("expiresOn")
    if expires <= created:
        raise Refused("TIME_ORDER", "The list expires before it was made.")
    entries = {kind: _canonical(kind, predicate) for kind in KINDS}
    if not any(entries.values()):
        raise Refused("FIELD_VALUE", "The list is empty.")
    return SignatureList(
        name=name,
        version=predicate.count("version"),
        digest=sha256(payload),
        created_on=created,
        expires_on=expires,
        **entries,
    )


def _digest(predicate: Mapping[str, Json]) -> str:
    fields = Fields(predicate, "predicate")
    return document_digest({kind: list(fields.texts(kind)) for kind in KINDS})


def _canonical(kind: str, predicate: Fields) -> frozenset[str]:
    """The entries of a kind. Another spelling than ours would be looked for and never found."""
    values = predicate.texts(kind)
    try:
        found = _entries(kind, values)
    except ValueError as error:
        raise Refused("FIELD_VALUE", f"{kind}: {error}.") from error
    if sorted(found) != list(values):
        raise Refused("FIELD_VALUE", f"{kind} must be sorted, folded and without repetition.")
    return found


def _entries(kind: str, values: Iterable[str]) -> frozenset[str]:
    shape: Callable[[str], str] = {"tokens": token, "domains": domain, "files": _file}[kind]
    return frozenset(_shaped(shape, value) for value in values)


def _shaped(shape: Callable[[str], str], value: str) -> str:
    try:
        return shape(value)
    except ValueError as error:
        raise ValueError(f'"{printable(value)}" {error}') from error


def _file(text: str) -> str:
    digest = text.strip().lower()
    if not is_sha256(digest):
        raise ValueError("is not a sha256 in 64 hex digits")
    return digest
