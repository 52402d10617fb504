"""How surprisingly close two rows are: agreement weighted by how rare it is among trusted rows.

For each column, the share of trusted rows that lie between the two cells, ends included; the score
is the sum of the negative logarithms, in nats. A shared rare value counts much, a shared common one
little, a cell far away nothing: numbers and categories need no common scale, and a few changed
cells cost only what they would have added.

Goodall 1966 (A new similarity index based on probability), with the shares of a trusted sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditor.features import is_category, is_number, numbers

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int32]
Rows = npt.NDArray[np.int64]

#: Largest density of a normal distribution of spread 1: a gap of g spreads holds at most PEAK * g.
PEAK: Final = 0.4
#: Rows outside this share of a column do not widen its spread.
EDGE: Final = 0.002


@dataclass(frozen=True, slots=True)
class Cells:
    """Rows ready to be compared.

    `values` float64[n, d]: numbers, or codes of categories; NaN is missing. `low`, `high`
    int32[n, d]: trusted cells below, and at or below, the cell; for a category 0 and how often it
    is trusted.
    """

    values: Floats
    low: Counts
    high: Counts

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Column:
    """One trusted column: its sorted numbers, or nothing for a category; how many are missing."""

    name: str
    numeric: bool
    ordered: Floats
    spread: float
    missing: int


@dataclass(frozen=True, slots=True)
class Closeness:
    """Scores of pairs of rows, by the shares of `rows` trusted rows."""

    columns: tuple[Column, ...]
    rows: int

    @classmethod
    def of(cls, trusted: pa.Table, features: Sequence[str]) -> Closeness:
        """Learn the columns among `features` that are numbers or categories."""
        found = (_column(trusted.column(name), name) for name in features)
        return cls(tuple(c for c in found if c is not None), trusted.num_rows)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are compared."""
        return tuple(column.name for column in self.columns)

    def cells(self, trusted: pa.Table, more: pa.Table) -> Cells:
        """The trusted rows, then `more`: categories get the same code in both."""
        shape = (trusted.num_rows + more.num_rows, len(self.columns))
        cells = Cells(np.empty(shape), np.zeros(shape, np.int32), np.zeros(shape, np.int32))
        for j, column in enumerate(self.columns):
            pair = (trusted.column(column.name), more.column(column.name))
            if column.numeric:
                values = np.concatenate([numbers(part) for part in pair])
                cells.values[:, j] = values
                cells.low[:, j] = np.searchsorted(column.ordered, values, side="left")
                cells.high[:, j] = np.searchsorted(column.ordered, values, side="right")
            else:
                cells.values[:, j] = _codes(pair)
                cells.high[:, j] = _how_often(cells.values[:, j], self.rows)
        return cells

    def scores(self, cells: Cells, left: Rows, right: Rows) -> tuple[Floats, npt.NDArray[np.int16]]:
        """Closeness of each pair in nats, float64[pairs], and in how many cells the two differ.

        The first `rows` of `cells` are the trusted ones; they are left out of the shares of their
        own pairs, so that all pairs are measured alike.
        """
        own = (left < self.rows).astype(np.int32) + (right < self.rows)
        total = np.zeros(len(left))
        differing = np.zeros(len(left), dtype=np.int16)
        for j, column in enumerate(self.columns):
            a, b = cells.values[left, j], cells.values[right, j]
            missing = np.isnan(a) & np.isnan(b)
            same = (a == b) | missing
            differing += ~same
            lows, highs = cells.low[:, j], cells.high[:, j]
            if column.numeric:
                share = self._between(column, lows, highs, left, right, own)
                share = np.maximum(share, PEAK * np.abs(a - b) / column.spread)
            else:
                # A category that no trusted row has says nothing: a new one may be common by now.
                known = same & (highs[left] > 0)
                share = np.where(known, self._share(highs[left] - own), 1.0)
            absent = self._share(column.missing - own) if column.missing else 1.0
            share = np.where(missing, absent, np.where(np.isnan(share), 1.0, share))
            total -= np.log(np.minimum(share, 1.0))
        return total, differing

    def _between(
        self, column: Column, lows: Counts, highs: Counts, left: Rows, right: Rows, own: Counts
    ) -> Floats:
        low = np.minimum(lows[left], lows[right])
        high = np.maximum(highs[left], highs[right])
        # Beyond all trusted numbers there is no share to go by.
        outside = (low >= len(column.ordered)) | (high <= 0)
        return np.where(outside, 1.0, self._share(high - low - own))

    def _share(self, count: Counts) -> Floats:
        share: Floats = (np.maximum(count, 0) + 1.0) / (self.rows + 1.0)
        return share


def _column(column: pa.ChunkedArray, name: str) -> Column | None:
    if is_number(column.type):
        values = numbers(column)
        ordered = np.sort(values[~np.isnan(values)])
        if not ordered.size:
            return None
        return Column(name, True, ordered, _spread(ordered), len(values) - len(ordered))
    if is_category(column.type):
        return Column(name, False, np.zeros(0), 1.0, column.null_count)
    return None


def _spread(ordered: Floats) -> float:
    """The larger of the quartile range of a normal and the deviation without the outermost rows."""
    low, first, third, high = np.quantile(ordered, (EDGE, 0.25, 0.75, 1 - EDGE))
    return float(max((third - first) / 1.349, np.clip(ordered, low, high).std())) or 1.0


def _codes(parts: Sequence[pa.ChunkedArray]) -> Floats:
    text = pa.chunked_array(
        [chunk for part in parts for chunk in part.cast(pa.string()).chunks], pa.string()
    )
    encoded = text.combine_chunks().dictionary_encode()
    codes: Floats = pc.cast(encoded.indices, pa.float64()).to_numpy(zero_copy_only=False)
    return codes


def _how_often(codes: Floats, trusted: int) -> Counts:
    """How often each code is among the first `trusted` ones; 0 where it is missing: int32[n]."""
    place = np.nan_to_num(codes, nan=-1.0).astype(np.int64) + 1
    count = np.bincount(place[:trusted], minlength=int(place.max(initial=0)) + 1)
    count[0] = 0
    return count[place].astype(np.int32)
