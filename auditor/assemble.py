"""Puts a `Report` together from what the steps of a run found. Pure: plain values in and out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from auditor import power
from auditor.baseline import Baseline
from auditor.evidence import neighbours, show_rows, user_ids, worst_rows
from auditor.model import ATTACKS, STATISTICAL, Effect, Mode, Outcome, Rule, Scalar, Verdict
from auditor.policy import Decided, Decision, Policy
from auditor.readers import StagedBatch
from auditor.report_records import (
    Charts,
    FileRecord,
    FindingRecord,
    Report,
    RoleRecord,
    RuleRecord,
    Sample,
    SelfMeasurement,
)

SCHEMA_VERSION: Final = 1
#: Findings that get sample rows, the weightiest first; the others have theirs in the Parquet file.
SAMPLED: Final = 40

_WEIGHT: Final = {Effect.REJECT: 0, Effect.HOLD: 1, Effect.QUARANTINE: 2, Effect.NOTE: 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a report says of the run besides its findings."""

    run: str
    auditor: str
    created_at: str
    mode: Mode
    name: str
    digest: str
    kind: str
    files: tuple[FileRecord, ...]
    roles: tuple[RoleRecord, ...]
    provenance: Mapping[str, Scalar]
    reproduce: Mapping[str, Scalar]
    settings: Mapping[str, object]
    seconds: float


def report(
    facts: Facts,
    *,
    batch: StagedBatch | None,
    baseline: Baseline | None,
    outcomes: Sequence[Outcome],
    decision: Decision,
    rules: Mapping[str, Rule],
    policy: Policy,
    charts: Charts,
    rows_quarantined: int,
    set_digest: str | None,
    published_digest: str | None,
    measured: SelfMeasurement,
) -> Report:
    """The report; findings keep the order of `decision.decided`."""
    published = facts.mode == Mode.GATE and decision.verdict in (Verdict.ACCEPT, Verdict.QUARANTINE)
    rows = batch.rows if batch else 0
    aside = rows_quarantined if decision.verdict == Verdict.QUARANTINE else 0
    return Report(
        schema_version=SCHEMA_VERSION,
        run=facts.run,
        auditor=facts.auditor,
        created_at=facts.created_at,
        mode=facts.mode.value,
        verdict=decision.verdict.value,
        reasons=decision.reasons,
        next_steps=_next_steps(decision, facts, baseline),
        batch_name=facts.name,
        batch_digest=facts.digest,
        batch_kind=facts.kind,
        files=facts.files,
        columns=tuple((f.name, str(f.type)) for f in batch.schema) if batch else (),
        roles=facts.roles,
        rows_in=rows,
        rows_published=rows - aside if published else 0,
        rows_quarantined=aside,
        set_digest=set_digest,
        published_digest=published_digest,
        rules=_rule_records(outcomes, decision, rules, policy),
        findings=_finding_records(decision.decided, rules, batch, baseline),
        power=power.sentence(baseline),
        power_by_attack=power.records(baseline),
        false_alarms=false_alarms(baseline),
        not_covered=_not_covered(outcomes, rules),
        not_judged=_not_judged(outcomes, rules) if baseline is None else (),
        provenance=facts.provenance,
        baseline=_baseline_record(baseline),
        charts=charts,
        reproduce=facts.reproduce,
        settings=facts.settings,
        seconds=round(facts.seconds, 3),
        self_measurement=measured,
    )


def _rule_records(
    outcomes: Sequence[Outcome], decision: Decision, rules: Mapping[str, Rule], policy: Policy
) -> tuple[RuleRecord, ...]:
    extra = {d.finding.rule for d in decision.decided} - {outcome.rule for outcome in outcomes}
    # A rule of the policy itself has no detector; it is listed where it had something to say.
    outcomes = [*outcomes, *(Outcome(rule=rule) for rule in sorted(extra))]
    return tuple(
        RuleRecord(
            id=outcome.rule,
            title=rules[outcome.rule].title,
            family=rules[outcome.rule].family.value,
            status=outcome.status,
            reason=outcome.failed or outcome.skipped or "",
            effect=policy.effects.get(outcome.rule, rules[outcome.rule].effect).value,
            required=outcome.rule in policy.required,
            findings=sum(d.finding.rule == outcome.rule for d in decision.decided),
            seconds=round(outcome.seconds, 3),
            attacks=rules[outcome.rule].attacks,
            references=rules[outcome.rule].references,
        )
        for outcome in outcomes
    )


def _finding_records(
    decided: Sequence[Decided],
    rules: Mapping[str, Rule],
    batch: StagedBatch | None,
    baseline: Baseline | None,
) -> tuple[FindingRecord, ...]:
    order = sorted(range(len(decided)), key=lambda i: (_WEIGHT[decided[i].effect], i))
    samples = _samples(decided, order[:SAMPLED], batch, baseline)
    return tuple(
        FindingRecord(
            id=f"F{number + 1:04d}",
            rule=one.finding.rule,
            title=rules[one.finding.rule].title,
            family=rules[one.finding.rule].family.value,
            severity=one.finding.severity.value,
            effect=one.effect.value,
            reason=one.reason,
            message=one.finding.message,
            p_value=one.finding.p_value,
            rows=None if one.finding.rows is None else one.finding.rows.num_rows,
            evidence=dict(one.finding.evidence),
            samples=samples.get(number, ()),
        )
        for number, one in enumerate(decided)
    )


