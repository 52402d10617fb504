"""ingest -> screen -> decide -> publish: the only place that composes.

Each step takes what the one before returned, so that a scheduler may retry or cache them one by
one; `audit` runs them all. Holds the second `except Exception` of the project: whatever happens
once a run exists ends as HOLD, never as a clean batch.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from auditor import calibration, suites
from auditor.assemble import Facts, report
from auditor.baseline import Baseline, key_id
from auditor.batch import distinct, texts
from auditor.config import Settings, detector_options, digest
from auditor.context import Context, Detector
from auditor.detectors import DETECTORS
from auditor.engine import run as run_detectors
from auditor.errors import (
    AuditorError,
    BaselineError,
    BatchError,
    ConfigError,
    UnfinishedError,
)
from auditor.evidence import charts, user_ids
from auditor.fusion import fuse
from auditor.ledger import Ledger
from auditor.manifests import manifest_beside, verify_batch
from auditor.model import (
    STATISTICAL,
    Charts,
    Effect,
    Family,
    Finding,
    Mode,
    Outcome,
    Report,
    RoleRecord,
    Rule,
    Severity,
    Verdict,
)
from auditor.policy import RULES as POLICY_RULES
from auditor.policy import Decision, Policy, Senders, decide
from auditor.provenance import attestation
from auditor.provenance.digests import subject_digest
from auditor.provenance.keys import PublicKey, public_key
from auditor.provenance.manifest import FileEntry
from auditor.provenance.rules import RULES as PROVENANCE_RULES
from auditor.provenance.verification import Verification
from auditor.publish import SUSPECTS, write_evidence, write_published, write_quarantined
from auditor.quarantine import RowSet, collect, set_digest
from auditor.readers import RULES as READER_RULES
from auditor.readers import Ingest, Source, ingest, ingest_table
from auditor.roles import describe, infer_roles
from auditor.signing import sign, unsigned_envelope
from auditor.ulid import RANDOM_BYTES, new_ulid
from auditor.workspace import RunStage, Visible, Workspace

Progress = Callable[[str], None]
Clock = Callable[[], dt.datetime]

INCOMPLETE: Final = Rule(
    id="AUD-G002",
    family=Family.POLICY,
    title="The audit could not be completed",
    severity=Severity.HIGH,
    effect=Effect.HOLD,
)
_SUITE_RULE: Final = "AUD-Q001"
_VALID: Final = dt.timedelta(days=30)
_UNJUDGED: Final = (
    "no rule had a certain claim, but without a baseline labels, outliers and copies were only "
    "ranked, not judged: this is not a clean bill of health"
)
_SHOWN: Final = 100_000  # suspicious rows listed in suspects.parquet beyond the quarantined ones


def all_rules() -> dict[str, Rule]:
    """Every rule by id: readers, provenance, detectors, policy."""
    detectors = [detector.rule for detector in DETECTORS]
    every = [*READER_RULES, *PROVENANCE_RULES, *detectors, *POLICY_RULES, INCOMPLETE]
    if len({rule.id for rule in every}) != len(every):
        raise ValueError("two rules have one id")
    return {rule.id: rule for rule in every}


def utc_now() -> dt.datetime:
    """The machine's clock, with its zone."""
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to audit and how: input, settings, mode. `manifest` overrides the path beside the data.

    `sources` are resolved files, or `table` is data in memory. `name` is for people.
    """

    settings: Settings
    mode: Mode
    sources: tuple[Source, ...] = ()
    table: pa.Table | None = None
    name: str = "batch"
    manifest: Path | None = None
    detectors: tuple[type[Detector], ...] = DETECTORS
    clock: Clock = utc_now
    progress: Progress | None = None

    def say(self, text: str) -> None:
        """Tell a person what is going on, if one listens."""
        if self.progress:
            self.progress(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """What the site trusts, loaded before the run: baseline, suite, keys. Errors are set-up."""

    baseline: Baseline | None
    expectations: Sequence[Mapping[str, Any]] | None
    keys: Mapping[str, Sequence[PublicKey]]
    site_key: bytes


@dataclass(slots=True)
class Run:
    """One audit in progress: its folders, ledger and what was found so far."""

    job: Job
    trusted: Trusted
    stage: RunStage
    ledger: Ledger
    started: float = field(default_factory=time.perf_counter)
    subject: str | None = None  # the batch's digest, once it is known
    decided: bool = False  # the ledger has the verdict: what is left is to make it visible

    @property
    def id(self) -> str:
        """The run's ULID."""
        return self.stage.run


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """The batch under its roles, and what every rule had to say."""

    ingest: Ingest
    roles: tuple[RoleRecord, ...]
    verification: Verification
    outcomes: tuple[Outcome, ...]
    policy: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The verdict, and which rows it sets aside."""

    screened: Screened
    decision: Decision
    rows: RowSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a run left behind; paths are None where nothing was published or set aside."""

    report: Report
    folder: Path
    published: Path | None
    quarantined: Path | None
    rows: RowSet
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The verdict."""
        return Verdict(self.report.verdict)


def workspace(settings: Settings) -> Workspace:
    """The three roots, ledger and site key that the settings name."""
    outputs = settings.outputs
    return Workspace(
        runs=outputs.runs,
        publish_to=outputs.publish_to,
        quarantine_to=outputs.quarantine_to,
        ledger=outputs.ledger,
        site_key=outputs.site_key,
    )


def load_trusted(settings: Settings, site_key: bytes) -> Trusted:
    """Read baseline, suite and keys; a mistake in them is ours and ends before a run begins."""
    baseline = calibration.read(settings.baseline) if settings.baseline else None
    if baseline is not None and baseline.key_id != key_id(site_key):
        raise BaselineError(
            f"{settings.baseline}: was built with another site key; "
            "restore that key, or build the baseline again here"
        )
    suite = suites.load(settings.expectations) if settings.expectations else None
    keys = {
        source: tuple(_read_key(entry) for entry in entries)
        for source, entries in settings.manifest.keys.items()
    }
    return Trusted(baseline=baseline, expectations=suite, keys=keys, site_key=site_key)


def _read_key(entry: str) -> PublicKey:
    """A key in hex, or the path of a file that holds one."""
    if "/" not in entry and not entry.endswith((".pub", ".pem")):
        return public_key(entry.encode())
    try:
        return public_key(Path(entry).read_bytes())
    except OSError as error:
        raise ConfigError(f"manifest.keys: {entry}: cannot be read ({error.strerror})") from error


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
    trusted = load_trusted(job.settings, roots.key())
    now = job.clock()
    ledger = Ledger(roots.ledger)
    for recovered in roots.recover(ledger, now):
        job.say(f"an earlier run {recovered.run} was {recovered.outcome}")
    return Run(job, trusted, roots.begin(new_ulid(now, os.urandom(RANDOM_BYTES))), ledger)


def ingest_step(run: Run, kept: Ingest | None = None) -> Ingest:
    """Copy, hash and parse the input once; the ledger learns that the batch was received.

    `kept` is what an earlier ingest of the same bytes left, verified again by the caller and moved
    to this run's scratch folder; then nothing is read.
    """
    run.job.say("reading the batch")
    limits = run.job.settings.limits.as_limits()
    if kept is not None:
        ingested = kept
    elif run.job.table is not None:
        ingested = ingest_table(run.job.table, staging=run.stage.scratch)
    else:
        ingested = ingest(
            run.job.sources,
            staging=run.stage.scratch,
            limits=limits,
            broken=run.job.settings.policy.broken_files,
            progress=run.job.progress,
        )
    run.subject = ingested.digest
    _log(run, "batch.received")
    return ingested


def screen_step(run: Run, ingested: Ingest) -> Screened:
    """Provenance, then every enabled detector. Claims only; nothing is decided."""
    _log(run, "batch.screening")
    roles: tuple[RoleRecord, ...] = ()
    if ingested.batch is not None:
        assigned, roles = infer_roles(
            ingested.batch.schema, describe(ingested.batch), _overrides(run)
        )
        ingested = replace(ingested, batch=ingested.batch.with_roles(assigned))
    verification = _verify(run, ingested)
    enabled = [d for d in run.job.detectors if run.job.settings.enabled(d.rule.id)]
    outcomes = [*_reader_outcomes(ingested), *_provenance_outcomes(run, verification)]
    if ingested.batch is None:
        reason = "the batch could not be read"
        outcomes += [Outcome(rule=d.rule.id, skipped=reason) for d in enabled]
    else:
        context = _context(run, ingested.digest)
        outcomes += run_detectors(enabled, ingested.batch, context, run.job.progress)
    off = [d for d in run.job.detectors if d not in enabled]
    outcomes += [Outcome(rule=d.rule.id, skipped="switched off in the settings") for d in off]
    return Screened(
        ingest=ingested,
        roles=roles,
        verification=verification,
        outcomes=tuple(outcomes),
        policy=_policy(run, {d.rule.id for d in enabled}),
    )


def decide_step(run: Run, screened: Screened) -> Decided:
    """Turn claims into one verdict and one set of rows."""
    run.job.say("deciding")
    batch = screened.ingest.batch
    decision = decide(
        screened.outcomes,
        rules=all_rules(),
        policy=screened.policy,
        rows=batch.rows if batch else None,
        senders=_senders(batch) if batch else (),
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
    quarantine_digest = None
    if publishing and batch is not None:
        if len(decided.rows):
            quarantine_digest = set_digest(batch.digest, decided.rows.rows)
        outputs = write_published(decided.screened.ingest, decided.rows.rows, run.stage.published)
        if quarantine_digest:
            write_quarantined(batch, decided.rows, run.stage.quarantined)
    final = _report(run, decided, outputs, quarantine_digest)
    _write_run(run, decided, final, outputs, quarantine_digest, publishing=publishing)
    visible = run.stage.make_visible()
    return _result(final, decided.rows, visible)


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
        run.stage.evidence.mkdir(parents=True, exist_ok=True)
        decided = _broken(reason, run.subject)
        final = _report(run, decided, (), None)
        write_evidence(run.stage.evidence, final, samples=False)
        run.stage.seal()
        _log(run, "batch.held", detail={"reason": type(error).__name__})
        run.decided = True
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
    _log(run, "batch.held", detail={"reason": reason})
    run.stage.remove()


# --- what the steps need ---------------------------------------------------------------------


def _overrides(run: Run) -> dict[str, str | Sequence[str]]:
    """Roles from the settings; the baseline's where they name none, so that keys compare."""
    overrides: dict[str, str | Sequence[str]] = {**run.job.settings.roles}
    baseline = run.trusted.baseline
    if baseline is not None and not overrides:
        overrides.update(baseline.roles.assigned)
    return overrides


