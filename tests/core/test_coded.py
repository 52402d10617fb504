"""A column as codes: the same grouping as Python's own texts, whatever a sender puts into them."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.batch import Roles, TableBatch, as_text, cells, distinct, texts
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


@pytest.mark.parametrize(
    ("type_", "values", "told"),
    [
        (pa.binary(), [b"ann", b"\xff\x00", None], ["ann", "\\xff\x00", None]),
        (pa.large_binary(), [b"ann"], ["ann"]),
        (pa.binary_view(), [b"ann", b"\xff"], ["ann", "\\xff"]),
        (pa.binary(3), [b"ann"], ["ann"]),
        (
            pa.binary(16),
            [bytes(16), None, b"sixteen letters!"],
            ["00" * 16, None, "7369787465656e206c65747465727321"],
        ),
        (pa.dictionary(pa.int8(), pa.string()), ["b", None, "a", "b"], ["b", None, "a", "b"]),
    ],
)
def test_bytes_are_text_whatever_they_are(
    type_: pa.DataType, values: list[object], told: list[object]
) -> None:
    """Ids are often 16 random bytes; a batch is not held for that."""
    column = pa.array(values, type_)
    assert as_text(column).to_pylist() == told
    assert as_text(pa.chunked_array([column, column])).to_pylist() == told * 2
    whole = pa.table({"c": column})
    found = coded(TableBatch(whole, Roles(), chunk_rows=2), "c")
    assert [found.names[code] if code >= 0 else None for code in found.codes] == told


@pytest.mark.skipif(not hasattr(pa, "uuid"), reason="this Arrow has no UUID type")
def test_a_uuid_is_hex() -> None:
    assert as_text(pa.array([bytes(16)], pa.uuid())).to_pylist() == ["00" * 16]


@pytest.mark.parametrize(
    ("type_", "value", "told"),
    [
        (pa.timestamp("us"), 0, dt.datetime(1970, 1, 1)),
        (pa.timestamp("s"), 10**12, "<value out of range: 1000000000000>"),
        (pa.timestamp("us", "No/Where"), 0, "1970-01-01 00:00:00.000000"),
        (pa.date32(), 2**31 - 1, "<value out of range: 2147483647>"),
        (pa.duration("s"), 2**62, str(2**62)),
        (
            pa.struct([("t", pa.timestamp("s"))]),
            {"t": 10**12},
            {"t": "<value out of range: 1000000000000>"},
        ),
        (pa.list_(pa.timestamp("s")), [10**12], ["<value out of range: 1000000000000>"]),
        (
            pa.map_(pa.string(), pa.timestamp("s")),
            [("a", 10**12)],
            [("a", "<value out of range: 1000000000000>")],
        ),
    ],
)
def test_times_that_python_cannot_hold_are_cells(
    type_: pa.DataType, value: object, told: object
) -> None:
    assert cells(pa.array([value, None], type_)) == [told, None]
