"""How far a column has moved between trusted rows and a batch: bins, counts, one test a column.

Counts are whole numbers over bins that only trusted rows define, so that chunks add up in any
order. A shift is told by the population stability index less what chance alone gives it, and is
believed by the Kolmogorov-Smirnov test over the bins (numbers) and the chi-squared test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditor.batch import Batch, as_text
from auditor.features import is_category, is_number, numbers
from auditor.statistics import chi_squared_tail, kolmogorov_tail, stability_index

Counts = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Quantile bins of a number column, or one a value where there are no more values.
BINS: Final = 16
#: Categories that get a bin of their own.
CATEGORIES: Final = 64


@dataclass(frozen=True, slots=True)
class NumberBins:
    """Bins between `edges` and beyond both ends; the last one counts missing values."""

    edges: Floats
    ordered: bool = True

    @property
    def width(self) -> int:
        """How many bins."""
        return len(self.edges) + 2

    def place(self, column: pa.Array) -> Codes:
        """The bin of each row: int64[n]."""
        values = numbers(column)
        found = np.searchsorted(self.edges, values, side="right").astype(np.int64)
        found[np.isnan(values)] = len(self.edges) + 1
        return found


@dataclass(frozen=True, slots=True)
class TextBins:
    """One bin a frequent text, then all others, then missing ones."""

    values: tuple[str, ...]
    ordered: bool = False

    @property
    def width(self) -> int:
        """How many bins."""
        return len(self.values) + 2

    def place(self, column: pa.Array) -> Codes:
        """The bin of each row: int64[n]."""
        text = as_text(column)
        found = pc.fill_null(pc.index_in(text, value_set=pa.array(self.values, pa.string())), -1)
        place: Codes = found.to_numpy(zero_copy_only=False).astype(np.int64)
        place[place < 0] = len(self.values)
        place[pc.is_null(text).to_numpy(zero_copy_only=False)] = len(self.values) + 1
        return place


Bins = NumberBins | TextBins


@dataclass(frozen=True, slots=True)
class Shift:
    """One column, of all rows or of a group of them (`group` is a position, None for all).

    `index`: stability index less its mean under no shift, at least 0. `p_value` of this one test.
    """

    column: str
    group: int | None
    index: float
    p_value: float
    trusted: Floats
    batch: Floats


def fit_bins(column: pa.ChunkedArray, *, classes: bool = False) -> Bins | None:
    """Bins of trusted values; None where the type is neither number nor text.

    `classes`: numbers are names where there are few of them (a label 0, 1, 2).
    """
    if is_category(column.type):
        return TextBins(_frequent(column))
    if not is_number(column.type):
        return None
    values = numbers(column)
    distinct = np.unique(values[~np.isnan(values)])
    if classes and len(distinct) <= CATEGORIES:
        return TextBins(_frequent(column))
    if not len(distinct):
        return NumberBins(distinct)
    inner = distinct
    if len(distinct) > BINS:
        present = values[~np.isnan(values)]
        inner = np.unique(np.quantile(present, np.linspace(0, 1, BINS + 1)))[:-1]
    return NumberBins(np.append(inner, np.nextafter(distinct[-1], np.inf)))


def _frequent(column: pa.ChunkedArray) -> tuple[str, ...]:
    text = as_text(column).combine_chunks().drop_null()
    counted = sorted((-e["counts"], e["values"]) for e in pc.value_counts(text).to_pylist())
    return tuple(value for _, value in counted[:CATEGORIES])


def fits(bins: Bins, kind: pa.DataType) -> bool:
    """Whether a column of this type can be counted in these bins; nulls alone always can."""
    if pa.types.is_null(kind):
        return True
    text = is_category(kind)
    return text or is_number(kind) if isinstance(bins, TextBins) else is_number(kind)


@dataclass(frozen=True, slots=True)
class Grouping:
    """Rows by label or contributor, those known to both sides; -1 for the rest. One group: all."""

    names: tuple[str, ...]
    batch: Codes
    trusted: Codes


def count(
    batch: Batch, bins: Mapping[str, Bins], groupings: Sequence[Grouping]
) -> list[dict[str, Counts]]:
    """Rows of each group in each bin, for each grouping: column -> int64[groups, width].

    Every column is read and placed once for all groupings; group -1 is not counted.
    """
    totals = [
        {name: np.zeros(len(one.names) * own.width, dtype=np.int64) for name, own in bins.items()}
        for one in groupings
    ]
    for chunk in batch.chunks(list(bins)):
        rows = slice(chunk.start, chunk.start + chunk.data.num_rows)
        for name, own in bins.items():
            place = own.place(chunk.data.column(name))
            for one, total in zip(groupings, totals, strict=True):
                total[name] += _cells(one.batch[rows], place, len(one.names), own.width)
    return [
        {name: total[name].reshape(-1, own.width) for name, own in bins.items()} for total in totals
    ]


def _cells(groups: Codes, place: Codes, size: int, width: int) -> Counts:
    if size == 1 and not (groups < 0).any():
        return np.bincount(place, minlength=width)
    known = groups >= 0
    return np.bincount(groups[known] * width + place[known], minlength=size * width)


def weighted(
    table: pa.Table, bins: Mapping[str, Bins], groups: Codes, size: int, weights: Floats
) -> dict[str, Floats]:
    """The same of a table in memory whose rows count for `weights` float64[n]."""
    known = groups >= 0
    found = {}
    for name, own in bins.items():
        place = own.place(table.column(name).combine_chunks())
        cell = groups[known] * own.width + place[known]
        counts = np.bincount(cell, weights=weights[known], minlength=size * own.width)
        found[name] = counts.astype(np.float64).reshape(size, own.width)
    return found


def compare(
    column: str, group: int | None, bins: Bins, trusted: Floats, batch: Floats
) -> Shift | None:
    """The shift between counts float64[bins]; None where one side has no rows."""
    base, rows = float(trusted.sum()), float(batch.sum())
    if not base or not rows:
        return None
    used = int(np.count_nonzero(trusted + batch))
    chance = (used - 1) * (1.0 / base + 1.0 / rows)
    index = max(0.0, stability_index(batch, trusted) - chance)
    p = chi_squared_tail(trusted, batch)
    if bins.ordered:
        p = min(1.0, 2.0 * min(p, kolmogorov_tail(trusted[:-1], batch[:-1])))
    return Shift(column, group, index, p, trusted, batch)


def moved(
    shifts: Sequence[Shift], adjusted: Sequence[float], level: float, least: float
) -> list[int]:
    """Positions of the shifts that are believed and large enough, largest first."""
    found = [i for i, s in enumerate(shifts) if adjusted[i] <= level and s.index >= least]
    return sorted(found, key=lambda i: (-shifts[i].index, shifts[i].column, shifts[i].group or 0))