def _context(run: Run, batch_digest: str) -> Context:
    return Context(
        seed=_seed(run.trusted.site_key, batch_digest),
        site_key=run.trusted.site_key,
        baseline=run.trusted.baseline,
        expectations=run.trusted.expectations,
        settings=detector_options(run.job.settings),
    )


def _seed(site_key: bytes, batch_digest: str) -> int:
    """HMAC(site key, batch digest): fixed for a batch, not to be searched by its sender."""
    return int.from_bytes(hmac.digest(site_key, batch_digest.encode(), "sha256")[:4], "big")


def _policy(run: Run, enabled: set[str]) -> Policy:
    settings = run.job.settings
    implied = set(_judging(run.trusted.baseline)) if run.trusted.baseline else set()
    if run.trusted.expectations is not None:
        implied.add(_SUITE_RULE)
    effects = {rule: Effect(effect) for rule, effect in settings.policy.effects.items()}
    unsigned = Effect.NOTE if run.job.mode == Mode.AUDIT else Effect(settings.manifest.unsigned)
    effects.setdefault("AUD-P001", unsigned)
    limits = settings.policy.limits
    return Policy(
        alpha=settings.policy.alpha,
        effects=effects,
        required=frozenset(settings.policy.required) | frozenset(implied & enabled),
        contributor_share=limits.contributor_share,
        source_share=limits.source_share,
        batch_share=limits.batch_share,
        minimum_group=limits.minimum_group,
    )


