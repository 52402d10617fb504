"""What the report shows: bounded, plain, and no crash for what a sender may send."""

from __future__ import annotations

import datetime as dt
import json
import math
import subprocess
import sys
from dataclasses import asdict
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from auditor import evidence
from auditor.baseline import Baseline
from auditor.batch import Roles, TableBatch
from auditor.model import Finding, Severity, row_table

NONE = np.zeros(0, dtype=np.int64)


def changed(table: pa.Table, column: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(column), column, values)


@pytest.fixture
def batch(diamonds_clean: pa.Table, diamonds_roles: Roles) -> TableBatch:
    return TableBatch(diamonds_clean.slice(0, 300), diamonds_roles, chunk_rows=64)


def test_the_worst_rows_come_first() -> None:
    finding = Finding(
        rule="r",
        severity=Severity.LOW,
        message="m",
        rows=row_table([9, 4, 7, 1], [0.5, 0.9, 0.9, 0.1]),
    )
    assert evidence.worst_rows(finding).tolist() == [4, 7, 9, 1]
    assert evidence.worst_rows(finding, 2).tolist() == [4, 7]
    assert evidence.worst_rows(Finding(rule="r", severity=Severity.LOW, message="m")).size == 0


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (0.5, 0.5),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (dt.datetime(2024, 1, 2, tzinfo=dt.UTC), "2024-01-02T00:00:00+00:00"),
        (dt.date(2024, 1, 2), "2024-01-02"),
        (Decimal("1.50"), "1.50"),
        (b"a\xff", "a\ufffd"),
        (["x", None], "['x', None]"),
        ("x" * 500, "x" * 199 + "…"),
    ],
)
def test_cells_become_plain_values(value: object, shown: object) -> None:
    assert evidence.plain(value) == shown
    json.dumps(evidence.plain(value), allow_nan=False)


def test_rows_and_ids_are_those_asked_for(batch: TableBatch) -> None:
    shown = evidence.show_rows(batch, np.array([250, 3, 3]))
    assert list(shown) == [3, 250]
    assert shown[250]["row_id"] == batch.table["row_id"][250].as_py()
    assert evidence.user_ids(batch, np.array([3, 250])) == [
        batch.table["row_id"][i].as_py() for i in (3, 250)
    ]
    assert evidence.user_ids(TableBatch(batch.table, Roles()), np.array([1, 2])) == ["", ""]


def test_nanoseconds_are_shown_without_pandas() -> None:
    """Python's times end at microseconds; Arrow asks pandas, which a gate need not have."""
    script = """
import sys
class NoPandas:
    def find_spec(self, name, *_):
        if name == "pandas":
            raise ImportError(name)
sys.meta_path.insert(0, NoPandas())
import numpy as np, pyarrow as pa
from auditor import evidence
from auditor.batch import Roles, TableBatch
moments = pa.array([1_764_000_000_123_456_789], pa.timestamp("ns", "UTC"))
print(evidence.show_rows(TableBatch(pa.table({"t": moments}), Roles()), np.array([0])))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "16:00:00.123456789" in done.stdout, done.stderr


def test_the_nearest_trusted_row_of_a_trusted_row_is_itself(
    diamonds_baseline: Baseline, diamonds_roles: Roles
) -> None:
    same = TableBatch(diamonds_baseline.sample, diamonds_roles)
    found = evidence.neighbours(same, diamonds_baseline, np.array([5, 77]))
    assert sorted(found) == [5, 77]
    for row, near in found.items():
        assert len(near) == evidence.NEIGHBOURS
        assert near[0]["carat"] == diamonds_baseline.sample["carat"][row].as_py()
        assert "price_band" in near[0]


@pytest.mark.parametrize("baseline", [True, False])
def test_charts_are_bounded_and_add_up(
    batch: TableBatch, diamonds_baseline: Baseline, baseline: bool
) -> None:
    marked = np.array([1, 2, 30, 299])
    shown = evidence.charts(
        batch, diamonds_baseline if baseline else None, marked, np.linspace(0, 1, 300), seed=1
    )
    assert sum(c.rows for c in shown.contributors) == 300
    assert sum(c.quarantined for c in shown.contributors) == 4
    assert sum(s.batch for s in shown.labels) == pytest.approx(1, abs=1e-4)
    assert bool(shown.drift) == baseline
    assert all(d.psi >= 0 for d in shown.drift)
    assert sum(t.rows for t in shown.time) == 300
    assert sum(t.quarantined for t in shown.time) == 4
    assert len(shown.map) == 300
    assert sum(p.quarantined for p in shown.map) == 4
    json.dumps(asdict(shown), allow_nan=False)


def test_charts_of_a_wide_batch_stay_small(diamonds_clean: pa.Table, diamonds_roles: Roles) -> None:
    rows = diamonds_clean.num_rows
    table = changed(diamonds_clean, "contributor", pa.array([f"c{i}" for i in range(rows)]))
    table = changed(table, "price_band", pa.array([f"l{i % 500}" for i in range(rows)]))
    marked = np.arange(0, rows, 2)
    shown = evidence.charts(TableBatch(table, diamonds_roles), None, marked, np.zeros(rows), seed=1)
    assert len(shown.contributors) == evidence.BARS
    assert len(shown.labels) == evidence.BARS
    assert len(shown.map) == evidence.POINTS
    assert len(shown.time) <= evidence.INTERVALS


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["12", None, "no number"] * 100),
        pa.array([dt.datetime(2024, 1, 1)] * 300),
        pa.nulls(300),
        pa.array([[1.0]] * 300),
        pa.array([True, None, False] * 100),
    ],
    ids=lambda c: str(c.type),
)
def test_a_number_column_of_another_type_breaks_nothing(
    batch: TableBatch, diamonds_baseline: Baseline, column: pa.Array
) -> None:
    odd = TableBatch(changed(batch.table, "carat", column), batch.roles)
    shown = evidence.charts(odd, diamonds_baseline, np.array([1]), np.zeros(300), seed=1)
    assert len(shown.contributors) > 3
    evidence.neighbours(odd, diamonds_baseline, np.array([1, 2]))
    assert evidence.show_rows(odd, np.array([1]))


def test_a_text_column_of_numbers_breaks_nothing(
    batch: TableBatch, diamonds_baseline: Baseline
) -> None:
    odd = TableBatch(changed(batch.table, "cut", pa.array(range(300))), batch.roles)
    shown = evidence.charts(odd, diamonds_baseline, NONE, np.zeros(300), seed=1)
    assert "cut" not in {d.column for d in shown.drift}
    assert evidence.neighbours(odd, diamonds_baseline, np.array([1])) == {}


@pytest.mark.parametrize("seconds", [2**62 // 10**6, -(2**62) // 10**6, 0])
def test_times_at_the_ends_of_the_clock(batch: TableBatch, seconds: int) -> None:
    when = pa.array([seconds] * 150 + [None] * 149 + [1], pa.timestamp("s", "UTC"))
    odd = TableBatch(changed(batch.table, "collected_at", when), batch.roles)
    shown = evidence.charts(odd, None, NONE, np.zeros(300), seed=1)
    assert sum(t.rows for t in shown.time) == 151
    assert all(len(t.start) == 20 for t in shown.time)


def test_a_long_name_does_not_widen_every_row(batch: TableBatch) -> None:
    names = pa.array(["x" * 2_000_000] + ["y"] * 299)
    odd = TableBatch(changed(batch.table, "contributor", names), batch.roles)
    shown = evidence.charts(odd, None, NONE, np.zeros(300), seed=1)
    assert [len(c.contributor) for c in shown.contributors] == [1, evidence.CELL]
