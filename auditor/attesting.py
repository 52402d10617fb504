"""The attestation of a run: what the gate says about the batch, as bytes, and its envelope."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

from auditor import suites
from auditor.config import Settings, digest
from auditor.errors import TrustError
from auditor.gate_role import why_not
from auditor.model import Mode, Verdict
from auditor.provenance import attestation
from auditor.provenance.codes import CODES
from auditor.provenance.manifest import FileEntry
from auditor.report_records import Report
from auditor.run import Decided, Run
from auditor.screening import judging
from auditor.signing import add_signature, unsigned_envelope
from auditor.site import all_rules, own_version, version_of
from auditor.site_signer import signer_of

_VALID: Final = dt.timedelta(days=30)
#: How long an emergency release may be trained on, unless a second person stands by it.
_EMERGENCY: Final = dt.timedelta(hours=24)


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
    published, release = bool(outputs), run.job.release
    emergency = release is not None and release.break_glass
    audited = attestation.Audited(
        verifier=settings.signing.verifier,
        versions={"auditor": own_version(), "pyod": version_of("pyod")},
        resource=_resource(final),
        batch_sha256=final.batch_digest,
        verdict=Verdict(final.verdict),
        mode=run.job.mode,
        kind=final.batch_kind,
        verified_at=now,
        valid_until=now + (_EMERGENCY if emergency else _VALID),
        policy=settings.name,
        policy_sha256=str(final.reproduce["policy_sha256"]),
        policy_version=approved_version(run, str(final.reproduce["policy_sha256"])),
        rows_in=final.rows_in,
        rows_out=final.rows_published if published else 0,
        rows_quarantined=final.rows_quarantined,
        rules=[attestation.RuleOutcome(r.id, r.status, r.findings) for r in final.rules],
        report_sha256=report_sha256,
        provenance_verified=_vouched(run, decided),
        screened=_poisoning_screened(run, final),
        outputs=outputs,
        manifest_sha256=_text(final.provenance.get("manifest_sha256")),
        set_sha256=quarantine_digest,
        baseline_sha256=run.trusted.baseline.digest if run.trusted.baseline else None,
        ledger_origin=run.ledger.key.origin,
        parent_sha256=release.parent_sha256 if release else None,
        released_under=release.under if release else (),
        break_glass=emergency,
        weights=final.sample_weight,
    )
    return attestation.build(audited)


def _vouched(run: Run, decided: Decided) -> bool:
    """Whether a source stands by the rows: of a release, by the batch that they came with."""
    release = run.job.release
    return release.vouched if release else decided.screened.verification.verified


def policy_digest(run: Run) -> str:
    """What decides in this run, as one sha256: settings, suite, rules, suppressions."""
    known = run.trusted.suppressions
    said = known.listed.sha256 if known else None
    return settings_digest(run.job.settings, run.trusted.expectations, said)


def settings_digest(
    settings: Settings, suite: Sequence[Mapping[str, Any]] | None, suppressed: str | None
) -> str:
    """The same of settings, a suite and suppressions, whether or not there is a run."""
    return digest(
        settings,
        suite=suites.digest(suite) if suite is not None else None,
        rules=[rule.id for rule in all_rules().values()],
        suppressions=suppressed,
    )


def approved_version(run: Run, policy_sha256: str) -> int:
    """The version under which root approved these settings; 0 where it did not.

    Without a trust policy there is nobody who approves, and every version is 1.
    """
    if run.trusted.policy is None:
        return 1
    named = run.trusted.policy.policies.get(run.job.settings.name)
    return named.version if named and named.sha256 == policy_sha256 else 0


def require_approved(run: Run) -> None:
    """Refuse to gate with other settings than those that the trust policy names.

    Raises:
        TrustError: POLICY_DIGEST.
    """
    policy, name = run.trusted.policy, run.job.settings.name
    if policy is None or name not in policy.policies or run.job.mode == Mode.AUDIT:
        return
    found = policy_digest(run)
    if not approved_version(run, found):
        raise TrustError(
            f"POLICY_DIGEST: these settings have the digest {found}, the trust policy approves "
            f"{policy.policies[name].sha256} as {name}. {CODES['POLICY_DIGEST'].remedy}"
        )


def require_gate_role(run: Run) -> None:
    """Refuse to gate where no training job would accept what is signed.

    Raises:
        TrustError: GATE_ROLE. KeyRefused: the key cannot be used.
    """
    policy, job = run.trusted.policy, run.job
    if policy is None or job.mode != Mode.GATE or job.replay:
        return
    if refused := why_not(policy, job.settings, job.clock()):
        raise TrustError(f"GATE_ROLE: {refused}. {' '.join(CODES['GATE_ROLE'])}")


def sealed(run: Run, payload: bytes) -> bytes:
    """The envelope: signed by another process, or openly unsigned without a key."""
    envelope, signer = unsigned_envelope(payload), signer_of(run.job.settings)
    return envelope if signer is None else add_signature(envelope, signer)


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