def _judging(baseline: Baseline) -> Iterator[str]:
    """Rules that judge by this baseline: skipping one of them would be a way past the gate."""
    for detector in DETECTORS:
        rule = detector.rule
        if rule.family not in STATISTICAL or rule.effect == Effect.NOTE:
            continue
        calibrated = not hasattr(detector, "calibrate") or rule.id in baseline.thresholds
        if calibrated and all(baseline.roles.columns(role) for role in rule.needs):
            yield rule.id


def _reader_outcomes(ingested: Ingest) -> list[Outcome]:
    return [_grouped(rule.id, ingested.findings) for rule in READER_RULES]


def _provenance_outcomes(run: Run, verification: Verification) -> list[Outcome]:
    if verification.summary.get("status") != "none":
        return [_grouped(rule.id, verification.findings) for rule in PROVENANCE_RULES]
    reason = "no manifest came with the batch"
    missing, mismatch = (Outcome(rule=rule.id, skipped=reason) for rule in PROVENANCE_RULES)
    if run.job.mode != Mode.AUDIT:
        missing = _grouped(missing.rule, verification.findings)
    return [missing, mismatch]


def _grouped(rule: str, findings: Sequence[Finding]) -> Outcome:
    return Outcome(rule=rule, findings=tuple(f for f in findings if f.rule == rule))


