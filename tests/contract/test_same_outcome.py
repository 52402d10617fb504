"""What a detector says depends on the rows, not on how they came."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pytest

from auditor.batch import Roles, TableBatch
from auditor.context import Context, Detector
from auditor.detectors import DETECTORS
from auditor.model import Outcome

Load = Callable[[type[Detector]], Detector]
CLOSE = 1e-6


def rows_of(finding) -> dict[int, float]:
    if finding.rows is None:
        return {}
    return dict(zip(*(finding.rows.column(i).to_pylist() for i in (0, 1)), strict=True))


def suspicions(outcome: Outcome) -> dict[int, float]:
    """The worst suspicion of each row that any finding names."""
    worst: dict[int, float] = {}
    for finding in outcome.findings:
        for row, value in rows_of(finding).items():
            worst[row] = max(value, worst.get(row, 0.0))
    return worst


def tails(outcome: Outcome) -> dict[int, float]:
    if outcome.ranking is None:
        return {}
    return dict(zip(*(outcome.ranking.column(i).to_pylist() for i in (0, 1)), strict=True))


def assert_same_ranking(one: Mapping[int, float], two: Mapping[int, float]) -> None:
    """Equal tails; which of several rows with the last tail is listed is nobody's business."""
    assert len(one) == len(two)
    if not one:
        return
    last = max(one.values())
    assert max(two.values()) == pytest.approx(last, abs=CLOSE)
    sure = {row for row, tail in one.items() if tail < last - CLOSE}
    assert sure <= set(two)
    assert [two[row] for row in sure] == pytest.approx([one[row] for row in sure], abs=CLOSE)


def assert_same(one: Outcome, two: Outcome) -> None:
    """The same claims in any order, the same rows in them, the same ranking."""
    assert (one.status, one.skipped) == (two.status, two.skipped)
    assert len(one.findings) == len(two.findings)
    ours, theirs = (sorted(o.findings, key=_order) for o in (one, two))
    for a, b in zip(ours, theirs, strict=True):
        assert (a.rule, a.severity, a.calibrated) == (b.rule, b.severity, b.calibrated)
        assert (a.p_value is None) == (b.p_value is None)
        assert (a.p_value or 1.0) == pytest.approx(b.p_value or 1.0, rel=1e-9)
        assert rows_of(a) == pytest.approx(rows_of(b), abs=CLOSE)
    assert_same_ranking(tails(one), tails(two))


def _order(finding) -> tuple[float, list[int]]:
    p = -1.0 if finding.p_value is None else float(f"{finding.p_value:.9e}")
    return p, sorted(rows_of(finding))


def moved(outcome: Outcome, position: np.ndarray) -> Outcome:
    """The outcome with row `i` renamed to `position[i]`."""

    def rename(table: pa.Table | None) -> pa.Table | None:
        if table is None:
            return None
        rows = pa.array(position[table.column("row").to_numpy()], pa.int64())
        return table.set_column(0, "row", rows)

    findings = tuple(
        type(f)(
            rule=f.rule,
            severity=f.severity,
            message=f.message,
            p_value=f.p_value,
            rows=rename(f.rows),
            calibrated=f.calibrated,
        )
        for f in outcome.findings
    )
    return Outcome(rule=outcome.rule, findings=findings, ranking=rename(outcome.ranking))


def test_the_batch_of_these_tests_moves_most_detectors(load: Load, busy: TableBatch) -> None:
    here = [d for d in DETECTORS if d.rule.id != "AUD-L003"]  # its label is of real numbers
    silent = [d.rule.id for d in here if not load(d).scan(busy).findings]
    assert len(silent) <= len(here) // 4, silent


@pytest.mark.parametrize("rows", [1, 7, 50])
def test_any_chunking_gives_the_same_outcome(
    detector: type[Detector], load: Load, busy: TableBatch, rows: int
) -> None:
    whole = load(detector).scan(busy)
    parts = load(detector).scan(TableBatch(busy.table, busy.roles, chunk_rows=rows))
    assert_same(whole, parts)
    assert [f.message for f in whole.findings] == [f.message for f in parts.findings]
    assert [dict(f.evidence) for f in whole.findings] == [dict(f.evidence) for f in parts.findings]


def test_loading_again_with_the_same_seed_gives_the_same_outcome(
    detector: type[Detector],
    load: Load,
    busy: TableBatch,
    context_of: Callable[[type[Detector]], Context],
) -> None:
    assert_same(load(detector).scan(busy), detector.load(context_of(detector)).scan(busy))


def test_rows_in_another_order_get_the_same_claims(
    detector: type[Detector], load: Load, busy: TableBatch
) -> None:
    if not detector.rule.order_free:
        pytest.skip("the rule says that the order matters to it")
    order = np.random.default_rng(5).permutation(busy.rows)
    shuffled = TableBatch(busy.table.take(pa.array(order)), busy.roles)
    assert_same(load(detector).scan(busy), moved(load(detector).scan(shuffled), order))


def test_a_row_scores_the_same_alone_and_in_a_crowd(
    detector: type[Detector],
    load: Load,
    busy: TableBatch,
    diamonds_clean: pa.Table,
    diamonds_roles: Roles,
) -> None:
    if not detector.rule.row_local:
        pytest.skip("the rule compares rows with each other")
    more = diamonds_clean.slice(1000, 150)
    place = np.random.default_rng(6).permutation(busy.rows + more.num_rows)
    joined = pa.concat_tables([busy.table, more]).take(pa.array(place))
    alone = load(detector).scan(busy)
    crowd = moved(load(detector).scan(TableBatch(joined, diamonds_roles)), place)
    for ours, theirs in ((suspicions(alone), suspicions(crowd)), (tails(alone), tails(crowd))):
        both = set(ours) & set(theirs)
        assert both or not ours, "nothing left to compare"
        assert [ours[r] for r in both] == pytest.approx([theirs[r] for r in both], abs=CLOSE)


def test_the_order_of_copies_does_not_matter_where_each_row_has_a_time(
    load: Load, busy: TableBatch
) -> None:
    order = np.random.default_rng(8).permutation(busy.rows)
    shuffled = TableBatch(busy.table.take(pa.array(order)), busy.roles)
    for detector in (d for d in DETECTORS if not d.rule.order_free):
        assert_same(load(detector).scan(busy), moved(load(detector).scan(shuffled), order))


def test_the_rule_over_several_batches_has_something_to_say(load: Load, busy: TableBatch) -> None:
    """Else all of the above would hold for it because it says nothing."""
    late = [d for d in DETECTORS if d.rule.needs_earlier]
    assert late
    assert all(load(d).scan(busy).findings for d in late)
