"""From settings, baseline and batch to what the rules need, and to the policy in force."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from auditor import agreed_columns, known_files, power
from auditor.baseline import Baseline
from auditor.batch import Roles, reserved
from auditor.coded import coded
from auditor.column_statistics import describe
from auditor.config import Settings, detector_options
from auditor.context import Context
from auditor.detectors import DETECTORS
from auditor.detectors.reputation import Reputation
from auditor.engine import Judged
from auditor.history import Past
from auditor.manifests import manifest_beside, source_named, verify_batch
from auditor.model import STATISTICAL, Effect, Finding, Mode, Outcome
from auditor.policy import Policy
from auditor.provenance.authority import Authority, ConfiguredKeys
from auditor.provenance.refused import Refused
from auditor.provenance.rules import CONTRADICTION, NOT_NOW
from auditor.provenance.rules import RULES as PROVENANCE_RULES
from auditor.provenance.verification import Verification
from auditor.quotas import Quotas, within_quotas
from auditor.readers import RULES as READER_RULES
from auditor.readers import Ingest, Limits, StagedBatch
from auditor.readers.rules import unusable
from auditor.report_records import RoleRecord, SelfMeasurement
from auditor.roles import Trusted, infer_roles
from auditor.run import Run, Screened
from auditor.self_measurement import measure, misses
from auditor.shadow_copies import Audited
from auditor.site import all_rules
from auditor.source_order import Ordered, hold_to_order
from auditor.trust.authority import PolicyAuthority

#: What may become of an unsigned batch, from the loosest to the strictest.
_UNSIGNED: Final = ("note", "hold", "reject")
_SUITE_RULE: Final = "AUD-Q001"
_LIST_RULE: Final = "AUD-Q003"
_IN_ORDER: Final = frozenset({CONTRADICTION.id, NOT_NOW.id})


def roles_of(run: Run, batch: StagedBatch) -> tuple[Roles, tuple[RoleRecord, ...]]:
    """Roles from the settings; the baseline's for those they do not name, so that keys compare."""
    baseline, trusted = run.trusted.baseline, None
    if baseline is not None:
        trusted = Trusted(baseline.roles, frozenset(baseline.schema.names))
    return infer_roles(batch.schema, describe(batch), run.job.settings.roles, trusted)


def context_for(
    run: Run, batch_digest: str, *, vouched: bool = False, beside: str | None = None
) -> Context:
    """What detectors may know besides the batch; `vouched`: a signed roll names contributors.

    `beside`: digest of another batch that is no part of its past.
    """
    past = Past(run.history, batch_digest, beside) if run.history else None
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
        shared=run.shared,
    )


def policy_of(run: Run, enabled: set[str], *, rows_named: bool = False) -> Policy:
    """The policy in force: the settings, and the rules that baseline and suite make required.

    `rows_named`: the trust policy demands that rows name their contributors; then what those
    without standing have too much of is set aside (AUD-C003).
    """
    settings = run.job.settings
    implied = set(judging(run.trusted.baseline)) if run.trusted.baseline else set()
    if run.trusted.expectations is not None:
        implied.add(_SUITE_RULE)
    if run.trusted.signatures is not None:
        implied.add(_LIST_RULE)
    stated = stated_policy(settings)
    effects = dict(stated.effects)
    effects.setdefault("AUD-P001", _unsigned(run))
    if rows_named:
        effects.setdefault(Reputation.rule.id, Effect.QUARANTINE)
    if run.job.mode == Mode.AUDIT:  # it publishes nothing: the difference is named, no more
        effects.setdefault(agreed_columns.OTHER_COLUMNS.id, Effect.NOTE)
    return replace(
        stated,
        effects=effects,
        required=stated.required | frozenset(implied & enabled),
        unmet=power.shortfalls(run.trusted.baseline, settings.policy.power.items()),
    )


