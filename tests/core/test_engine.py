"""A detector that breaks has failed; it has never passed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
import pytest

from auditor.batch import Batch, Roles, TableBatch
from auditor.context import Context
from auditor.engine import judge, run
from auditor.errors import ConfigError, Unavailable
from auditor.model import Effect, Family, Outcome, Rule, Severity, Verdict
from auditor.policy import Policy, decide

BATCH = TableBatch(pa.table({"a": [1, 2]}), Roles())


@dataclass(frozen=True)
class Options:
    """No settings."""


def detector(
    name: str, *, loading: BaseException | None = None, scanning: BaseException | None = None
):
    class Fake:
        rule: ClassVar[Rule] = Rule(
            id=name,
            family=Family.QUALITY,
            title=name,
            severity=Severity.LOW,
            effect=Effect.NOTE,
        )
        options: ClassVar[type] = Options

        @classmethod
        def load(cls, context: Context):
            if loading:
                raise loading
            return cls()

        def scan(self, batch: Batch) -> Outcome:
            if scanning:
                raise scanning
            return Outcome(rule=name)

    return Fake


def outcomes(*detectors, batch: TableBatch = BATCH) -> list[Outcome]:
    return list(run(detectors, batch, Context()))


def test_outcomes_come_in_order_with_the_time_they_took() -> None:
    found = outcomes(detector("one"), detector("two"))
    assert [(o.rule, o.status) for o in found] == [("one", "ran"), ("two", "ran")]
    assert all(o.seconds > 0 for o in found)


@pytest.mark.parametrize("where", ["loading", "scanning"])
@pytest.mark.parametrize(
    "error",
    [ValueError("x"), MemoryError(), ConfigError("bad suite"), RecursionError(), KeyError(1)],
)
def test_a_detector_that_raises_has_failed_and_the_others_go_on(
    where: str, error: Exception
) -> None:
    broken, fine = detector("broken", **{where: error}), detector("fine")
    first, second = outcomes(broken, fine)
    assert (first.status, second.status) == ("failed", "ran")
    assert type(error).__name__ in (first.failed or "")
    rules = {d.rule.id: d.rule for d in (broken, fine)}
    decision = decide([first, second], rules=rules, policy=Policy(), rows=2)
    assert decision.verdict == Verdict.HOLD


@pytest.mark.parametrize("where", ["loading", "scanning"])
def test_a_detector_that_cannot_run_says_why(where: str) -> None:
    (found,) = outcomes(detector("one", **{where: Unavailable("no label role")}))
    assert (found.status, found.skipped) == ("skipped", "no label role")


def test_an_interruption_is_not_an_outcome() -> None:
    with pytest.raises(KeyboardInterrupt):
        outcomes(detector("one", scanning=KeyboardInterrupt()))


def test_a_batch_without_rows_is_scanned_by_nobody() -> None:
    empty = TableBatch(BATCH.table.slice(0, 0), Roles())
    (found,) = outcomes(detector("one", scanning=AssertionError()), batch=empty)
    assert found.status == "skipped"


def test_progress_names_each_rule() -> None:
    said: list[str] = []
    list(run([detector("one"), detector("two")], BATCH, Context(), said.append))
    assert said == ["one one", "two two"]


def test_what_judged_a_batch_can_judge_another_one() -> None:
    fine, broken, idle = (
        detector("fine"),
        detector("broken", scanning=ValueError("x")),
        detector("idle", loading=Unavailable("needs a baseline")),
    )
    for one, status in zip(
        judge((fine, broken, idle), BATCH, Context()), ("ran", "failed", "skipped"), strict=True
    ):
        assert one.outcome.status == status
        assert one.outcome.seconds > 0
        assert min(one.loading, one.scanning) >= 0
        again = one.loaded.scan(BATCH)
        assert (again.rule, again.status) == (one.outcome.rule, status)


def test_an_empty_batch_loads_nothing() -> None:
    empty = TableBatch(BATCH.table.slice(0, 0), Roles())
    (one,) = judge([detector("x", loading=ValueError("loaded"))], empty, Context())
    assert one.outcome.skipped == "the batch has no rows"
