"""ingest -> screen -> decide -> publish: the only place that composes.

Each step takes what the one before returned, so that a scheduler may retry or cache them one by
one; `audit` runs them all. Holds the second `except Exception` of the project: whatever happens
once a run exists ends as HOLD, never as a clean batch.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from auditor import site_suppressions
from auditor.attesting import require_approved, require_gate_role
from auditor.engine import Judged, judge
from auditor.errors import (
    AuditorError,
    BatchError,
    ConfigError,
    LedgerError,
    UnfinishedError,
)
from auditor.ledger import Ledger, Via
from auditor.model import Effect, Mode, Outcome, Verdict
from auditor.policy import Policy, decide, senders_of
from auditor.provenance.manifest import FileEntry
from auditor.provenance.verification import Verification
from auditor.publish import write_published, write_quarantined
from auditor.quarantine import RowSet, collect, set_digest
from auditor.readers import Ingest, ingest, ingest_table
from auditor.recording import report_of, write_broken, write_run
from auditor.remembering import history_of, vouched
from auditor.report_records import Report, RoleRecord, SelfMeasurement
from auditor.run import Decided, Job, Result, Run, Screened
from auditor.screening import (
    context_for,
    in_order,
    limits_of,
    policy_of,
    provenance_outcomes,
    quota_outcomes,
    reader_outcomes,
    roles_of,
    verify_manifest,
    waiting,
    with_self_measurement,
)
from auditor.set_aside_before import resubmission
from auditor.site import (
    INCOMPLETE,
    all_rules,
    load_trusted,
    workspace,
)
from auditor.site_ledger import ledger_of
from auditor.suppressing import suppressed
from auditor.trimming import unmet, weights_of
from auditor.trust.policy import TrustPolicy
from auditor.trust_files import Pinned, in_force
from auditor.ulid import RANDOM_BYTES, new_ulid
from auditor.workspace import Visible

_UNJUDGED: Final = (
    "no rule asks for more than a note, but without a baseline labels, outliers and copies were "
    "only ranked, not judged: this is not a clean bill of health"
)


def audit(job: Job) -> Result:
    """All steps.

    Raises:
        ConfigError, BaselineError, TrustError: the set-up is wrong; no run was begun.
        BatchError: the input cannot be opened.
        OSError, LedgerError: not even a HOLD could be written (disk full); the next run logs it.
        UnfinishedError: the verdict is logged, its results are not visible; the next run shows it.
    """
    return finish(begin(job))


def finish(run: Run, steps: Steps | None = None) -> Result:
    """All steps of a run that was begun; `steps` replaces them by wrapped ones. See `audit`."""
    steps = steps or Steps()
    try:
        screened = steps.screen(run, steps.ingest(run))
        return steps.publish(run, steps.decide(run, screened))
    except (BatchError, ConfigError) as error:
        if run.subject is None:  # nothing was received: a mistake of the caller
            run.stage.remove()
            raise
        if isinstance(error, ConfigError) and run.job.mode == Mode.AUDIT:
            _give_up(run, "settings")
            raise
        return hold(run, error)  # in a gate a batch without the agreed columns is held
    except KeyboardInterrupt:
        _give_up(run, "interrupted")
        raise
    except Exception as error:  # noqa: BLE001 - whatever broke, the batch is held
        return hold(run, error)


def begin(job: Job) -> Run:
    """Load what is trusted, finish or log what earlier processes left, make the run's folders."""
    roots = workspace(job.settings)
    now = job.clock()
    trusted = load_trusted(job.settings, roots.key(), now)
    ledger = ledger_of(job.settings)
    for recovered in roots.recover(ledger, now):
        job.say(f"an earlier run {recovered.run} was {recovered.outcome}")
    policy = _trust_policy(job, ledger, now)
    said = site_suppressions.load(job.settings, job.mode, policy, all_rules(), now)
    trusted = replace(trusted, policy=policy, suppressions=said)
    run = Run(job, trusted, roots.begin(new_ulid(now, os.urandom(RANDOM_BYTES))), ledger)
    try:
        require_approved(run)
        require_gate_role(run)
        run.history = history_of(run)
    except BaseException:
        run.stage.remove()  # nothing was received yet
        raise
    return run


