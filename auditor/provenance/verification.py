"""A batch and its manifest -> findings. The one entry point of provenance for the pipeline.

Steps: (1) there is an envelope, (2) it holds a manifest, (3) the keys of the source it names signed
it, (4) it obeys the format, (5) it is in time, (6) kind, (7) files, (8) columns and their roles,
(9) contributors and row origins agree, (10) the terms of the source are kept.
Until (3) is passed nothing but the type and the source are read. An unsigned manifest is compared
all the same: what differs from it is worth knowing, but it vouches for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Final

from auditor.model import Finding, Scalar
from auditor.provenance import dsse, manifest, statement
from auditor.provenance.authority import Authority, Signed, Terms, Voucher
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
from auditor.provenance.manifest import PREDICATE_TYPE, Manifest
from auditor.provenance.refused import Refused
from auditor.provenance.row_origin import Columns, compare_origin
from auditor.provenance.rules import Claim, findings
from auditor.provenance.statement import Statement
from auditor.provenance.times import SKEW, format_time

_NO_ROLES: Final[Mapping[str, str | None]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What provenance has to say.

    `manifest` is None where there is none that obeys the format *and* is signed (or openly
    unsigned). `signers` are the ids of the source's keys that signed. `summary` is for the report:
    `status` is `verified`, `unsigned`, `none` or `refused`. `envelope` and `roll` are the bytes
    that were read, kept as evidence; `terms` those of the source.
    """

    findings: tuple[Finding, ...]
    manifest: Manifest | None = None
    signers: tuple[str, ...] = ()
    summary: Mapping[str, Scalar] = field(default_factory=dict)
    envelope: bytes | None = field(default=None, repr=False)
    roll: bytes | None = field(default=None, repr=False)
    terms: Terms = field(default_factory=Terms)

    @property
    def verified(self) -> bool:
        """Whether the source vouches for exactly what was received."""
        return not self.findings and self.manifest is not None and bool(self.signers)

    def refused_for(self, claims: Sequence[Claim]) -> Verification:
        """The same with what was found afterwards; nothing is verified any more if there is any."""
        if not claims:
            return self
        told = self.summary if self.manifest is None else {**self.summary, "status": "refused"}
        return replace(self, findings=(*self.findings, *findings(claims)), summary=told)


def verify(
    envelope: bytes | None,
    *,
    authority: Authority,
    files: Sequence[ReceivedFile],
    schema_fields: Sequence[tuple[str, str, bool]] | None,
    contributors: Mapping[str, int] | None,
    roll: bytes | None,
    now: datetime,
    partitions: Sequence[str] = (),
    source: str | None = None,
    kind: str | None = None,
    roles: Mapping[str, str | None] = _NO_ROLES,
    columns: Columns | None = None,
) -> Verification:
    """Hold a batch against its manifest. Hostile bytes become findings, never an exception.

    Args:
        envelope: the manifest file's bytes, None where there is no manifest.
        authority: whose signatures count for which source: configured keys, or the trust policy.
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
        columns: what rows say of where they are from; None where nothing was read.

    Raises:
        ValueError: for a time without zone, a mistake of the caller.
    """
    if now.tzinfo is None:
        raise ValueError("the time needs a zone")
    if envelope is None:
        none = Claim("NO_MANIFEST", "No manifest came with the batch.")
        return Verification(findings=findings([none]), summary={"status": "none"})
    try:
        opened, voucher = _vouched(envelope, authority, source)
        declared = manifest.read(opened)
    except Refused as refused:
        said = refusal(refused, manifest_sha256=sha256(envelope))
        return replace(said, envelope=envelope, roll=roll)
    unread = list(not_compared(declared, files))
    claims = [
        *_unsigned(voucher.signers),
        *_compare_times(declared, now),
        *compare_kind(declared, kind),
        *compare_files(declared, files),
        *unread,
        *compare_schema(declared, schema_fields, partitions),
        *compare_roles(declared, schema_fields, roles),
        *compare_contributors(declared, None if unread else contributors, roll),
        *_compare_origin(declared, None if unread else columns),
        *voucher.claims(declared, contributors),
    ]
    return Verification(
        findings=findings(claims),
        manifest=declared,
        signers=voucher.signers,
        summary=_summary(envelope, declared, voucher, claims),
        envelope=envelope,
        roll=roll,
        terms=voucher.terms,
    )


def refusal(refused: Refused, **summary: Scalar) -> Verification:
    """The verification where nothing could be compared, for the reason given."""
    told = {"status": "refused", **summary}
    return Verification(findings=findings([Claim.of(refused)]), summary=told)


def _vouched(
    envelope: bytes, authority: Authority, expected: str | None
) -> tuple[Statement, Voucher]:
    """The statement and who signed it: nobody only where the envelope has no signatures at all."""
    opened = dsse.parse(envelope)
    opened.require_type(dsse.IN_TOTO)
    signed = statement.read(opened.payload, PREDICATE_TYPE)
    named = manifest.source_of(signed)
    if expected is not None and named != expected:
        raise Refused("SOURCE_MISMATCH", f'The manifest is of "{named}", expected is "{expected}".')
    if not opened.signatures:
        return signed, Signed(())
    return signed, authority.vouched(named, opened)


def _unsigned(signers: tuple[str, ...]) -> Iterator[Claim]:
    if not signers:
        yield Claim("UNSIGNED", "The manifest carries no signature.")


def _compare_origin(declared: Manifest, columns: Columns | None) -> Iterator[Claim]:
    try:
        yield from compare_origin(declared, columns)
    except Refused as refused:
        yield Claim.of(refused)


def _compare_times(declared: Manifest, now: datetime) -> Iterator[Claim]:
    if declared.created_on > now + SKEW:
        created = format_time(declared.created_on)
        text = f"The manifest was created at {created}, it is {format_time(now)}."
        yield Claim("TIME_FUTURE", text, {"created_on": created})
    if declared.expires_on < now - SKEW:
        expired = format_time(declared.expires_on)
        yield Claim("EXPIRED", f"The manifest expired at {expired}.", {"expires_on": expired})


def _summary(
    envelope: bytes, declared: Manifest, voucher: Voucher, claims: Sequence[Claim]
) -> dict[str, Scalar]:
    matched = all(claim.code == "UNSIGNED" for claim in claims)
    status = "refused" if not matched else "verified" if voucher.signers else "unsigned"
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
        "signers": " ".join(voucher.signers),
        "principals": " ".join(voucher.principals),
        "subject_sha256": declared.sha256,
        "manifest_sha256": sha256(envelope),
        # What it was made from: a recall follows these.
        **({"parents": " ".join(declared.parents)} if declared.parents else {}),
    }
