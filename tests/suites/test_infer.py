from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor import samples, suites
from auditor.batch import Roles, TableBatch
from auditor.context import Context
from auditor.detectors.quality import Quality

VALUES = "expect_column_values_to_"


def of(suite: tuple[Mapping[str, Any], ...], column: str) -> dict[str, Mapping[str, Any]]:
    mine = [e for e in suite if e["kwargs"]["column"] == column]
    return {e["type"].removeprefix(VALUES): e["kwargs"] for e in mine}


def feature(values: object, kind: pa.DataType | None = None) -> dict[str, Mapping[str, Any]]:
    table = pa.table({"a": pa.array(values, kind)})
    return of(suites.infer(table, Roles({"feature": ("a",)})), "a")


def test_the_shipped_suite_is_what_init_would_write() -> None:
    roles = Roles(
        {
            "id": ("row_id",),
            "feature": ("carat", "cut", "color", "clarity", "depth", "table", "x", "y", "z"),
            "label": ("price_band",),
            "contributor": ("contributor",),
            "timestamp": ("collected_at",),
        }
    )
    suite = suites.infer(pq.read_table(samples.trusted()), roles)
    shipped = samples.expectations_dir() / "diamonds.json"
    assert suites.to_json("diamonds", suite) == shipped.read_text(encoding="utf-8")
    assert not {"be_between", "be_in_set"} & of(suite, "row_id").keys()
    assert not {"be_between", "be_in_set"} & of(suite, "contributor").keys()
    assert of(suite, "cut")["be_in_set"]["value_set"] == [
        "Fair",
        "Good",
        "Ideal",
        "Premium",
        "Very Good",
    ]


def test_ranges_have_slack_and_readable_bounds() -> None:
    values = np.random.default_rng(1).normal(50, 5, 2000)
    found = feature(values)["be_between"]
    assert 0 < found["min_value"] < values.min() - 5
    assert values.max() + 5 < found["max_value"] < 100
    assert found["min_value"] == round(found["min_value"], 1)
    whole = feature(np.random.default_rng(1).integers(0, 5000, 2000))["be_between"]
    assert whole["min_value"] == 0, "what was never negative stays so"
    assert isinstance(whole["max_value"], int)
    assert 5000 < whole["max_value"] < 8000
    tail = feature([*range(1000), 9000])["be_between"]
    assert tail["max_value"] > 16_000, "a long tail is surpassed by more"
    assert "be_between" not in feature([7.5] * 40)


def test_sets_need_few_values_that_come_often() -> None:
    assert feature(["x", "y"] * 30)["be_in_set"]["value_set"] == ["x", "y"]
    assert feature([0, 1, 1] * 30)["be_in_set"]["value_set"] == [0, 1]
    assert "be_in_set" not in feature([f"v{i}" for i in range(100)])
    assert "be_in_set" not in feature(["x", "y"] * 30 + ["once"])
    assert "be_in_set" not in feature([1.0, 2.0] * 30)
    assert "be_in_set" not in feature(["x", "y"] * 5), "too few rows to tell"


def test_null_rates() -> None:
    assert "mostly" not in feature([1.5] * 100)["not_be_null"]
    loose = feature([1.5] * 90 + [None] * 10)["not_be_null"]["mostly"]
    assert 0.7 < loose < 0.8
    assert feature([1.5] * 90 + [float("nan")] * 10)["not_be_null"]["mostly"] == loose
    assert "not_be_null" not in feature([1.5] * 40 + [None] * 60)


def test_labels_are_closed_even_when_rare() -> None:
    table = pa.table({"y": ["a", "b"] * 50 + ["rare"]})
    suite = suites.infer(table, Roles({"label": ("y",)}))
    assert of(suite, "y")["be_in_set"]["value_set"] == ["a", "b", "rare"]
    number = suites.infer(pa.table({"y": np.arange(99) / 7}), Roles({"label": ("y",)}))
    assert "be_between" in of(number, "y")


def test_ids_that_repeat_are_not_expected_to_be_unique() -> None:
    suite = suites.infer(pa.table({"i": [1, 2, 2]}), Roles({"id": ("i",)}))
    assert "be_unique" not in of(suite, "i")


KINDS = [
    pa.int8(),
    pa.int64(),
    pa.uint64(),
    pa.float32(),
    pa.float64(),
    pa.string(),
    pa.large_string(),
    pa.bool_(),
    pa.null(),
    pa.timestamp("us"),
    pa.binary(),
    pa.list_(pa.int8()),
    pa.dictionary(pa.int8(), pa.string()),
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("rows", [0, 1, 40])
@pytest.mark.parametrize("role", ["feature", "label", "id", "contributor", "timestamp", "text"])
def test_any_column_yields_a_suite_that_loads(kind: pa.DataType, rows: int, role: str) -> None:
    suite = suites.infer(pa.table({"a": pa.nulls(rows, kind)}), Roles({role: ("a",)}))
    if suite:
        suites.judge(suite, "inferred")


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=False, width=32)),
        min_size=30,
        max_size=60,
    )
)
def test_the_rows_it_came_from_meet_it(values: list[float | None]) -> None:
    table = pa.table({"a": pa.array(values, pa.float64())})
    suite = suites.infer(table, Roles({"feature": ("a",)}))
    outcome = Quality.load(Context(expectations=suite)).scan(TableBatch(table, Roles()))
    assert outcome.failed is None
    assert outcome.findings == ()
