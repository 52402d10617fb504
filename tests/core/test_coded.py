"""A column as codes: the same grouping as Python's own texts, whatever a sender puts into them."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.batch import Roles, TableBatch, distinct, texts
from auditor.coded import coded

CELLS = st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=4))


def batch(values: list[str | None] | pa.Array, chunk: int = 3) -> TableBatch:
    column = values if isinstance(values, pa.Array) else pa.array(values, pa.string())
    return TableBatch(pa.table({"c": column}), Roles(), chunk_rows=chunk)


@given(CELLS, st.integers(1, 5))
def test_codes_are_those_of_the_sorted_texts(values: list[str | None], chunk: int) -> None:
    found = coded(batch(values, chunk), "c")
    names, codes = distinct(values)
    assert list(found.names) == names
    assert found.codes.tolist() == codes
    assert found.counts.tolist() == [values.count(name) for name in names]
    assert found.missing == values.count(None)


@given(CELLS, st.integers(1, 5))
def test_texts_are_what_was_stored(values: list[str | None], chunk: int) -> None:
    assert texts(batch(values, chunk), "c") == values


def test_texts_that_differ_in_nul_or_width_stay_apart() -> None:
    values = ["a", "a\0", "a\0\0", "", None, "a" * 10_000]
    found = coded(batch(values), "c")
    assert list(found.names) == ["", "a", "a\0", "a\0\0", "a" * 10_000]
    assert found.codes.tolist() == [1, 2, 3, 0, -1, 4]


def test_missing_may_count_as_a_name() -> None:
    found = coded(batch(["b", None, ""]), "c", missing="")
    assert list(found.names) == ["", "b"]
    assert found.codes.tolist() == [1, 0, 0]
    assert found.missing == 0


@pytest.mark.parametrize(
    ("column", "names"),
    [
        (pa.array([2, 10, 2]), ["10", "2"]),
        (pa.array([True, None, True]), ["true"]),
        (pa.array(["x", "y", "x"]).dictionary_encode(), ["x", "y"]),
        (pa.nulls(3, pa.string()), []),
        (pa.array([], pa.string()), []),
    ],
)
def test_any_flat_column_is_text(column: pa.Array, names: list[str]) -> None:
    found = coded(batch(column), "c")
    assert list(found.names) == names
    assert len(found.codes) == len(column)
    assert list(found.names[1:]) == names[1:]


def test_equal_texts_are_one_object() -> None:
    """A label of ten million rows must not be ten million texts."""
    found = texts(batch(["yes", "no"] * 50, chunk=10), "c")
    assert len({id(text) for text in found}) == 2