def _samples(
    decided: Sequence[Decided],
    chosen: Sequence[int],
    batch: StagedBatch | None,
    baseline: Baseline | None,
) -> dict[int, tuple[Sample, ...]]:
    """The worst rows of the chosen findings, read in one pass."""
    if batch is None:
        return {}
    worst = {number: worst_rows(decided[number].finding) for number in chosen}
    wanted = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *worst.values()]))
    if not len(wanted):
        return {}
    values = show_rows(batch, wanted)
    near = neighbours(batch, baseline, wanted) if baseline else {}
    ids = dict(zip(wanted.tolist(), user_ids(batch, wanted), strict=True))
    return {
        number: tuple(
            _sample(row, batch, float(suspicion), ids[row], values[row], near.get(row, ()))
            for row, suspicion in _suspicion_of(decided[number], rows)
        )
        for number, rows in worst.items()
        if len(rows)
    }


def _suspicion_of(one: Decided, rows: npt.NDArray[np.int64]) -> list[tuple[int, float]]:
    table = one.finding.rows
    known = (
        dict(
            zip(table.column("row").to_pylist(), table.column("suspicion").to_pylist(), strict=True)
        )
        if table
        else {}
    )
    return [(int(row), known[int(row)]) for row in rows]


def _sample(
    row: int,
    batch: StagedBatch,
    suspicion: float,
    user_id: str,
    values: Mapping[str, Scalar],
    near: tuple[Mapping[str, Scalar], ...],
) -> Sample:
    files, inside = batch.locate(np.array([row]))
    return Sample(
        row=row,
        file=files[0].as_py(),
        file_row=inside[0].as_py(),
        id=user_id,
        suspicion=round(suspicion, 4),
        values=values,
        neighbours=near,
    )


def false_alarms(baseline: Baseline | None) -> str:
    """One sentence: what was measured on clean batches at build, or that nothing was."""
    if baseline is None:
        return "not measured; there is no baseline to measure them on."
    clean: Mapping[str, Any] = baseline.clean
    low, high = float(clean["row_rate_low"]), float(clean["row_rate_high"])
    return (
        f"On {clean['batches']} clean batches of the baseline: "
        f"{clean['batches_not_accepted']} not accepted, {clean['rows_quarantined']} of "
        f"{clean['rows']} rows set aside (95 % interval {low:.2%} to {high:.2%})."
    )


def _not_covered(outcomes: Sequence[Outcome], rules: Mapping[str, Rule]) -> tuple[str, ...]:
    """Attacks that no rule which ran was built to see."""
    seen = {a for o in outcomes if o.status == "ran" for a in rules[o.rule].attacks}
    return tuple(name for name in ATTACKS if name not in seen)


def _not_judged(outcomes: Sequence[Outcome], rules: Mapping[str, Rule]) -> tuple[str, ...]:
    """Attacks that, without a baseline, were only looked for by rules that could not judge.

    A statistical rule that compared senders with each other has judged; others need no baseline.
    """
    ran = [o for o in outcomes if o.status == "ran"]
    judged = {
        attack
        for o in ran
        if rules[o.rule].family not in STATISTICAL or any(f.calibrated for f in o.findings)
        for attack in rules[o.rule].attacks
    }
    seen = {attack for o in ran for attack in rules[o.rule].attacks}
    return tuple(name for name in ATTACKS if name in seen - judged)


def _baseline_record(baseline: Baseline | None) -> dict[str, Scalar] | None:
    if baseline is None:
        return None
    return {
        "digest": baseline.digest,
        "created_at": baseline.created_at,
        "rows": baseline.rows,
        "parts": len(baseline.parts),
        **{name: value for name, value in baseline.clean.items() if isinstance(value, int | float)},
    }


def _after_hold(decision: Decision) -> str:
    if any(one.finding.evidence.get("code") == "REPLAY" for one in decision.decided):
        return (
            "The earlier verdict stands: use what that run published, if it published anything. "
            "`auditor audit` looks at the batch once more."
        )
    return "Nothing is published. Mend what is named above and audit the same files again."


def _next_steps(decision: Decision, facts: Facts, baseline: Baseline | None) -> tuple[str, ...]:
    passed = "Train on the published files; every row passed."
    if baseline is None:
        passed = (
            "Most kinds of poisoning cannot be judged without a baseline: read what was not judged "
            "before you train. By default training jobs refuse these files, whose attestation says "
            "AUDITOR_NO_BASELINE."
        )
    steps = {
        Verdict.ACCEPT: [passed],
        Verdict.QUARANTINE: [
            f"Look at the rows that were set aside: `auditor quarantine show {facts.run}`.",
            "Ask the contributors that the findings name where these rows came from.",
        ],
        Verdict.REJECT: [
            "Do not train on this batch. Ask the supplier for a corrected one.",
            "Codes and what they mean: docs/reference/codes.md.",
        ],
        Verdict.HOLD: [_after_hold(decision)],
    }[decision.verdict]
    if facts.mode != Mode.GATE and decision.verdict in (Verdict.ACCEPT, Verdict.QUARANTINE):
        steps = [f"Nothing was published: this was `{facts.mode}`. `auditor gate` publishes."]
        if decision.verdict == Verdict.QUARANTINE:
            steps.append("The suspicious rows are listed in quarantine.csv, by your own ids.")
    if baseline is None:
        steps.append("Build a baseline from trusted rows: `auditor baseline build DATA`.")
    return tuple(steps)
