"""Partitions of trusted rows: every row has a region, whatever is in it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from auditor.features import Encoder
from auditor.regions import COUNTS, ROWS, fit_regions


def two_heaps(rows: int) -> pa.Table:
    rng = np.random.default_rng(1)
    heap = rng.integers(0, 2, rows)
    return pa.table(
        {
            "x": pa.array(heap * 10.0 + rng.normal(size=rows)),
            "colour": pa.array(np.where(heap == 1, "red", "blue")),
        }
    )


def test_regions_do_not_mix_what_lies_far_apart() -> None:
    table = two_heaps(400)
    encoder = Encoder.fit(table, ["x", "colour"])
    matrix = encoder.transform(table)
    colours = np.array(table["colour"].to_pylist())
    for partition in fit_regions(table, encoder, matrix, seed=1):
        codes = partition.codes(matrix)
        assert codes.min() >= 0
        assert codes.max() < len(partition.names)
        for region in np.unique(codes):
            assert len(np.unique(colours[codes == region])) == 1
        assert all("colour = " in name or "x " in name for name in partition.names)


@pytest.mark.parametrize("rows", [COUNTS[0] * ROWS - 1, COUNTS[0] * ROWS, COUNTS[-1] * ROWS])
def test_few_rows_have_few_partitions(rows: int) -> None:
    table = two_heaps(rows)
    encoder = Encoder.fit(table, ["x", "colour"])
    found = fit_regions(table, encoder, encoder.transform(table), seed=1)
    assert [len(p.names) for p in found] == [k for k in COUNTS if k * ROWS <= rows]


def test_equal_rows_have_no_partition() -> None:
    table = pa.table({"x": pa.array([1.0] * 500)})
    encoder = Encoder.fit(table, ["x"])
    assert fit_regions(table, encoder, encoder.transform(table), seed=1) == ()


def test_a_row_gets_the_same_region_in_any_company() -> None:
    table = two_heaps(400)
    encoder = Encoder.fit(table, ["x", "colour"])
    matrix = encoder.transform(table)
    again = fit_regions(table, encoder, matrix, seed=1)
    for first, second in zip(fit_regions(table, encoder, matrix, seed=1), again, strict=True):
        whole = first.codes(matrix)
        assert np.array_equal(whole[::-1], second.codes(matrix[::-1]))
        assert whole[7] == first.codes(matrix[7:8])[0]


def test_far_and_missing_cells_belong_somewhere() -> None:
    table = two_heaps(400)
    encoder = Encoder.fit(table, ["x", "colour"])
    odd = pa.table({"x": [float("inf"), -1e300, None], "colour": [None, "green", "red"]})
    for partition in fit_regions(table, encoder, encoder.transform(table), seed=1):
        codes = partition.codes(encoder.transform(odd))
        assert ((codes >= 0) & (codes < len(partition.names))).all()