def _trust_policy(job: Job, ledger: Ledger, now: dt.datetime) -> TrustPolicy | None:
    """The trust policy in force, in the ledger if it is new there; None where none is set."""
    trust = job.settings.trust
    if trust.policy is None or trust.sha256 is None:
        return None
    via: Via = "cli" if job.mode == Mode.AUDIT else "gate"
    return in_force(Pinned(trust.policy, trust.sha256), ledger, at=now, via=via)


def ingest_step(run: Run, kept: Ingest | None = None) -> Ingest:
    """Copy, hash and parse the input once; the ledger learns that the batch was received.

    `kept` is what an earlier ingest of the same bytes left, verified again by the caller and moved
    to this run's scratch folder; then nothing is read.
    """
    run.job.say("reading the batch")
    if kept is not None:
        ingested = kept
    elif run.job.table is not None:
        ingested = ingest_table(run.job.table, staging=run.stage.scratch)
    else:
        ingested = ingest(
            run.job.sources,
            staging=run.stage.scratch,
            limits=limits_of(run),
            broken=run.job.settings.policy.broken_files,
            progress=run.job.progress,
        )
    run.subject = ingested.digest
    run.log("batch.received")
    return ingested


def screen_step(run: Run, ingested: Ingest) -> Screened:
    """Provenance, then every enabled detector, then the audit itself. Nothing is decided."""
    began = time.process_time()
    run.log("batch.screening")
    roles: tuple[RoleRecord, ...] = ()
    if ingested.batch is not None:
        assigned, roles = roles_of(run, ingested.batch)
        ingested = replace(ingested, batch=ingested.batch.with_roles(assigned))
    ordered = in_order(run, verify_manifest(run, ingested))
    verification = ordered.verification
    enabled = [d for d in run.job.chosen if run.job.settings.enabled(d.rule.id)]
    outcomes = [*reader_outcomes(ingested, run), *provenance_outcomes(run, verification)]
    judged: list[Judged] = []
    context = context_for(run, ingested.digest, vouched=vouched(verification))
    named = verification.terms.rows_named
    policy = policy_of(run, {d.rule.id for d in enabled}, rows_named=named)
    if ingested.batch is None or ordered.waits:
        reason = "it is not this batch's turn" if ordered.waits else "the batch could not be read"
        policy = waiting(policy) if ordered.waits else policy
        outcomes += [Outcome(rule=d.rule.id, skipped=reason) for d in enabled]
    else:
        judged += judge(enabled, ingested.batch, context, run.job.progress)
        outcomes += [one.outcome for one in judged]
        outcomes += quota_outcomes(run, ingested.batch)
        outcomes.append(resubmission(run, ingested.batch, context))
    off = [d for d in run.job.chosen if d not in enabled]
    outcomes += [Outcome(rule=d.rule.id, skipped="switched off in the settings") for d in off]
    if judged:
        policy = replace(policy, unmet=(*policy.unmet, *unmet(run, outcomes)))
    screened = Screened(
        ingest=ingested,
        roles=roles,
        verification=verification,
        place=ordered.place,
        outcomes=tuple(outcomes),
        policy=policy,
    )
    if ordered.waits:
        said = "not measured: the rows were not judged."
        return replace(screened, measured=SelfMeasurement(said=said))
    return with_self_measurement(run, screened, judged, context, began)


def decide_step(run: Run, screened: Screened) -> Decided:
    """Turn claims into one verdict and one set of rows."""
    run.job.say("deciding")
    batch = screened.ingest.batch
    outcomes, excuses = screened.outcomes, run.trusted.suppressions
    if excuses is not None and run.job.release is None:  # a release is decided by its own people
        outcomes = suppressed(outcomes, site_suppressions.excused(excuses, screened.ingest))
    decision = decide(
        outcomes,
        rules=all_rules(),
        policy=screened.policy,
        rows=batch.rows if batch else None,
        senders=senders_of(batch) if batch else (),
    )
    if run.trusted.baseline is None and decision.verdict == Verdict.ACCEPT:
        decision = replace(decision, reasons=(_UNJUDGED,))
    return Decided(
        screened=screened, decision=decision, rows=collect(decision.having(Effect.QUARANTINE))
    )


