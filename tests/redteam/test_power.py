"""The smallest number of poison rows that is caught: the search, what is stored, what it says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import pyarrow as pa
import pytest

from auditor import baseline_files, power
from auditor.baseline import Baseline
from auditor.batch import Batch, Roles
from auditor.config.settings import PowerFamily
from auditor.context import Context
from auditor.drill import Gate, Mask, Score
from auditor.model import Effect as Does
from auditor.model import Family, Outcome, Rule, Severity, Verdict
from auditor.policy import Policy, decide
from auditor.report_records import PowerRecord
from auditor.trials import ATTACKS, Ground

RULE = Rule(id="AUD-X001", family=Family.LABEL, title="x", severity=Severity.LOW, effect=Does.NOTE)


@dataclass
class Sees:
    """A gate that sets all poison aside from so many rows on, and counts what it was shown."""

    rows: int
    shown: int = 0
    failed: tuple[str, ...] = ()
    wrong_rows: bool = False

    def score(self, batch: Batch, mask: Mask) -> Score:
        self.shown += 1
        poison = int(mask.sum())
        seen = poison >= self.rows
        return Score(
            verdict=Verdict.QUARANTINE if seen else Verdict.ACCEPT,
            poison=poison,
            honest=batch.rows - poison,
            poison_quarantined=poison if seen and not self.wrong_rows else 0,
            honest_quarantined=3 if self.wrong_rows else 0,
            recall=1.0,
            auc=1.0,
            rules={},
            failed=self.failed,
            seconds=0.0,
        )


@pytest.fixture(scope="module")
def ground(clean: pa.Table, trusted: pa.Table, roles: Roles) -> Ground:
    return Ground(
        clean=clean,
        trusted=trusted,
        roles=roles,
        window=800,
        detectors=(),
        context=Context(),
        policy=Policy(),
    )


def search(
    ground: Ground, gate: Sees, attack: str = "random-flip", repeats: int = 6
) -> tuple[PowerRecord, int]:
    return power.smallest(ground, cast(Gate, gate), (attack, repeats, power.COUNTS))


@pytest.mark.parametrize("limit", [1, 10, 11, 50, 100, 250])
def test_the_search_finds_the_smallest_count_that_is_caught(ground: Ground, limit: int) -> None:
    found, spent = search(ground, Sees(limit))
    assert found.rows == min(n for n in power.COUNTS if n >= limit)
    assert (found.caught, found.trials) == (6, 6)
    assert found.low == pytest.approx(0.61, abs=0.01)
    assert spent <= power.STEPS * 6


def test_what_is_never_caught_costs_few_trials(ground: Ground) -> None:
    gate = Sees(10_000)
    found, spent = search(ground, gate)
    assert found.rows is None
    assert (found.caught, found.trials) == (0, 1)
    assert spent == gate.shown <= power.STEPS


def test_an_alarm_about_other_rows_and_a_broken_rule_are_no_catch(ground: Ground) -> None:
    assert search(ground, Sees(1, wrong_rows=True))[0].rows is None
    assert search(ground, Sees(1, failed=("AUD-L001: broke",)))[0].rows is None


def test_an_attack_that_does_not_fit_says_why(ground: Ground, roles: Roles) -> None:
    alone = Roles({r: names for r, names in roles.assigned.items() if r != "contributor"})
    found, spent = search(replace(ground, roles=alone), Sees(1), "sybil")
    assert "contributor" in found.reason
    assert found.rows is None
    assert spent == 1


def test_too_few_trials_are_refused(ground: Ground) -> None:
    with pytest.raises(ValueError, match="at least 30"):
        power.measure(ground, power.FEWEST - 1)


def test_every_stand_in_is_an_attack_and_every_family_can_be_demanded() -> None:
    assert set(power.STAND_INS) <= set(ATTACKS)
    assert set(get_args(PowerFamily)) == {family.value for family in power.STAND_INS.values()}


def record(attack: str, rows: int | None, **changes: Any) -> dict[str, Any]:
    known = {"family": power.STAND_INS[attack].value, "caught": 6, "trials": 6}
    return {"attack": attack, "rows": rows, "low": 0.6, "high": 1.0, "reason": ""} | known | changes


@pytest.fixture(scope="module")
def measured(diamonds_baseline: Baseline) -> Baseline:
    attacks = [
        record("backdoor", 20),
        record("clean-label", 50),
        record("random-flip", None, caught=0),
        record("sybil", None, reason="sybil needs a contributor role"),
    ]
    stored = {"asked": 200, "trials": 90, "rows": 1667, "level": 0.9, "counts": [10, 250]}
    return replace(diamonds_baseline, power=stored | {"attacks": attacks})


def test_power_is_stored_and_bound_by_the_digest(measured: Baseline, tmp_path: Path) -> None:
    stored = baseline_files.as_stored(measured)
    folder = baseline_files.write(stored, tmp_path / "baseline")
    assert baseline_files.read(folder).power == measured.power
    header = (folder / "baseline.json").read_text()
    (folder / "baseline.json").write_text(header.replace('"trials": 90', '"trials": 91'))
    with pytest.raises(Exception, match="digest"):
        baseline_files.read(folder)


def test_the_sentence_says_what_was_measured_or_that_it_is_unknown(
    measured: Baseline, diamonds_baseline: Baseline
) -> None:
    said = power.sentence(measured)
    assert "1,667 rows" in said
    assert "backdoor 20, clean-label 50" in said
    assert "Not up to 250 rows: random-flip." in said
    assert "sybil" not in said
    assert power.sentence(diamonds_baseline).startswith("unknown")
    assert power.sentence(None).startswith("unknown")


@pytest.mark.parametrize(
    ("family", "rows", "reason"),
    [
        ("trigger", 50, None),
        ("trigger", 49, "clean-label was caught from 50 rows on"),
        ("label", 250, "random-flip was not caught"),
        ("contributor", 250, "none could be planted"),
        ("feature", 250, "none could be planted"),
    ],
)
def test_a_demand_that_the_stored_power_does_not_reach_is_named(
    measured: Baseline, family: str, rows: int, reason: str | None
) -> None:
    found = power.shortfalls(measured, [(family, rows)])
    assert len(found) == (reason is not None)
    assert all(str(reason) in text and family in text for text in found)


def test_unknown_power_reaches_nothing(diamonds_baseline: Baseline) -> None:
    for baseline in (None, diamonds_baseline):
        assert "no power was measured" in power.shortfalls(baseline, [("trigger", 250)])[0]
        assert power.shortfalls(baseline, []) == ()


def test_an_unmet_demand_holds_a_clean_batch() -> None:
    for unmet, verdict in (((), Verdict.ACCEPT), (("too weak",), Verdict.HOLD)):
        decision = decide(
            [Outcome(rule=RULE.id)], rules={RULE.id: RULE}, policy=Policy(unmet=unmet), rows=9
        )
        assert decision.verdict == verdict
        assert set(unmet) <= set(decision.reasons)


def test_weights_decide_which_rows_a_window_has(ground: Ground) -> None:
    from auditor.trials import window

    weights = np.zeros(ground.clean.num_rows)
    weights[:900] = 1.0
    drawn = window(replace(ground, weights=weights), 1)
    early = set(ground.clean.slice(0, 900).column("row_id").to_pylist())
    assert drawn.num_rows == 800
    assert set(drawn.column("row_id").to_pylist()) <= early
