"""Families of equal rows, against pandas on random tables."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.baseline import Baseline
from auditor.batch import Roles, Shared, TableBatch
from auditor.copies import Copies, content_columns, mixed, take_rows
from auditor.errors import Unavailable

KEY = bytes(range(32))
REALS = st.sampled_from([None, math.nan, 0.0, -0.0, 1.5])
ROWS = st.lists(
    st.tuples(REALS, st.sampled_from([None, "", "a", "NaN"]), st.sampled_from([None, 0, 1])),
    max_size=24,
)


def table_of(rows: list[tuple[Any, ...]]) -> pa.Table:
    kinds = {"r": pa.float64(), "s": pa.string(), "i": pa.int64()}
    columns = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table({n: pa.array(c, k) for (n, k), c in zip(kinds.items(), columns, strict=True)})


def frame_of(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    """As objects, with one text for each value that is one value to us."""
    text = [tuple("nan" if v != v else repr(v + 0 if v == 0 else v) for v in row) for row in rows]
    return pd.DataFrame(text, columns=list("rsi"), dtype=object)


@given(rows=ROWS, chunk=st.integers(1, 30))
def test_extra_copies_are_those_of_pandas(rows: list[tuple[Any, ...]], chunk: int) -> None:
    batch = TableBatch(table_of(rows), Roles(), chunk_rows=chunk)
    families = Copies(KEY, Shared()).families(batch, ["r", "s", "i"])
    frame = frame_of(rows)
    assert sorted(families.extra) == np.flatnonzero(frame.duplicated(keep="first")).tolist()
    assert sorted(families.rows) == np.flatnonzero(frame.duplicated(keep=False)).tolist()
    sizes = [len(g) for _, g in frame.groupby(list("rsi")) if len(g) > 1]
    assert sorted(families.sizes.tolist()) == sorted(sizes)
    assert len(families.heads) == len(sizes)


def test_the_oldest_row_stays() -> None:
    when = [dt.datetime(2024, 1, day) for day in (9, 3, 5, 1)]
    table = pa.table({"a": [1, 1, 1, 2], "t": pa.array(when, pa.timestamp("us"))})
    with_time = Roles({"feature": ("a",), "timestamp": ("t",)})
    assert Copies(KEY, Shared()).families(TableBatch(table, with_time), ["a"]).heads.tolist() == [1]
    without = Roles({"feature": ("a",)})
    assert Copies(KEY, Shared()).families(TableBatch(table, without), ["a"]).heads.tolist() == [0]


def test_a_row_without_a_time_is_younger_than_one_with() -> None:
    when = pa.array([None, dt.datetime(2024, 1, 1, tzinfo=dt.UTC)], pa.timestamp("s", "UTC"))
    roles = Roles({"timestamp": ("t",)})
    batch = TableBatch(pa.table({"a": [1, 1], "t": when}), roles)
    assert Copies(KEY, Shared()).families(batch, ["a"]).heads.tolist() == [1]


@pytest.mark.parametrize(
    "column",
    [
        pa.nulls(3),
        pa.array(["x", "x", "x"]).dictionary_encode(),
        pa.DictionaryArray.from_arrays(pa.array([0, 0, 0]), pa.array([None, "None"])),
        pa.array([[1, None], [1, None], [1, None]]),
        pa.array([1, 1, 1], pa.time64("ns")),
        pa.array([1, 1, 1], pa.date32()),
        pa.array([b"x", b"x", b"x"]),
        pa.array([0.5, 0.5, 0.5], pa.float16()),
    ],
    ids=lambda c: str(c.type),
)
def test_equal_rows_of_every_type_are_found(column: pa.Array) -> None:
    batch = TableBatch(pa.table({"a": column, "b": [1, 1, 2]}), Roles())
    assert Copies(KEY, Shared()).families(batch, ["a", "b"]).rows.tolist() == [0, 1]


def test_rows_are_taken_across_chunks() -> None:
    batch = TableBatch(pa.table({"a": list(range(10))}), Roles(), chunk_rows=3)
    assert take_rows(batch, ["a"], np.array([0, 2, 3, 9]))["a"].to_pylist() == [0, 2, 3, 9]
    assert take_rows(batch, ["a"], np.zeros(0, dtype=np.int64)).num_rows == 0


def test_mixed_groups() -> None:
    values = np.array(["x", "x", "y", None, "y", None], dtype=object)
    found = mixed(np.array([0, 0, 1, 1, 2, 3]), values)
    assert found.tolist() == [False, False, True, True, False, False]


def test_other_columns_than_the_baseline_are_refused(diamonds_baseline: Baseline) -> None:
    roles = diamonds_baseline.roles
    less = Roles({**roles.assigned, "feature": roles.features[:-1]})
    batch = TableBatch(diamonds_baseline.sample.slice(0, 5), less)
    with pytest.raises(Unavailable, match="z"):
        content_columns(batch, diamonds_baseline)
    assert set(content_columns(replace(batch, roles=roles), diamonds_baseline)) == {
        *roles.features,
        "price_band",
    }
    with pytest.raises(Unavailable):
        content_columns(replace(batch, roles=Roles()), None)
