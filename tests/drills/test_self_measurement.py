"""An audit that measures itself: what it sees, what it says when rules are blind, what it costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from auditor import power
from auditor.baseline import Baseline, Part
from auditor.batch import Roles, TableBatch
from auditor.context import Context
from auditor.detectors import DETECTORS
from auditor.detectors.conflicting_labels import ConflictingLabels
from auditor.detectors.exact_duplicates import ExactDuplicates
from auditor.detectors.hidden_text import HiddenText
from auditor.detectors.triggers import Triggers
from auditor.engine import Judged, Loaded, judge
from auditor.model import Effect, Outcome
from auditor.policy import Policy
from auditor.report_records import CanaryRecord, SelfMeasurement
from auditor.self_measurement import SHARE, STAND_INS, TIMES, UNKNOWN, measure, misses
from auditor.shadow_copies import Audited
from auditor.site import all_rules

#: Rules that see canaries, and are loaded within moments.
QUICK = (HiddenText, ExactDuplicates, ConflictingLabels, Triggers)


class Ticking:
    """A clock on which every look takes so many seconds."""

    def __init__(self, step: float = 0.0) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def stored(baseline: Baseline, rows: Mapping[str, int | None], window: int = 900) -> Baseline:
    """A baseline whose power was measured: from so many rows on."""
    attacks = [
        {"attack": attack, "family": power.STAND_INS[attack].value, "rows": count, "caught": 6,
         "trials": 6, "low": 0.6, "high": 1.0, "reason": ""}
        for attack, count in rows.items()
    ]  # fmt: skip
    known = {"asked": 200, "trials": 90, "rows": window, "level": 0.9, "counts": [10, 250]}
    return replace(baseline, power=known | {"attacks": attacks})


Make = Callable[..., Audited]


@pytest.fixture(scope="module")
def audited(diamonds_context: Context, diamonds_roles: Roles, diamonds_clean: pa.Table) -> Make:
    """An audit of the first 1,800 clean rows by the quick rules."""
    batch = TableBatch(diamonds_clean.slice(0, 1800), diamonds_roles)
    judged = list(judge(QUICK, batch, diamonds_context))

    def make(**changes: Any) -> Audited:
        whole: dict[str, Any] = {
            "batch": batch,
            "baseline": diamonds_context.baseline,
            "judged": judged,
            "outcomes": [one.outcome for one in judged],
            "rules": all_rules(),
            "policy": Policy(),
            "detectors": {d.rule.id: d for d in DETECTORS},
            "context": diamonds_context,
            "taken": 1e6,
        }
        return Audited(**(whole | changes))

    return make


@pytest.fixture(scope="module")
def strong(diamonds_baseline: Baseline) -> Baseline:
    return stored(diamonds_baseline, {"backdoor": 20})


def by_name(measured: SelfMeasurement) -> dict[str, CanaryRecord]:
    return {one.canary: one for one in measured.canaries}


def blind(judged: list[Judged], rule: str, instead: Outcome | None = None) -> list[Judged]:
    """The same rules, one of which says the same of every batch: nothing, or `instead`."""
    found = instead or Outcome(rule=rule)
    return [
        replace(one, loaded=Loaded(rule, None, found)) if one.loaded.rule == rule else one
        for one in judged
    ]


def test_rules_that_work_see_what_cannot_be_overlooked(audited: Make, strong: Baseline) -> None:
    measured = measure(audited(baseline=strong), Ticking())
    found = by_name(measured)
    assert (found["a new column"].planted, found["a new column"].found) == (1, 1)
    for name, planted in (("hidden characters", UNKNOWN), ("an exact trigger", TIMES * 20)):
        one = found[name]
        assert (one.planted, one.found, one.seeds, one.sure) == (planted, planted, 1, True)
        assert 0.9 < one.low < one.high == 1.0
    assert misses(measured) == ()
    assert measured.rows == 1800
    assert "4 of 4 kinds" in measured.said


def test_families_whose_rules_did_not_run_are_named(audited: Make) -> None:
    found = by_name(measure(audited(), Ticking()))
    for name in ("other labels", "a contributor made up", "numbers far outside"):
        assert "no rule for it ran" in found[name].reason
        assert found[name].planted == 0


def test_a_blind_rule_is_tried_twice_and_holds(audited: Make, strong: Baseline) -> None:
    whole = audited(baseline=strong)
    for rule, name in (("AUD-T001", "an exact trigger"), ("AUD-Q002", "hidden characters")):
        measured = measure(replace(whole, judged=blind(list(whole.judged), rule)), Ticking())
        one = by_name(measured)[name]
        assert (one.found, one.seeds, one.missed) == (0, 2, True)
        (reason,) = misses(measured)
        assert name in reason
        assert "cannot be relied on" in reason


def test_a_rule_that_fails_on_the_copy_is_a_miss(audited: Make, strong: Baseline) -> None:
    whole = audited(baseline=strong)
    broken = Outcome(rule="AUD-T001", failed="ValueError: x")
    measured = measure(
        replace(whole, judged=blind(list(whole.judged), "AUD-T001", broken)), Ticking()
    )
    assert by_name(measured)["an exact trigger"].missed


def test_a_rule_that_cannot_judge_the_copy_says_so(audited: Make, strong: Baseline) -> None:
    whole = audited(baseline=strong)
    skipped = Outcome(rule="AUD-T001", skipped="needs more rows")
    measured = measure(
        replace(whole, judged=blind(list(whole.judged), "AUD-T001", skipped)), Ticking()
    )
    assert by_name(measured)["an exact trigger"].reason == "needs more rows"
    assert misses(measured) == ()


def test_without_stored_power_a_missed_trigger_is_only_reported(
    audited: Make, diamonds_baseline: Baseline
) -> None:
    unknown = stored(diamonds_baseline, {"backdoor": None})
    too_many = stored(diamonds_baseline, {"backdoor": 250})
    whole = audited()
    for baseline in (diamonds_baseline, unknown, too_many):
        sightless = replace(whole, baseline=baseline, judged=blind(list(whole.judged), "AUD-T001"))
        measured = measure(sightless, Ticking())
        one = by_name(measured)["an exact trigger"]
        assert (one.sure, one.found, one.seeds, one.missed) == (False, 0, 1, False)
        assert misses(measured) == ()


def test_a_rule_that_the_policy_only_notes_is_not_measured(audited: Make, strong: Baseline) -> None:
    whole = audited(baseline=strong, policy=Policy(effects={"AUD-T001": Effect.NOTE}))
    one = by_name(measure(whole, Ticking()))["an exact trigger"]
    assert "no rule for it ran and does more than note" in one.reason


def test_alpha_of_the_audit_counts(audited: Make, strong: Baseline) -> None:
    """The level is that of the run: with next to no budget not even a trigger is a claim."""
    tiny = audited(baseline=strong, policy=Policy(alpha=1e-250))
    assert by_name(measure(tiny, Ticking()))["an exact trigger"].missed


def test_work_that_does_not_fit_the_budget_is_not_begun(audited: Make, strong: Baseline) -> None:
    whole = audited(baseline=strong, taken=100.0)
    slow = [replace(one, scanning=100 * SHARE + 1) for one in whole.judged]
    for audit, clock in (
        (replace(whole, judged=slow), Ticking()),  # expected to take too long
        (whole, Ticking(100 * SHARE + 1)),  # what came before took too long
    ):
        measured = measure(audit, clock)
        found = by_name(measured)
        assert found["a new column"].found == 1
        for name in ("hidden characters", "an exact trigger"):
            assert "was used up" in found[name].reason
        assert "an exact trigger" in measured.said
        assert misses(measured) == ()


def test_nothing_is_planted_where_too_few_rows_are_left(audited: Make) -> None:
    whole = audited()
    few = TableBatch(whole.batch.table.slice(0, 150), whole.batch.roles)  # type: ignore[attr-defined]
    measured = measure(replace(whole, batch=few, outcomes=[Outcome(rule="AUD-T001")]), Ticking())
    assert "150 rows are not set aside" in measured.said
    assert measured.canaries == ()


def test_the_batch_stays_as_it_was(audited: Make, strong: Baseline) -> None:
    whole = audited(baseline=strong)
    table = whole.batch.table  # type: ignore[attr-defined]
    before = table.to_pylist()
    measure(whole, Ticking())
    assert table.to_pylist() == before
    again = list(judge(QUICK, whole.batch, whole.context))
    for first, second in zip(whole.judged, again, strict=True):
        assert replace(first.outcome, seconds=0) == replace(second.outcome, seconds=0)


def test_every_stand_in_has_a_stored_power() -> None:
    assert set(STAND_INS.values()) <= set(power.STAND_INS)
    assert all(power.STAND_INS[attack].value == family for family, attack in STAND_INS.items())


# --- the control -------------------------------------------------------------------------------


def test_a_baseline_of_one_part_has_no_control(audited: Make) -> None:
    assert measure(audited(), Ticking()).control.reason == "the baseline has one part"


@pytest.fixture(scope="module")
def grown(
    diamonds_baseline: Baseline, diamonds_clean: pa.Table, diamonds_roles: Roles,
    diamonds_settings: dict[str, object],
) -> Callable[[pa.Table], Baseline]:  # fmt: skip
    """The baseline with one more part."""
    import datetime as dt

    from auditor import calibration

    def grow(table: pa.Table) -> Baseline:
        plan = calibration.Plan(
            name="later",
            site_key=b"k" * 32,
            now=dt.datetime(2026, 11, 23, tzinfo=dt.UTC),
            options=diamonds_settings,
            resamples=0,
            detectors=QUICK,
        )
        return calibration.extended(diamonds_baseline, TableBatch(table, diamonds_roles), plan)

    return grow


def parts(baseline: Baseline) -> list[Part]:
    return sorted(baseline.parts, key=lambda part: part.age)


def test_the_newest_part_is_audited_against_the_others(
    audited: Make, grown: Callable[[pa.Table], Baseline], diamonds_clean: pa.Table
) -> None:
    clean = diamonds_clean.slice(3000, 500)
    control = measure(audited(baseline=grown(clean)), Ticking()).control
    assert (control.part, control.rows, control.set_aside) == ("later", 500, 0)
    assert control.families == ("trigger", "duplication")
    assert 0.0 < control.high < 0.01
    # Copies were trusted by mistake: the control, which the other part judges, says so.
    copied = pa.concat_tables([clean, *[clean.slice(0, 1)] * 60])
    control = measure(audited(baseline=grown(copied)), Ticking()).control
    assert control.set_aside >= 59
    assert control.low > 0.05
