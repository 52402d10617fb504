"""The attestation of a run: what the gate says about the batch, as bytes, and its envelope."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

from auditor.model import Report, Verdict
from auditor.provenance import attestation
from auditor.provenance.manifest import FileEntry
from auditor.run import Decided, Run
from auditor.screening import judging
from auditor.signing import sign, unsigned_envelope
from auditor.site import own_version, version_of

_VALID: Final = dt.timedelta(days=30)


def statement_of(
    run: Run,
    decided: Decided,
    final: Report,
    outputs: Sequence[FileEntry],
    quarantine_digest: str | None,
    report_sha256: str,
) -> bytes:
    """The verdict as the bytes to sign."""
    settings, now = run.job.settings, run.job.clock()
    published = bool(outputs)
    audited = attestation.Audited(
        verifier=settings.signing.verifier,
        versions={"auditor": own_version(), "pyod": version_of("pyod")},
        resource=_resource(final),
        batch_sha256=final.batch_digest,
        verdict=Verdict(final.verdict),
        mode=run.job.mode,
        kind=final.batch_kind,
        verified_at=now,
        valid_until=now + _VALID,
        policy=settings.name,
        policy_sha256=str(final.reproduce["policy_sha256"]),
        policy_version=1,
        rows_in=final.rows_in,
        rows_out=final.rows_published if published else 0,
        rows_quarantined=final.rows_quarantined,
        rules=[attestation.RuleOutcome(r.id, r.status, r.findings) for r in final.rules],
        report_sha256=report_sha256,
        provenance_verified=decided.screened.verification.verified,
        screened=_poisoning_screened(run, final),
        outputs=outputs,
        manifest_sha256=_text(final.provenance.get("manifest_sha256")),
        set_sha256=quarantine_digest,
        baseline_sha256=run.trusted.baseline.digest if run.trusted.baseline else None,
    )
    return attestation.build(audited)


def sealed(run: Run, payload: bytes) -> bytes:
    """The envelope: signed by another process, or openly unsigned without a key."""
    signing = run.job.settings.signing
    if signing.key is None:
        return unsigned_envelope(payload)
    return sign(payload, key=signing.key, passphrase_env=signing.passphrase_env)


def _resource(final: Report) -> str:
    source, batch_id = final.provenance.get("source"), final.provenance.get("batch_id")
    return f"{source}@{batch_id}" if source and batch_id else final.batch_name


def _poisoning_screened(run: Run, final: Report) -> bool:
    """Whether every rule that judges by the baseline ran, and was not reduced to a note."""
    if run.trusted.baseline is None:
        return False
    ran = {rule.id for rule in final.rules if rule.status == "ran" and rule.effect != "note"}
    return set(judging(run.trusted.baseline)) <= ran


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
