"""Which rows get weight 0: as many as asked for, those with the largest loss, none set aside."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.model import Outcome, ranking_table
from auditor.sample_weight import (
    COLUMN,
    FIELD,
    SampleWeight,
    completed,
    with_weights,
    without_field,
)
from auditor.trimmed_loss import RULES, released, unknown, weigh

CLASSES, TARGETS = RULES


def ranked(rows: list[int], rule: str = CLASSES) -> Outcome:
    """An outcome that ranks these rows, the worst first."""
    return Outcome(rule=rule, ranking=ranking_table(rows, np.linspace(0.001, 0.19, len(rows))))


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[int], np.ndarray, float]:
    """Ranked rows, which are set aside, and a share."""
    count = draw(st.integers(1, 200))
    order = draw(st.permutations(range(count)))
    aside = np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    most = draw(st.integers(0, count))
    return list(order[:most]), aside, draw(st.floats(0.0, 0.2))


@given(batches())
def test_as_many_as_asked_for_and_the_worst_of_them(
    batch: tuple[list[int], np.ndarray, float],
) -> None:
    rows, aside, share = batch
    found = weigh([ranked(rows)], {CLASSES}, share, aside)
    assert found is not None
    assert found.values.dtype == np.float32
    assert set(found.values.tolist()) <= {0.0, 1.0}
    zero = np.flatnonzero((found.values == 0) & ~aside)
    left = [row for row in rows if not aside[row]]
    budget = max(0, int(share * len(aside) + 1e-9) - int(aside.sum()))
    assert len(zero) == min(budget, len(left)) == found.said.rows
    assert set(zero.tolist()) == set(left[: len(zero)]), "a row with a smaller loss was taken"
    assert len(zero) + min(aside.sum(), budget) <= share * len(aside) + 1e-6


def test_a_row_that_is_set_aside_counts_as_trimmed() -> None:
    aside = np.zeros(100, dtype=bool)
    aside[[1, 50, 51]] = True
    found = weigh([ranked([1, 2, 3, 4])], {CLASSES}, 0.05, aside)
    assert found is not None
    assert np.flatnonzero((found.values == 0) & ~aside).tolist() == [2, 3]
    assert found.said == SampleWeight(share=0.05, rule=CLASSES, rows=2)


def test_a_share_in_binary_takes_no_row_less() -> None:
    """0.29 of 100 is 28.999... in binary; here 0.07 of 100 and 0.14 of 50."""
    for share, rows in ((0.07, 100), (0.14, 50)):
        found = weigh([ranked(list(range(20)))], {CLASSES}, share, np.zeros(rows, dtype=bool))
        assert found is not None
        assert found.said.rows == 7


def test_the_rule_that_knows_the_loss_is_taken() -> None:
    skipped = Outcome(rule=CLASSES, skipped="label 'y' is a real number; this rule needs classes")
    found = weigh([skipped, ranked([4], TARGETS)], {TARGETS}, 0.1, np.zeros(10, dtype=bool))
    assert found is not None
    assert found.said.rule == TARGETS
    assert found.values.tolist() == [1.0] * 4 + [0.0] + [1.0] * 5


@pytest.mark.parametrize(
    ("outcomes", "trusted", "why"),
    [
        ([Outcome(rule=CLASSES, skipped="no label role")], {CLASSES}, "AUD-L001: no label role"),
        ([Outcome(rule=CLASSES, failed="ValueError: x")], {CLASSES}, "AUD-L001: ValueError: x"),
        ([], set(), "AUD-L001: not among the rules of this run"),
        ([ranked([1])], set(), "AUD-L001: it had no trusted rows"),
        ([ranked([1], "AUD-F001")], {"AUD-F001"}, "AUD-L003: not among the rules of this run"),
    ],
)
def test_a_loss_that_is_not_known(outcomes: list[Outcome], trusted: set[str], why: str) -> None:
    assert weigh(outcomes, trusted, 0.1, np.zeros(10, dtype=bool)) is None
    said = unknown(outcomes, trusted)
    assert said is not None
    assert why in said


def test_a_loss_that_is_known_is_not_unknown() -> None:
    assert unknown([ranked([])], {CLASSES}) is None


def test_released_rows_count_whole() -> None:
    found = released(3, 0.1)
    assert found.values.tolist() == [1.0, 1.0, 1.0]
    assert found.said == SampleWeight(share=0.1, rule="", rows=0)


def test_the_column_is_added_last_and_left_out_again() -> None:
    rows = pa.record_batch({"x": [1, 2], "label": ["a", "b"]})
    found = with_weights(rows, np.array([0, 1], dtype=np.float32))
    assert found.schema.names == ["x", "label", COLUMN]
    assert found.schema.field(COLUMN) == FIELD
    assert without_field(found.schema) == rows.schema == without_field(rows.schema)


@given(st.integers(0, 5))
def test_a_table_is_completed_once(count: int) -> None:
    plain = pa.table({"x": list(range(count))}, schema=pa.schema([("x", pa.int64())]))
    once = completed(plain)
    assert once[COLUMN].to_pylist() == [1.0] * count
    assert completed(once) is once
