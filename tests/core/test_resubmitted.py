"""Rows that were set aside before, from keys alone."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from auditor.ledger import Event, Ledger, Line
from auditor.replays import Natural
from auditor.resubmitted import SetAside, compare
from auditor.set_aside_before import _still_out

NOON = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
RUNS = ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FAW")
SET, BATCH = "a" * 64, "b" * 64
RARE = Natural(rows=0.0, pairs=1e6)


def keys(*numbers: int) -> np.ndarray:
    return np.array([(n, n + 1) for n in numbers], dtype=np.uint64).reshape(-1, 2)


def found(batch: np.ndarray, *aside: np.ndarray, fine: tuple[int, ...] = ()) -> list[int]:
    mask = np.zeros(len(batch), dtype=bool)
    mask[list(fine)] = True
    earlier = tuple(SetAside(f"R{n}", one) for n, one in enumerate(aside))
    findings = compare(batch, mask, earlier, RARE).findings
    return [int(row) for one in findings for row in one.rows.column("row").to_pylist()]


def test_rows_of_every_set_are_found_once() -> None:
    assert found(keys(5, 6, 7, 8), keys(6, 1), keys(8, 6)) == [1, 3]
    assert found(keys(5, 6), keys(1, 2)) == []
    assert found(keys(), keys(1)) == []


def test_a_row_that_is_fine_elsewhere_is_not_meant() -> None:
    assert found(keys(5, 6, 7), keys(5, 6), fine=(0,)) == [1]


def test_one_lane_alone_is_no_match() -> None:
    half = np.array([[6, 99]], dtype=np.uint64)
    assert found(keys(6), half) == []


def test_rows_that_come_again_by_themselves_weigh_less() -> None:
    batch, aside = keys(*range(100)), (SetAside("R", keys(*range(5))),)
    none = np.zeros(100, dtype=bool)
    (rare,) = compare(batch, none, aside, RARE).findings
    (common,) = compare(batch, none, aside, Natural(rows=1e4, pairs=1e6)).findings
    assert rare.p_value is not None
    assert common.p_value is not None
    assert rare.p_value < 1e-6 < 0.3 < common.p_value
    (unknown,) = compare(batch, none, aside, Natural(rows=0.0, pairs=0.0)).findings
    assert (unknown.p_value, unknown.calibrated) == (None, False)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """The verdict is entry 1; its set is not released yet."""
    made = Ledger(tmp_path / "ledger.db")
    said = {"at": NOON, "via": "gate", "run": RUNS[0]}
    made.append_all(
        [
            Line(event=Event(name="quarantine.created", subject=BATCH, refs=(SET,), **said)),
            Line(event=Event(name="verdict", subject=BATCH, **said)),
        ]
    )
    return made


def test_what_was_released_is_out_of_it_until_the_release_is_recalled(ledger: Ledger) -> None:
    def runs() -> list[str]:
        return [one.run for one in _still_out(ledger, ((1, keys(1)),))]

    assert runs() == [RUNS[0]]
    ledger.append("release.denied", at=NOON, via="cli", subject=SET, run=RUNS[0])
    assert runs() == [RUNS[0]]
    ledger.append("released", at=NOON, via="gate", subject=SET, run=RUNS[1])
    assert runs() == []
    ledger.append("recall", at=NOON, via="cli", subject=BATCH, run=RUNS[1])
    assert runs() == [RUNS[0]]