def _unsigned(run: Run) -> Effect:
    """What nobody vouching does; of the settings and the trust policy the stricter holds."""
    if run.job.mode == Mode.AUDIT:
        return Effect.NOTE
    stated = {run.job.settings.manifest.unsigned}
    if run.trusted.policy is not None:
        stated.add(run.trusted.policy.unsigned)
    return Effect(max(stated, key=_UNSIGNED.index))


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


def waiting(policy: Policy) -> Policy:
    """The policy for a batch whose turn it is not: what keeps it waiting decides, nothing else.

    Required rules were skipped, and what its files look like must not become a verdict: a batch
    that was decided before would be decided twice.
    """
    readers = (*READER_RULES, *agreed_columns.RULES, *known_files.RULES)
    noted = {rule.id: Effect.NOTE for rule in readers}
    return replace(policy, required=frozenset(), effects={**policy.effects, **noted})


def judging(baseline: Baseline) -> Iterator[str]:
    """Rules that judge by this baseline: skipping one of them would be a way past the gate."""
    for detector in DETECTORS:
        rule = detector.rule
        if rule.family not in STATISTICAL or rule.effect == Effect.NOTE or rule.needs_earlier:
            continue
        # Switched off at the build and on since: it needs thresholds, so it is required and missed.
        known = {*baseline.thresholds, *baseline.switched_off}
        calibrated = not hasattr(detector, "calibrate") or rule.id in known
        if calibrated and all(baseline.roles.columns(role) for role in rule.needs):
            yield rule.id


def with_self_measurement(
    run: Run, screened: Screened, judged: Sequence[Judged], context: Context, began: float
) -> Screened:
    """The same with what the audit measured of itself; what it missed for sure holds the batch.

    `judged`: the detectors as they judged the batch; `began`: processor time at the start.
    """
    batch, baseline = screened.ingest.batch, run.trusted.baseline
    if run.job.settings.self_measurement == "off":
        return replace(screened, measured=SelfMeasurement(said="switched off in the settings."))
    if batch is None or baseline is None:
        missing = "baseline" if baseline is None else "batch that could be read"
        return replace(screened, measured=SelfMeasurement(said=f"not measured: no {missing}."))
    run.job.say("measuring the audit itself")
    audited = Audited(
        batch=batch,
        baseline=baseline,
        judged=judged,
        outcomes=screened.outcomes,
        rules=all_rules(),
        policy=screened.policy,
        detectors={detector.rule.id: detector for detector in run.job.chosen},
        context=context,
        taken=time.process_time() - began,
    )
    measured = measure(audited, time.process_time)
    unmet = (*screened.policy.unmet, *misses(measured))
    return replace(screened, measured=measured, policy=replace(screened.policy, unmet=unmet))


def reader_outcomes(ingested: Ingest, run: Run) -> list[Outcome]:
    """What reading found, as outcomes of its two rules, and the columns against the baseline's."""
    found = list(ingested.findings)
    if ingested.batch is not None and (refused := reserved(ingested.batch.schema)):
        # It would stand twice in the quarantined rows, or weigh rows for a training job.
        found.append(unusable("the batch", "SCHEMA", refused))
    columns = Outcome(rule=agreed_columns.OTHER_COLUMNS.id, skipped="the batch could not be read")
    if ingested.batch is not None:
        columns = agreed_columns.compare(ingested.batch, run.trusted.baseline, _named(run))
    files = known_files.compare(ingested.files, run.trusted.signatures)
    return [*(_grouped(rule.id, found) for rule in READER_RULES), columns, files]


def quota_outcomes(run: Run, batch: StagedBatch) -> list[Outcome]:
    """What is over the quotas of the settings; nothing where there are none."""
    limits = run.job.settings.policy.limits
    quotas = Quotas(
        contributor=limits.contributor_rows,
        contributor_label=limits.contributor_label_rows,
        source=limits.source_rows,
        minimum=limits.minimum_group,
    )
    return [within_quotas(batch, quotas, run.seed(batch.digest))] if quotas.any else []