def _verify(run: Run, ingested: Ingest) -> Verification:
    path = run.job.manifest or run.job.settings.manifest.path or manifest_beside(run.job.sources)
    batch = ingested.batch
    sender = batch.roles.contributor if batch else None
    counts = Counter(x or "" for x in texts(batch, sender)) if batch and sender else None
    return verify_batch(
        ingested,
        path,
        keys=run.trusted.keys,
        threshold=run.job.settings.manifest.threshold,
        contributors=counts,
        now=run.job.clock(),
    )


def _senders(batch: Any) -> tuple[Senders, ...]:
    found = []
    for role in ("contributor", "source"):
        column = batch.roles.first(role)
        if column is None:
            continue
        names, codes = distinct(texts(batch, column))
        found.append(Senders(role, names, np.array(codes, dtype=np.int64)))
    return tuple(found)


# --- what a run writes -----------------------------------------------------------------------


def _report(
    run: Run, decided: Decided, outputs: Sequence[FileEntry], quarantine_digest: str | None
) -> Report:
    screened, batch = decided.screened, decided.screened.ingest.batch
    settings = run.job.settings
    shown = Charts()
    if batch is not None and batch.rows:
        suspicion = fuse(screened.outcomes, batch.rows)
        seed = _seed(run.trusted.site_key, batch.digest)
        shown = charts(batch, run.trusted.baseline, decided.rows.rows, suspicion, seed)
    facts = Facts(
        run=run.id,
        auditor=own_version(),
        created_at=run.job.clock().strftime("%Y-%m-%dT%H:%M:%SZ"),
        mode=run.job.mode,
        name=run.job.name,
        digest=screened.ingest.digest,
        kind=batch.kind.value if batch else "training",
        files=screened.ingest.files,
        roles=screened.roles,
        provenance=screened.verification.summary,
        reproduce=_reproduce(run, screened),
        settings=settings.model_dump(mode="json"),
        seconds=time.perf_counter() - run.started,
    )
    return report(
        facts,
        batch=batch,
        baseline=run.trusted.baseline,
        outcomes=screened.outcomes,
        decision=decided.decision,
        rules=all_rules(),
        policy=screened.policy,
        charts=shown,
        rows_quarantined=len(decided.rows),
        set_digest=quarantine_digest,
        published_digest=subject_digest(outputs) if outputs else None,
    )


def _reproduce(run: Run, screened: Screened) -> dict[str, str | int]:
    digest_of = screened.ingest.digest
    return {
        "batch_sha256": digest_of,
        "policy_sha256": _policy_digest(run),
        "baseline_sha256": run.trusted.baseline.digest if run.trusted.baseline else "none",
        "seed": _seed(run.trusted.site_key, digest_of),
        "sandbox": screened.ingest.sandbox,
        "attestation": "signed"
        if run.job.settings.signing.key
        else "unsigned: no signing.key is set",
        "python": platform.python_version(),
        **{
            name: _version(name)
            for name in ("pyarrow", "scikit-learn", "pyod", "great-expectations")
        },
    }


def _policy_digest(run: Run) -> str:
    suite = run.trusted.expectations
    return digest(
        run.job.settings,
        suite=suites.digest(suite) if suite is not None else None,
        rules=[rule.id for rule in all_rules().values()],
    )


def _write_run(
    run: Run,
    decided: Decided,
    final: Report,
    outputs: Sequence[FileEntry],
    quarantine_digest: str | None,
    *,
    publishing: bool,
) -> None:
    """Evidence, attestation, then durable, then the ledger: the verdict exists from there on."""
    batch = decided.screened.ingest.batch
    suspects = _suspects(decided) if batch is not None else None
    written = write_evidence(
        run.stage.evidence,
        final,
        decided.decision.decided,
        suspects,
        batch,
        samples=run.job.settings.outputs.samples,
    )
    envelope = _attest(run, decided, final, outputs, quarantine_digest, written["report.json"])
    (run.stage.evidence / "attestation.dsse.json").write_bytes(envelope)
    if publishing:
        (run.stage.published / "attestation.dsse.json").write_bytes(envelope)
    run.stage.seal(
        published=final.published_digest if publishing else None,
        quarantined=quarantine_digest if publishing else None,
    )
    refs = [hashlib.sha256(envelope).hexdigest(), written["report.json"]]
    detail = {"verdict": final.verdict, "mode": final.mode, "rows": final.rows_in}
    if publishing and quarantine_digest:
        _log(run, "quarantine.created", refs=[quarantine_digest])
    held = decided.decision.verdict == Verdict.HOLD
    _log(run, "batch.held" if held else "verdict", refs=refs, detail=detail)
    run.decided = True


