"""Columns against those of the baseline: what counts as another column, and what does not."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest

from auditor import agreed_columns, calibration
from auditor.agreed_columns import NAMED, compare, differences
from auditor.baseline import Baseline
from auditor.batch import Roles, TableBatch

ROWS = 120
ROLES = Roles({"feature": ("n", "flag"), "label": ("y",), "timestamp": ("at",)})


def table() -> pa.Table:
    return pa.table(
        {
            "n": pa.array([i / 2 for i in range(ROWS)]),
            "flag": pa.array([i % 3 == 0 for i in range(ROWS)]),
            "y": pa.array([f"c{i % 2}" for i in range(ROWS)]),
            "at": pa.array([dt.datetime(2024, 1, 1)] * ROWS, pa.timestamp("us")),
            "never": pa.nulls(ROWS, pa.string()),
        }
    )


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    now = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    plan = calibration.Plan(
        name="t", site_key=b"k" * 32, now=now, options={}, resamples=0, detectors=()
    )
    return calibration.build(TableBatch(table(), ROLES), plan)


def with_column(name: str, values: pa.Array) -> pa.Table:
    rows = table()
    if name in rows.column_names:
        return rows.set_column(rows.column_names.index(name), name, values)
    return rows.append_column(name, values)


def told(rows: pa.Table, baseline: Baseline, named: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    outcome = compare(TableBatch(rows, ROLES), baseline, named)
    return [(str(f.evidence["code"]), str(f.evidence["column"])) for f in outcome.findings]


def test_the_columns_of_the_baseline_raise_nothing(baseline: Baseline) -> None:
    assert told(table(), baseline) == []


def test_an_added_a_missing_and_a_retyped_column_are_named(baseline: Baseline) -> None:
    rows = with_column("n", pa.array(["text"] * ROWS)).drop_columns(["flag"])
    rows = rows.append_column("extra\u202e", pa.array([0] * ROWS))
    assert told(rows, baseline) == [
        ("SCHEMA_ADDED", "extra\u202e"),
        ("SCHEMA_RETYPED", "n"),
        ("SCHEMA_REMOVED", "flag"),
    ]
    messages = [f.message for f in compare(TableBatch(rows, ROLES), baseline).findings]
    assert messages[1] == "column 'n' holds string; the baseline holds double"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("n", pa.array(range(ROWS), pa.int32())),
        ("n", pa.nulls(ROWS, pa.string())),  # a file without a schema that holds no value
        ("y", pa.array([f"c{i % 2}" for i in range(ROWS)]).dictionary_encode()),
        ("at", pa.array([dt.date(2024, 1, 1)] * ROWS)),
        ("never", pa.array(range(ROWS))),  # the trusted rows never said what it holds
    ],
)
def test_a_width_or_a_guess_is_no_other_type(
    baseline: Baseline, name: str, values: pa.Array
) -> None:
    assert told(with_column(name, values), baseline) == []


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("flag", pa.array([0, 1] * (ROWS // 2))),
        ("y", pa.array([0, 1] * (ROWS // 2))),
        ("at", pa.array(["2024-01-01"] * ROWS)),
        ("n", pa.array([["x"]] * ROWS)),
        ("n", pa.array([None] * (ROWS - 1) + ["one"])),
    ],
)
def test_another_kind_of_value_is_another_type(
    baseline: Baseline, name: str, values: pa.Array
) -> None:
    assert told(with_column(name, values), baseline) == [("SCHEMA_RETYPED", name)]


def test_a_new_column_that_the_settings_name_is_agreed(baseline: Baseline) -> None:
    rows = with_column("note", pa.array(["x"] * ROWS))
    assert told(rows, baseline, named=("note",)) == []
    # Naming it does not make a known column of another type fit.
    assert told(with_column("n", pa.array(["x"] * ROWS)), baseline, named=("n",)) != []


def test_many_new_columns_are_counted(baseline: Baseline) -> None:
    rows = table()
    for number in range(NAMED + 7):
        rows = rows.append_column(f"more{number:02d}", pa.array([0] * ROWS))
    found = compare(TableBatch(rows, ROLES), baseline).findings
    assert len(found) == NAMED + 1
    assert found[-1].message == "and 7 more columns"
    assert found[-1].evidence == {"code": "SCHEMA_ADDED", "columns": 7}


@pytest.mark.parametrize(
    ("mine", "trusted", "same"),
    [
        (pa.list_(pa.float64()), pa.list_(pa.field("element", pa.float32())), True),
        (pa.list_(pa.string()), pa.list_(pa.field("element", pa.string())), True),
        (pa.list_(pa.string()), pa.list_(pa.int64()), False),
        (pa.list_(pa.float64()), pa.list_(pa.float64(), 3), False),
        (pa.list_(pa.float64(), 4), pa.list_(pa.float64(), 3), False),
        (pa.struct([("a", pa.int32())]), pa.struct([("a", pa.float64())]), True),
        (pa.struct([("a", pa.int32())]), pa.struct([("b", pa.int32())]), False),
        (
            pa.struct([("a", pa.list_(pa.int32()))]),
            pa.struct([("a", pa.list_(pa.field("element", pa.int32())))]),
            True,
        ),
        (pa.list_(pa.int32()), pa.int32(), False),
    ],
)
def test_what_a_column_holds_inside(mine: pa.DataType, trusted: pa.DataType, same: bool) -> None:
    """Arrow calls the values of a list `item`, a Parquet file `element`: the same column."""
    found = differences(pa.schema([("c", mine)]), pa.schema([("c", trusted)]))
    assert (found == ()) is same


def test_without_a_baseline_the_rule_is_skipped() -> None:
    outcome = compare(TableBatch(table(), ROLES), None)
    assert outcome.skipped == "needs a baseline"


def test_differences_need_schemas_only() -> None:
    a, b = pa.schema([("x", pa.int64())]), pa.schema([("x", pa.large_string()), ("z", pa.null())])
    assert [d.code for d in differences(a, b)] == ["SCHEMA_RETYPED", "SCHEMA_REMOVED"]
    assert differences(b, b) == ()
    assert agreed_columns.kind(pa.decimal128(5, 2)) == "number"


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ({"feature": ("n", "flag"), "label": ("y",)}, []),
        ({"feature": ("n", "flag")}, ["y"]),
        ({"feature": ("n",), "label": ("y",), "ignored": ("flag",)}, ["flag"]),
        ({"feature": ("n", "y"), "label": ("flag",)}, ["flag", "y"]),
        # New columns: one more feature is what settings may agree to, another label is not.
        ({"feature": ("n", "flag", "new"), "label": ("y",)}, []),
        ({"feature": ("n", "flag"), "label": ("new",)}, ["new", "y"]),
    ],
)
def test_a_label_or_a_feature_on_one_side_only_is_named(
    baseline: Baseline, roles: dict[str, tuple[str, ...]], expected: list[str]
) -> None:
    rows = with_column("new", pa.array(["a"] * ROWS))
    found = compare(TableBatch(rows, Roles(roles)), baseline, ("new",)).findings
    assert [str(f.evidence["column"]) for f in found] == expected
    assert {str(f.evidence["code"]) for f in found} <= {"ROLE_DIFFERS"}
