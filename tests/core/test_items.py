"""Items: every row has at most one in a slot, and the name says what the code means."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from auditor.items import VALUES, fit_slots

numbers = st.lists(
    st.one_of(st.none(), st.floats(-1e6, 1e6), st.integers(-3, 3).map(float)),
    min_size=1,
    max_size=80,
)
texts = st.lists(st.one_of(st.none(), st.text(max_size=3)), min_size=1, max_size=80)


@given(known=numbers, new=numbers)
def test_codes_of_numbers_stay_inside_the_slot(
    known: list[float | None], new: list[float | None]
) -> None:
    trusted, batch = (pa.table({"x": pa.array(v, pa.float64())}) for v in (known, new))
    for slot in fit_slots(trusted, batch, ["x"]):
        for side in (trusted, batch):
            codes = slot.codes(side.column("x").combine_chunks())
            assert codes.dtype == np.int32
            assert codes.min() >= 0
            assert codes.max() < slot.width
            missing = np.array(side.column("x").is_null().to_pylist())
            assert (codes[missing] == slot.width - 1).all()
            assert (codes[~missing] != slot.width - 1).all()


@given(known=numbers, new=numbers)
def test_an_exact_item_is_that_value_and_a_range_holds_its_values(
    known: list[float | None], new: list[float | None]
) -> None:
    trusted, batch = (pa.table({"x": pa.array(v, pa.float64())}) for v in (known, new))
    values = batch.column("x").to_pylist()
    for slot in fit_slots(trusted, batch, ["x"]):
        codes = slot.codes(batch.column("x").combine_chunks()).tolist()
        for value, code in zip(values, codes, strict=True):
            if value is None:
                continue
            if slot.exact:
                assert code == (slot.values.index(value) + 1 if value in slot.values else 0)
            elif 1 < code < slot.width - 2:
                assert slot.values[code - 2] <= value <= slot.values[code - 1]
            else:
                assert (value < slot.values[0]) == (code == 1)
                assert (value > slot.values[-1]) == (code == slot.width - 2)


@given(known=texts, new=texts)
def test_a_text_item_is_that_text(known: list[str | None], new: list[str | None]) -> None:
    trusted, batch = (pa.table({"x": pa.array(v, pa.string())}) for v in (known, new))
    for slot in fit_slots(trusted, batch, ["x"]):
        codes = slot.codes(batch.column("x").combine_chunks()).tolist()
        for value, code in zip(new, codes, strict=True):
            if value is None:
                assert code == slot.width - 1
            else:
                assert code == (slot.values.index(value) + 1 if value in slot.values else 0)


def test_a_value_that_no_trusted_row_has_is_an_item() -> None:
    trusted = pa.table({"x": pa.array(np.linspace(0, 1, 500))})
    batch = pa.table({"x": pa.array([0.123456] * 6 + np.linspace(0, 1, 300).tolist())})
    exact = [slot for slot in fit_slots(trusted, batch, ["x"]) if slot.exact]
    assert [slot.values for slot in exact] == [(0.123456,)]
    assert exact[0].names[1] == "x = 0.123456"


def test_items_of_a_column_are_bounded() -> None:
    many = pa.table({"x": pa.array([str(i % 500) for i in range(5_000)])})
    assert [slot.width for slot in fit_slots(many, many, ["x"])] == [VALUES + 2]


def test_a_value_that_fills_most_of_a_column_does_not_hide_the_ranges() -> None:
    spread = np.r_[np.zeros(900), np.linspace(1, 100, 100)]
    table = pa.table({"x": pa.array(spread)})
    ranges = [slot for slot in fit_slots(table, table, ["x"]) if not slot.exact]
    assert len(ranges[0].values) >= 10


def test_a_long_cell_does_not_become_a_long_name() -> None:
    table = pa.table({"x": pa.array(["y" * 1_000_000] * 10)})
    (slot,) = fit_slots(table, table, ["x"])
    assert max(len(name) for name in slot.names) < 100
