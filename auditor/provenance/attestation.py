"""The gate's verdict as a SLSA Verification Summary (VSA v1) with one extension of our own.

First form: it names the ledger's origin but carries no proof. FAILED verdicts are written too: that
a batch was refused must be as provable as that one was let in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from auditor.model import Mode, Verdict
from auditor.provenance import entries, statement
from auditor.provenance.digests import is_sha256, subject_digest
from auditor.provenance.manifest import FileEntry
from auditor.provenance.strict_json import Json
from auditor.provenance.times import format_time
from auditor.sample_weight import COLUMN, SampleWeight

PREDICATE_TYPE: Final = "https://slsa.dev/verification_summary/v1"
EXTENSION: Final = "https://auditor.example/audit/v1"

_PUBLISHING: Final = frozenset({Verdict.ACCEPT, Verdict.QUARANTINE})


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """One rule in this run: `outcome` is ran, skipped or failed."""

    id: str
    outcome: str
    findings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """What the gate knows when it has decided. Digests are lowercase hex sha256.

    `resource` is `source@batch` (or the batch's name without a manifest), `batch_sha256` the digest
    of the input. `provenance_verified`: the source vouched for exactly these bytes. `screened`:
    every rule against poisoning that the policy requires ran. `rows_*` are counts of the batch.
    A release names the attestation of the batch that its rows come from (`parent_sha256`) and the
    signed decisions behind it; `break_glass`: one person's, in an emergency.
    """

    verifier: str
    versions: Mapping[str, str]
    resource: str
    batch_sha256: str
    verdict: Verdict
    mode: Mode
    kind: str
    verified_at: datetime
    valid_until: datetime
    policy: str
    policy_sha256: str
    policy_version: int
    rows_in: int
    rows_out: int
    rows_quarantined: int
    rules: Sequence[RuleOutcome]
    report_sha256: str
    provenance_verified: bool
    screened: bool
    outputs: Sequence[FileEntry] = ()
    manifest_sha256: str | None = None  # of the envelope's bytes
    set_sha256: str | None = None
    baseline_sha256: str | None = None
    ledger_origin: str | None = None
    parent_sha256: str | None = None
    released_under: Sequence[str] = ()
    break_glass: bool = False
    weights: SampleWeight | None = None  # that the outputs carry

    @property
    def passed(self) -> bool:
        """Whether a training job may use the output. A run that only observes never says so."""
        return self.verdict in _PUBLISHING and self.mode is Mode.GATE

    def __post_init__(self) -> None:
        """Refuse what contradicts itself, before it is signed (ValueError)."""
        if not self.rules:
            raise ValueError("an audit without rules attests nothing")
        if self.verified_at >= self.valid_until:
            raise ValueError("valid_until must be after verified_at")
        _require_digests(self)
        _require_published(self) if self.passed else _require_unpublished(self)


def build(audited: Audited) -> bytes:
    """The canonical bytes (RFC 8785) of the statement, ready to be signed.

    The subject is the set of output files, or the input where nothing was published.
    """
    digest = subject_digest(audited.outputs) if audited.passed else audited.batch_sha256
    predicate: dict[str, Json] = {
        "verifier": {"id": audited.verifier, "version": dict(audited.versions)},
        "timeVerified": format_time(audited.verified_at),
        "resourceUri": f"dataset:{audited.resource}",
        "policy": {
            "uri": f"policy:{audited.policy}",
            "digest": {"sha256": audited.policy_sha256},
        },
        "inputAttestations": _input_attestations(audited),
        "verificationResult": "PASSED" if audited.passed else "FAILED",
        "verifiedLevels": list(levels(audited)),
        EXTENSION: _extension(audited),
    }
    return statement.build(f"dataset:{audited.resource}", digest, PREDICATE_TYPE, predicate)


def levels(audited: Audited) -> tuple[str, ...]:
    """What was verified; only FAILED where nothing was published."""
    if not audited.passed:
        return ("FAILED",)
    held = {
        "AUDITOR_PROVENANCE_VERIFIED": audited.provenance_verified,
        "AUDITOR_POISONING_SCREENED": audited.screened,
        "AUDITOR_NO_BASELINE": audited.baseline_sha256 is None,
        "AUDITOR_BREAK_GLASS": audited.break_glass,
    }
    return tuple(level for level, holds in held.items() if holds)


def _extension(audited: Audited) -> dict[str, Json]:
    extension: dict[str, Json] = {
        "inputs": [{"name": audited.resource, "digest": {"sha256": audited.batch_sha256}}],
        "outputs": {"files": [entries.as_json(file) for file in audited.outputs]},
        "rows": {
            "in": audited.rows_in,
            "out": audited.rows_out,
            "quarantined": audited.rows_quarantined,
        },
        "report": {"sha256": audited.report_sha256},
        "rules": [
            {"id": rule.id, "outcome": rule.outcome, "findings": rule.findings}
            for rule in audited.rules
        ],
        "verdict": audited.verdict.value,
        "mode": "enforce" if audited.mode is Mode.GATE else audited.mode.value,
        "kind": audited.kind,
        "policyVersion": audited.policy_version,
        "validUntil": format_time(audited.valid_until),
    }
    if audited.set_sha256:
        extension["setDigest"] = {"sha256": audited.set_sha256}
    if audited.baseline_sha256:
        extension["baseline"] = {"sha256": audited.baseline_sha256}
    if audited.released_under:
        under: list[Json] = [{"sha256": digest} for digest in audited.released_under]
        extension["releasedUnder"] = under
    if audited.weights is not None:
        extension["sampleWeight"] = _weights(audited.weights)
    if audited.ledger_origin:
        extension["ledger"] = {"origin": audited.ledger_origin}
    return extension


def _weights(said: SampleWeight) -> dict[str, Json]:
    """A share is text, as every fraction that decides; a release has no rule."""
    rule = {"rule": said.rule} if said.rule else {}
    return {"column": COLUMN, "share": repr(said.share), "zero": said.rows, **rule}


def _input_attestations(audited: Audited) -> list[Json]:
    named = {"manifest": audited.manifest_sha256, "parent": audited.parent_sha256}
    return [{"uri": uri, "digest": {"sha256": one}} for uri, one in named.items() if one]


def _require_digests(audited: Audited) -> None:
    optional = (
        *(audited.manifest_sha256, audited.set_sha256, audited.baseline_sha256),
        *(audited.parent_sha256, *audited.released_under),
    )
    needed = (audited.batch_sha256, audited.policy_sha256, audited.report_sha256)
    listed = (*needed, *(digest for digest in optional if digest is not None))
    for digest in (*listed, *(file.sha256 for file in audited.outputs)):
        if not is_sha256(digest):
            raise ValueError(f"{digest!r} is not a lowercase hex sha256")


def _require_published(audited: Audited) -> None:
    if audited.rows_in != audited.rows_out + audited.rows_quarantined:
        raise ValueError("rows in must be rows out and rows quarantined together")
    if sum(file.rows for file in audited.outputs) != audited.rows_out or not audited.outputs:
        raise ValueError("rows out must be the rows of the output files, at least one file")
    if (audited.verdict is Verdict.QUARANTINE) != (audited.rows_quarantined > 0):
        raise ValueError("QUARANTINE sets rows aside, ACCEPT sets none aside")
    if audited.rows_quarantined and audited.set_sha256 is None:
        raise ValueError("rows set aside need the digest of their set")
    if audited.weights is not None and audited.weights.rows > audited.rows_out:
        raise ValueError("more rows have weight 0 than are published")


def _require_unpublished(audited: Audited) -> None:
    if audited.outputs or audited.rows_out or audited.weights:
        raise ValueError("a verdict that is not PASSED publishes nothing")
    if not 0 <= audited.rows_quarantined <= audited.rows_in:
        raise ValueError("more rows set aside than came in")