def _named(run: Run) -> set[str]:
    """Columns that the settings give a role; the API may give one name instead of a list."""
    given = run.job.settings.roles.values()
    return {name for names in given for name in ((names,) if isinstance(names, str) else names)}


def provenance_outcomes(run: Run, verification: Verification) -> list[Outcome]:
    """What provenance found; what could not be compared is said."""
    return [_provenance(rule.id, run, verification) for rule in PROVENANCE_RULES]


def _provenance(rule: str, run: Run, verification: Verification) -> Outcome:
    found = _grouped(rule, verification.findings)
    audit, none = run.job.mode == Mode.AUDIT, verification.summary.get("status") == "none"
    if none and (audit or not found.findings):
        return Outcome(rule=rule, skipped="no manifest came with the batch")
    if rule in _IN_ORDER and not found.findings and (audit or not verification.verified):
        why = "an audit takes no place" if audit else "only a verified batch has one"
        return Outcome(rule=rule, skipped=f"{why} in the order of its source")
    return found


def _grouped(rule: str, findings: Sequence[Finding]) -> Outcome:
    return Outcome(rule=rule, findings=tuple(f for f in findings if f.rule == rule))


def verify_manifest(run: Run, ingested: Ingest) -> Verification:
    """Hold the batch against the manifest that was named, or that lies beside it."""
    path, batch = manifest_of(run), ingested.batch
    sender = batch.roles.contributor if batch else None
    counts = _rows_of_each(batch, sender) if batch and sender else None
    return verify_batch(
        ingested,
        path,
        authority=_authority(run),
        contributors=counts,
        now=run.job.clock(),
        source=run.job.settings.manifest.source,
        kind=batch.kind if batch else None,
        roles={"label": batch.roles.label, "contributor": sender} if batch else None,
    )


def in_order(run: Run, verification: Verification) -> Ordered:
    """Hold a verified batch against earlier ones of its source; an audit takes no place there."""
    if run.job.mode == Mode.AUDIT:
        return Ordered(verification, None)
    stated = run.job.settings.manifest
    ordered = hold_to_order(
        verification,
        run.ledger,
        now=run.job.clock(),
        strict=stated.sequence == "strict",
        mutable=stated.mutable,
    )
    # Who only observes wants to see what every rule would have said.
    return replace(ordered, waits=ordered.waits and run.job.mode == Mode.GATE)


def _authority(run: Run) -> Authority:
    if run.trusted.policy is not None:
        return PolicyAuthority(run.trusted.policy, run.job.clock())
    return ConfiguredKeys(run.trusted.keys, run.job.settings.manifest.threshold)


def manifest_of(run: Run) -> Path | None:
    """The manifest that was named, or that lies beside the batch; None where there is none."""
    return run.job.manifest or run.job.settings.manifest.path or manifest_beside(run.job.sources)


def limits_of(run: Run) -> Limits:
    """The site's limits, made narrower by what the trust policy allows the source.

    The manifest has not been verified yet. A sender who names a source with wider limits gains
    nothing: they are never wider than the site's, and that source's keys have to have signed.
    """
    limits, policy = run.job.settings.limits.as_limits(), run.trusted.policy
    if policy is None or (source := source_named(manifest_of(run))) is None:
        return limits
    try:
        terms = policy.source(source).limits
    except Refused:
        return limits  # an unknown source is refused when its manifest is verified
    given = {name: getattr(terms, name) for name in ("files", "bytes", "rows", "decoded_bytes")}
    return replace(
        limits, **{n: min(most, getattr(limits, n)) for n, most in given.items() if most}
    )


def _rows_of_each(batch: StagedBatch, column: str) -> Counter[str]:
    """Rows of each contributor; one without a name is ""."""
    found = coded(batch, column, missing="")
    return Counter(dict(zip(found.names, found.counts.tolist(), strict=True)))
