"""Encoding: a row alone is the row in a crowd, and nothing leaves the finite numbers."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.baseline import bin_counts, count_batch, frozen_edges
from auditor.batch import Roles, TableBatch
from auditor.features import FAR, MAX_CATEGORIES, Category, Encoder, numbers

REALS = st.one_of(st.none(), st.floats(), st.sampled_from([1e308, -1e308, 5e-324, math.inf]))
TEXTS = st.one_of(st.none(), st.sampled_from(["a", "b", "never seen", ""]))
TRUSTED = pa.table({"r": [1.0, 2.0, 3.0, 4.0, None], "s": ["a", "a", "b", "c", None]})


def rows_of(rows: list[tuple[float | None, str | None]]) -> pa.Table:
    return pa.table(
        {
            "r": pa.array([r for r, _ in rows], pa.float64()),
            "s": pa.array([s for _, s in rows], pa.string()),
        }
    )


@given(fitted=st.lists(st.tuples(REALS, TEXTS), max_size=12), new=st.lists(st.tuples(REALS, TEXTS)))
def test_rows_are_encoded_alone_as_in_a_crowd_and_finite(fitted: list, new: list) -> None:
    encoder = Encoder.fit(rows_of(fitted), ["r", "s"])
    crowd = encoder.transform(rows_of(new))
    assert crowd.shape == (len(new), encoder.width)
    assert np.isfinite(crowd).all()
    assert np.abs(crowd).max(initial=0.0) <= FAR
    for i, row in enumerate(new):
        assert encoder.transform(rows_of([row])).tolist() == [crowd[i].tolist()]


def test_numbers_are_scaled_by_the_trusted_quartiles() -> None:
    encoder = Encoder.fit(TRUSTED, ["r"])
    out = encoder.transform(pa.table({"r": [2.5, 4.0, None, math.nan, math.inf]}))
    scale = (3.25 - 1.75) / 1.349
    assert out[:2, 0] == pytest.approx([0.0, 1.5 / scale])
    assert out[:, 1].tolist() == [0, 0, 1, 1, 1]  # missing was seen among the trusted rows
    assert out[:, -1].tolist() == [0, 0, 0, 0, 0]


def test_a_value_missing_where_none_ever_was_is_counted_apart() -> None:
    encoder = Encoder.fit(pa.table({"a": [1.0, 2.0], "b": [3, 4]}), ["a", "b"])
    out = encoder.transform(pa.table({"a": [None, 1.0], "b": [3, 4]}))
    assert out[:, -1].tolist() == [0.5, 0.0]


def test_categories_have_a_place_for_the_unseen_and_one_for_the_missing() -> None:
    encoder = Encoder.fit(TRUSTED, ["s"])
    assert encoder.columns == (Category("s", ("a", "b", "c")),)
    out = encoder.transform(pa.table({"s": ["b", "new", None]}))
    assert out[:, :5].argmax(axis=1).tolist() == [1, 3, 4]
    assert (out[:, :5].sum(axis=1) == 1).all()
    assert encoder.origin == ("s",) * 5 + ("",)


def test_only_the_most_frequent_categories_get_a_column() -> None:
    texts = [f"v{i % 40:02d}" for i in range(400)] + ["often"] * 50
    (column,) = Encoder.fit(pa.table({"s": texts}), ["s"]).columns
    assert len(column.values) == MAX_CATEGORIES
    assert column.values[0] == "often"


def test_columns_that_hold_nothing_usable_are_left_out() -> None:
    table = pa.table({"n": pa.nulls(3), "f": pa.nulls(3, pa.float64()), "l": [[1], [2], [3]]})
    assert Encoder.fit(table, ["n", "f", "l"]).columns == ()


def test_a_constant_column_and_a_tiny_scale_stay_finite() -> None:
    table = pa.table({"a": [1.0] * 9, "b": [0.0] * 4 + [5e-324] * 5})
    out = Encoder.fit(table, ["a", "b"]).transform(pa.table({"a": [1.0, 9e99], "b": [0.0, -1.0]}))
    assert np.isfinite(out).all()
    assert out[1, 0] > 100


@pytest.mark.parametrize(
    "column",
    [
        pa.array([True, False, None]),
        pa.array([1, 0, None], pa.uint8()),
        pa.array([1, 0, None]).cast(pa.decimal128(38, 2)),
        pa.array([1.0, 0.0, math.nan]),
    ],
    ids=lambda c: str(c.type),
)
def test_every_number_type_is_read(column: pa.Array) -> None:
    assert np.nan_to_num(numbers(column), nan=-1.0).tolist() == [1.0, 0.0, -1.0]


# --- histograms ----------------------------------------------------------------------------


@given(
    st.lists(st.one_of(st.none(), st.floats(-10, 10)), max_size=50),
    st.lists(st.one_of(st.none(), st.floats())),
)
def test_every_row_is_in_one_bin(trusted: list, new: list) -> None:
    edges = frozen_edges(pa.chunked_array([pa.array(trusted, pa.float64())]))
    assert edges is not None
    counts = bin_counts(pa.array(new, pa.float64()), edges)
    assert counts.sum() == len(new)
    missing = sum(v is None or not math.isfinite(v) for v in new)
    assert counts[-1] == missing
    if edges:
        outside = sum(
            v is not None and math.isfinite(v) and not edges[0] <= v <= edges[-1] for v in new
        )
        assert counts[-2] == outside


def test_categories_are_counted_with_other_and_missing() -> None:
    edges = frozen_edges(pa.chunked_array([["b", "a", "b"]]))
    assert edges == ("b", "a")
    assert bin_counts(pa.array(["a", "x", None, "b", "b"]), edges).tolist() == [2, 1, 1, 1]


def test_chunks_add_up_and_absent_columns_are_left_out() -> None:
    table = pa.table({"a": [1.0, 2.0, 3.0, 9.0], "s": ["x", "y", "x", None]})
    edges = {"a": (1.0, 2.0, 3.0), "s": ("x",), "gone": (0.0, 1.0)}
    whole = count_batch(TableBatch(table, Roles()), edges)
    parts = count_batch(TableBatch(table, Roles(), chunk_rows=1), edges)
    assert {n: c.tolist() for n, c in whole.items()} == {n: c.tolist() for n, c in parts.items()}
    assert {n: c.tolist() for n, c in whole.items()} == {"a": [1, 2, 1, 0], "s": [2, 1, 1]}
