"""From settings, baseline and batch to what the rules need, and to the policy in force."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from auditor import agreed_columns, known_files, power
from auditor.baseline import Baseline
from auditor.batch import Roles
from auditor.coded import coded
from auditor.config import Settings, detector_options
from auditor.context import Context
from auditor.detectors import DETECTORS
from auditor.history import Past
from auditor.manifests import manifest_beside, verify_batch
from auditor.model import (
    STATISTICAL,
    Effect,
    Finding,
    Mode,
    Outcome,
    RoleRecord,
)
from auditor.policy import Policy
from auditor.provenance.rules import RULES as PROVENANCE_RULES
from auditor.provenance.verification import Verification
from auditor.readers import RULES as READER_RULES
from auditor.readers import Ingest, StagedBatch
from auditor.readers.rules import unusable
from auditor.roles import Trusted, describe, infer_roles
from auditor.run import Run

_SUITE_RULE: Final = "AUD-Q001"
_LIST_RULE: Final = "AUD-Q003"


def roles_of(run: Run, batch: StagedBatch) -> tuple[Roles, tuple[RoleRecord, ...]]:
    """Roles from the settings; the baseline's for those they do not name, so that keys compare."""
    baseline, trusted = run.trusted.baseline, None
    if baseline is not None:
        trusted = Trusted(baseline.roles, frozenset(baseline.schema.names))
    return infer_roles(batch.schema, describe(batch), run.job.settings.roles, trusted)


def context_for(run: Run, batch_digest: str, *, vouched: bool = False) -> Context:
    """What detectors may know besides the batch; `vouched`: a signed roll names contributors."""
    past = Past(run.history, batch_digest) if run.history else None
    return Context(
        seed=run.seed(batch_digest),
        site_key=run.trusted.site_key,
        baseline=run.trusted.baseline,
        expectations=run.trusted.expectations,
        signatures=run.trusted.signatures,
        settings=detector_options(run.job.settings),
        history=past,
        contributors=past.contributors() if past else {},
        cumulative=past.cumulative() if past else {},
        again=past.again if past else False,
        vouched=vouched,
    )


def policy_of(run: Run, enabled: set[str]) -> Policy:
    """The policy in force: the settings, and the rules that baseline and suite make required."""
    settings = run.job.settings
    implied = set(judging(run.trusted.baseline)) if run.trusted.baseline else set()
    if run.trusted.expectations is not None:
        implied.add(_SUITE_RULE)
    if run.trusted.signatures is not None:
        implied.add(_LIST_RULE)
    stated = stated_policy(settings)
    effects = dict(stated.effects)
    unsigned = Effect.NOTE if run.job.mode == Mode.AUDIT else Effect(settings.manifest.unsigned)
    effects.setdefault("AUD-P001", unsigned)
    if run.job.mode == Mode.AUDIT:  # it publishes nothing: the difference is named, no more
        effects.setdefault(agreed_columns.OTHER_COLUMNS.id, Effect.NOTE)
    return replace(
        stated,
        effects=effects,
        required=stated.required | frozenset(implied & enabled),
        unmet=power.shortfalls(run.trusted.baseline, settings.policy.power.items()),
    )


def stated_policy(settings: Settings) -> Policy:
    """What the settings say by themselves."""
    limits = settings.policy.limits
    return Policy(
        alpha=settings.policy.alpha,
        effects={rule: Effect(effect) for rule, effect in settings.policy.effects.items()},
        required=frozenset(settings.policy.required),
        contributor_share=limits.contributor_share,
        source_share=limits.source_share,
        batch_share=limits.batch_share,
        minimum_group=limits.minimum_group,
    )


def judging(baseline: Baseline) -> Iterator[str]:
    """Rules that judge by this baseline: skipping one of them would be a way past the gate."""
    for detector in DETECTORS:
        rule = detector.rule
        if rule.family not in STATISTICAL or rule.effect == Effect.NOTE:
            continue
        # Switched off at the build and on since: it needs thresholds, so it is required and missed.
        known = {*baseline.thresholds, *baseline.switched_off}
        calibrated = not hasattr(detector, "calibrate") or rule.id in known
        if calibrated and all(baseline.roles.columns(role) for role in rule.needs):
            yield rule.id


def reader_outcomes(ingested: Ingest, run: Run) -> list[Outcome]:
    """What reading found, as outcomes of its two rules, and the columns against the baseline's."""
    found = list(ingested.findings)
    names = ingested.batch.schema.names if ingested.batch else []
    ours = [name for name in names if name.startswith("_auditor_")]
    if ours:  # they would stand twice in the quarantined rows
        text = f"column {ours[0][:80]!r}: names that start with _auditor_ are ours"
        found.append(unusable("the batch", "SCHEMA", text))
    columns = Outcome(rule=agreed_columns.OTHER_COLUMNS.id, skipped="the batch could not be read")
    if ingested.batch is not None:
        columns = agreed_columns.compare(ingested.batch, run.trusted.baseline, _named(run))
    files = known_files.compare(ingested.files, run.trusted.signatures)
    return [*(_grouped(rule.id, found) for rule in READER_RULES), columns, files]


def _named(run: Run) -> set[str]:
    """Columns that the settings give a role; the API may give one name instead of a list."""
    given = run.job.settings.roles.values()
    return {name for names in given for name in ((names,) if isinstance(names, str) else names)}


def provenance_outcomes(run: Run, verification: Verification) -> list[Outcome]:
    """What provenance found; without a manifest nothing was compared, and that is said."""
    if verification.summary.get("status") != "none":
        return [_grouped(rule.id, verification.findings) for rule in PROVENANCE_RULES]
    reason = "no manifest came with the batch"
    missing, mismatch = (Outcome(rule=rule.id, skipped=reason) for rule in PROVENANCE_RULES)
    if run.job.mode != Mode.AUDIT:
        missing = _grouped(missing.rule, verification.findings)
    return [missing, mismatch]


def _grouped(rule: str, findings: Sequence[Finding]) -> Outcome:
    return Outcome(rule=rule, findings=tuple(f for f in findings if f.rule == rule))


def verify_manifest(run: Run, ingested: Ingest) -> Verification:
    """Hold the batch against the manifest that was named, or that lies beside it."""
    path = run.job.manifest or run.job.settings.manifest.path or manifest_beside(run.job.sources)
    batch = ingested.batch
    sender = batch.roles.contributor if batch else None
    counts = _rows_of_each(batch, sender) if batch and sender else None
    return verify_batch(
        ingested,
        path,
        keys=run.trusted.keys,
        threshold=run.job.settings.manifest.threshold,
        contributors=counts,
        now=run.job.clock(),
        source=run.job.settings.manifest.source,
        kind=batch.kind if batch else None,
        roles={"label": batch.roles.label, "contributor": sender} if batch else None,
    )


def _rows_of_each(batch: StagedBatch, column: str) -> Counter[str]:
    """Rows of each contributor; one without a name is ""."""
    found = coded(batch, column, missing="")
    return Counter(dict(zip(found.names, found.counts.tolist(), strict=True)))
