"""Cuts with several clean batches, and what their table says."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from auditor.errors import Unavailable
from auditor.redteam.variants import VARIANTS
from bench.detection.cases import bundled, cut, seeped
from bench.detection.tables import print_clean


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return next(bundled())[1]


@pytest.mark.parametrize("drift", [False, True])
def test_batches_share_no_row_and_the_first_is_the_same(table: pa.Table, drift: bool) -> None:
    one = cut("t", table, seed=2, drift=drift, batch_rows=70)
    case = cut("t", table, seed=2, drift=drift, batch_rows=70, batches=3)
    assert case.batch == one.batch
    assert case.trusted == one.trusted
    assert one.further == ()
    assert [b.num_rows for b in case.further] == [70, 70]
    parts = [case.trusted, case.batch, *case.further]
    ids = [name for part in parts for name in part["row_id"].to_pylist()]
    rows = [
        tuple(r.values()) for part in parts for r in part.select(table.column_names).to_pylist()
    ]
    assert len(set(ids)) == len(ids)
    # The data set repeats no row, so equal rows would be the same row twice.
    assert len(set(rows)) == len(rows)


def test_poison_of_the_baseline_is_that_of_the_batch(table: pa.Table) -> None:
    case = cut("t", table, seed=2)
    planted = VARIANTS["backdoor"](case.batch, case.roles, rows=20, seed=2, trusted=case.trusted)
    both, left = seeped(case, planted, 5, seed=2)
    assert both.trusted.num_rows == case.trusted.num_rows
    assert left.mask.true_count == 15
    poison = set(planted.table.filter(planted.mask)["row_id"].to_pylist())
    trusted = poison & set(both.trusted["row_id"].to_pylist())
    assert len(trusted) == 5
    assert not trusted & set(left.table["row_id"].to_pylist())
    remaining = left.table.filter(left.mask)["row_id"].to_pylist()
    assert set(remaining) == poison - trusted
    with pytest.raises(Unavailable, match="20 poison rows, 20 of them"):
        seeped(case, planted, 20, seed=2)


def test_no_more_batches_than_there_are_rows_for(table: pa.Table) -> None:
    assert len(cut("t", table, seed=2, batch_rows=150, batches=9).further) == 1
    assert cut("t", table, seed=2, batches=9).further == ()


def _clean(condition: str, aside: int, seed: int = 0) -> dict[str, Any]:
    return {
        "set": "s",
        "seed": seed,
        "condition": condition,
        "attack": "clean",
        "verdict": "QUARANTINE" if aside else "ACCEPT",
        "honest": 100,
        "honest_quarantined": aside,
        "rules": {"AUD-T001": 0} if aside else {},
    }


def test_all_conditions_are_added_up_with_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    print_clean([_clean("alike", 0), _clean("alike", 0), _clean("drift", 10), _clean("drift", 0)])
    out = capsys.readouterr().out
    # One of four: the 95 % upper limit of Clopper and Pearson is .751. Two baselines.
    assert "1 of 4 batches not accepted (95 % bound 75.1%; 2 baselines)" in out
    # Shares by baseline 0 and .05, a mean of .025; t with one degree: 6.314 * .025 above it.
    assert "10 of 400 rows set aside (2.50%; 95 % bound 18.28%)" in out
    assert "s seed 0 drift: QUARANTINE 10 rows, AUD-T001" in out