def _attest(
    run: Run,
    decided: Decided,
    final: Report,
    outputs: Sequence[FileEntry],
    quarantine_digest: str | None,
    report_sha256: str,
) -> bytes:
    """The attestation envelope: signed by another process, or openly unsigned without a key."""
    settings, now = run.job.settings, run.job.clock()
    published = bool(outputs)
    audited = attestation.Audited(
        verifier=settings.signing.verifier,
        versions={"auditor": own_version(), "pyod": _version("pyod")},
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
        screened=_screened(final),
        outputs=outputs,
        manifest_sha256=_text(final.provenance.get("manifest_sha256")),
        set_sha256=quarantine_digest,
        baseline_sha256=run.trusted.baseline.digest if run.trusted.baseline else None,
    )
    payload = attestation.build(audited)
    if settings.signing.key is None:
        return unsigned_envelope(payload)
    return sign(payload, key=settings.signing.key, passphrase_env=settings.signing.passphrase_env)


def _resource(final: Report) -> str:
    source, batch_id = final.provenance.get("source"), final.provenance.get("batch_id")
    return f"{source}@{batch_id}" if source and batch_id else final.batch_name


def _screened(final: Report) -> bool:
    """Whether at least one rule of each statistical family ran on the batch."""
    ran = {rule.family for rule in final.rules if rule.status == "ran"}
    return {"duplication", "label", "feature"} <= ran


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _suspects(decided: Decided) -> pa.Table:
    """Every suspicious row, worst first: the review queue."""
    batch = decided.screened.ingest.batch
    if batch is None:
        return SUSPECTS.empty_table()
    fused = fuse(decided.screened.outcomes, batch.rows)
    named = collect([d.finding for d in decided.decision.decided])
    aside = np.zeros(batch.rows, dtype=bool)
    aside[decided.rows.rows] = True
    order = np.argsort(-fused, kind="stable")[:_SHOWN]
    rows = np.union1d(order[fused[order] > 0], decided.rows.rows).astype(np.int64)
    files, places = batch.locate(rows)
    rules, reasons = _why(named, decided.rows, rows)
    table = pa.table(
        [
            files,
            places,
            pa.array(user_ids(batch, rows), pa.string()),
            pa.array(fused[rows].astype(np.float32)),
            pa.array(rules, pa.string()),
            pa.array(reasons, pa.string()),
            pa.array(aside[rows]),
        ],
        schema=SUSPECTS,
    )
    return table.sort_by([("quarantined", "descending"), ("suspicion", "descending")])


def _why(named: RowSet, aside: RowSet, rows: np.ndarray) -> tuple[list[str], list[str]]:
    """Rules and reason of each row: of what set it aside, else of what noted it, else a ranking."""
    known: dict[int, tuple[str, str]] = {}
    for source in (named, aside):
        columns = (source.table.column(n).to_pylist() for n in ("row", "rules", "reason"))
        known |= {row: (rules, reason) for row, rules, reason in zip(*columns, strict=True)}
    blank = ("", "ranked high by a rule, in no finding")
    pairs = [known.get(int(row), blank) for row in rows]
    return [rules for rules, _ in pairs], [reason for _, reason in pairs]


def _log(
    run: Run,
    event: str,
    *,
    refs: Sequence[str] = (),
    detail: Mapping[str, Any] | None = None,
) -> None:
    run.ledger.append(
        event,
        at=run.job.clock(),
        via="cli" if run.job.mode == Mode.AUDIT else "gate",
        subject=run.subject,
        refs=refs,
        run=run.id,
        detail=detail,
    )


def _result(final: Report, rows: RowSet, visible: Visible) -> Result:
    return Result(
        report=final,
        folder=visible.run,
        published=visible.published,
        quarantined=visible.quarantined,
        rows=rows,
        notes=visible.notes,
    )


def own_version() -> str:
    """The installed version of auditor."""
    return _version("auditor")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "0+unknown" if package == "auditor" else "not installed"
