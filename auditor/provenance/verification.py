"""A batch and its manifest -> findings. The one entry point of provenance for the pipeline.

Steps: (1) there is an envelope, (2) it holds a manifest, (3) the keys of the source it names signed
it, (4) it obeys the format, (5) it is in time, (6) kind, (7) files, (8) columns and their roles,
(9) contributors agree.
Until (3) is passed nothing but the type and the source are read. An unsigned manifest is compared
all the same: what differs from it is worth knowing, but it vouches for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final

from auditor.model import Finding, Scalar
from auditor.provenance import dsse, manifest, statement
from auditor.provenance.comparison import (
    ReceivedFile,
    compare_contributors,
    compare_files,
    compare_kind,
    compare_roles,
    compare_schema,
    not_compared,
)
from auditor.provenance.digests import sha256
from auditor.provenance.keys import PublicKey
from auditor.provenance.manifest import PREDICATE_TYPE, Manifest
from auditor.provenance.refused import Refused, printable
from auditor.provenance.rules import Claim, findings
from auditor.provenance.statement import Statement
from auditor.provenance.times import SKEW, format_time

_NO_ROLES: Final[Mapping[str, str | None]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What provenance has to say.

    `manifest` is None where there is none that obeys the format *and* is signed (or openly
    unsigned). `signers` are the ids of the source's keys that signed. `summary` is for the report:
    `status` is `verified`, `unsigned`, `none` or `refused`.
    """

    findings: tuple[Finding, ...]
    manifest: Manifest | None = None
    signers: tuple[str, ...] = ()
    summary: Mapping[str, Scalar] = field(default_factory=dict)

    @property
    def verified(self) -> bool:
        """Whether the source vouches for exactly what was received."""
        return not self.findings and self.manifest is not None and bool(self.signers)


def verify(
    envelope: bytes | None,
    *,
    keys: Mapping[str, Sequence[PublicKey]],
    threshold: int = 1,
    files: Sequence[ReceivedFile],
    schema_fields: Sequence[tuple[str, str, bool]] | None,
    contributors: Mapping[str, int] | None,
    roll: bytes | None,
    now: datetime,
    partitions: Sequence[str] = (),
    source: str | None = None,
    kind: str | None = None,
    roles: Mapping[str, str | None] = _NO_ROLES,
) -> Verification:
    """Hold a batch against its manifest. Hostile bytes become findings, never an exception.

    Args:
        envelope: the manifest file's bytes, None where there is no manifest.
        keys: source -> keys that may speak for it.
        threshold: how many distinct keys must have signed.
        files: every file that was received, symbolic links included.
        schema_fields: (name, arrow type, nullable) of each column; None where nothing was read.
        contributors: id -> rows in the batch; None where no column names the contributor.
        roll: the contributor roll's bytes, None where there is none.
        now: the time, with its zone.
        partitions: hive keys that the reader turned into columns.
        source: the source this batch must be from, where the site knows it (an inbox a source).
        kind: what the batch is audited as (training, ...); None where that is not known.
        roles: role -> the column that plays it, None where no column does; others are not held
            against the manifest.

    Raises:
        ValueError: for a threshold below 1 or a time without zone: mistakes of the caller.
    """
    if threshold < 1 or now.tzinfo is None:
        raise ValueError("the threshold must be at least 1 and the time needs a zone")
    if envelope is None:
        none = Claim("NO_MANIFEST", "No manifest came with the batch.")
        return Verification(findings=findings([none]), summary={"status": "none"})
    try:
        opened, signers = _vouched(envelope, keys, threshold, source)
        declared = manifest.read(opened)
    except Refused as refused:
        return refusal(refused, manifest_sha256=sha256(envelope))
    unread = list(not_compared(declared, files))
    claims = [
        *_unsigned(signers),
        *_compare_times(declared, now),
        *compare_kind(declared, kind),
        *compare_files(declared, files),
        *unread,
        *compare_schema(declared, schema_fields, partitions),
        *compare_roles(declared, schema_fields, roles),
        *compare_contributors(declared, None if unread else contributors, roll),
    ]
    return Verification(
        findings=findings(claims),
        manifest=declared,
        signers=signers,
        summary=_summary(envelope, declared, signers, claims),
    )


def refusal(refused: Refused, **summary: Scalar) -> Verification:
    """The verification where nothing could be compared, for the reason given."""
    told = {"status": "refused", **summary}
    return Verification(findings=findings([Claim.of(refused)]), summary=told)


def _vouched(
    envelope: bytes, keys: Mapping[str, Sequence[PublicKey]], threshold: int, expected: str | None
) -> tuple[Statement, tuple[str, ...]]:
    """The statement and who signed it: nobody only where the envelope has no signatures at all."""
    opened = dsse.parse(envelope)
    opened.require_type(dsse.IN_TOTO)
    signed = statement.read(opened.payload, PREDICATE_TYPE)
    named = manifest.source_of(signed)
    if expected is not None and named != expected:
        raise Refused("SOURCE_MISMATCH", f'The manifest is of "{named}", expected is "{expected}".')
    if not opened.signatures:
        return signed, ()
    if named not in keys:
        raise Refused("SOURCE_UNKNOWN", f'No keys are configured for "{printable(named)}".')
    allowed = keys[named]
    signers = dsse.verify(opened, keys=allowed, threshold=threshold, payload_type=dsse.IN_TOTO)
    return signed, signers


def _unsigned(signers: tuple[str, ...]) -> Iterator[Claim]:
    if not signers:
        yield Claim("UNSIGNED", "The manifest carries no signature.")


def _compare_times(declared: Manifest, now: datetime) -> Iterator[Claim]:
    if declared.created_on > now + SKEW:
        created = format_time(declared.created_on)
        text = f"The manifest was created at {created}, it is {format_time(now)}."
        yield Claim("TIME_FUTURE", text, {"created_on": created})
    if declared.expires_on < now - SKEW:
        expired = format_time(declared.expires_on)
        yield Claim("EXPIRED", f"The manifest expired at {expired}.", {"expires_on": expired})


def _summary(
    envelope: bytes, declared: Manifest, signers: tuple[str, ...], claims: Sequence[Claim]
) -> dict[str, Scalar]:
    matched = all(claim.code == "UNSIGNED" for claim in claims)
    status = "refused" if not matched else "verified" if signers else "unsigned"
    return {
        "status": status,
        "source": declared.source,
        "batch_id": declared.batch_id,
        "sequence": declared.sequence,
        "kind": declared.kind,
        "files": len(declared.files),
        "rows": declared.rows,
        "contributors": declared.roll.count if declared.roll else None,
        "created_on": format_time(declared.created_on),
        "expires_on": format_time(declared.expires_on),
        "signers": " ".join(signers),
        "subject_sha256": declared.sha256,
        "manifest_sha256": sha256(envelope),
    }