def publish_step(run: Run, decided: Decided) -> Result:
    """Stage everything, sign, log the verdict, make visible: in this order (trust decision 11)."""
    run.job.say("writing the report")
    decision, batch = decided.decision, decided.screened.ingest.batch
    publishing = run.job.mode == Mode.GATE and decision.verdict in (
        Verdict.ACCEPT,
        Verdict.QUARANTINE,
    )
    outputs: tuple[FileEntry, ...] = ()
    weights = weights_of(run, decided) if publishing else None
    quarantine_digest = None
    if publishing and batch is not None:
        if len(decided.rows):
            quarantine_digest = set_digest(batch.digest, decided.rows.rows)
        outputs = write_published(
            decided.screened.ingest,
            decided.rows.rows,
            run.stage.published,
            weights.values if weights else None,
        )
        if quarantine_digest:
            write_quarantined(batch, decided.rows, run.stage.quarantined)
    weighed = weights.said if weights else None
    final = report_of(run, decided, outputs, quarantine_digest, weighed)
    write_run(run, decided, final, outputs, quarantine_digest, publishing=publishing)
    visible = run.stage.make_visible(run.ledger.names, run.ledger.proof_of)
    if publishing:
        _look_back(run)
    return _result(final, decided.rows, visible)


def _look_back(run: Run) -> None:
    """Take this batch into the history. The verdict stands; the next run does what fails here."""
    try:
        history_of(run)
    except (LedgerError, OSError) as error:
        run.job.say(f"the history was not written, the next run writes it: {error}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The four steps of `finish`, each of which a scheduler may wrap (retries, names)."""

    ingest: Callable[[Run], Ingest] = ingest_step
    screen: Callable[[Run, Ingest], Screened] = screen_step
    decide: Callable[[Run, Screened], Decided] = decide_step
    publish: Callable[[Run, Decided], Result] = publish_step


def hold(run: Run, error: Exception) -> Result:
    """End a run that broke as HOLD: evidence and ledger say so, nothing is published.

    Raises:
        UnfinishedError: the verdict was logged before it broke; it stands.
        OSError, LedgerError: even that could not be written; the mark that stays lets the next
            run log it.
    """
    if run.decided:
        # The verdict stands. The next run finishes what could not be made visible.
        run.stage.close()
        raise UnfinishedError(
            f"run {run.id} is decided, but its results could not be shown ({error}); "
            "mend that, and the next run shows them"
        ) from error
    # What we raise on purpose says what, where and what to do; anything else needs its type.
    reason = str(error) if isinstance(error, AuditorError) else f"{type(error).__name__}: {error}"
    run.job.say(f"the audit broke off: {reason}")
    try:
        run.stage.clear()
        run.stage.evidence.mkdir(mode=0o700, parents=True, exist_ok=True)
        decided = _broken(reason, run.subject)
        final = write_broken(run, decided, because=type(error).__name__)
        return _result(final, decided.rows, run.stage.make_visible())
    except BaseException:
        run.stage.close() if run.decided else run.stage.abandon()
        raise


def _broken(reason: str, subject: str | None) -> Decided:
    outcome = Outcome(rule=INCOMPLETE.id, failed=reason)
    empty = Ingest(files=(), digest=subject or hashlib.sha256(b"").hexdigest(), batch=None)
    policy = Policy()
    screened = Screened(
        ingest=empty,
        roles=(),
        verification=Verification(findings=()),
        outcomes=(outcome,),
        policy=policy,
    )
    decision = decide([outcome], rules=all_rules(), policy=policy, rows=None)
    return Decided(screened=screened, decision=decision, rows=collect(()))


def _give_up(run: Run, reason: str) -> None:
    """Ctrl-C and the like: nothing half-written stays, the ledger says why there is no verdict."""
    if run.decided:
        run.stage.close()
        return
    run.stage.clear()
    run.log("batch.held", detail={"reason": reason})
    run.stage.remove()


def _result(final: Report, rows: RowSet, visible: Visible) -> Result:
    return Result(
        report=final,
        folder=visible.run,
        published=visible.published,
        quarantined=visible.quarantined,
        rows=rows,
        notes=visible.notes,
    )
