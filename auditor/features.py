"""Arrow columns -> float matrix, with the scaling and categories of what was trusted.

Fitted on the baseline's sample (or on the batch where there is none) and frozen: a row is encoded
the same alone or in a crowd.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditor.errors import Unavailable

Matrix = npt.NDArray[np.float32]

#: Categories of one column that get an indicator of their own; the rest share "other".
MAX_CATEGORIES: Final = 32
#: Numbers are cut here: quantiles and squares of larger ones would leave float64.
HUGE: Final = 1e150
#: Encoded numbers stay inside this: far enough to be seen, near enough for float32 and its squares.
FAR: Final = 1e6


def is_number(kind: pa.DataType) -> bool:
    """Columns encoded as numbers: integers, floats, booleans, decimals."""
    types = pa.types
    return bool(
        types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
        or types.is_decimal(kind)
    )


def is_category(kind: pa.DataType) -> bool:
    """Columns encoded by indicators: strings and dictionaries of them."""
    types = pa.types
    inner = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(inner) or types.is_large_string(inner))


def numbers(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """Any number column as float64[n] within ±`HUGE`; null, NaN and ±inf become NaN."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    values = pc.fill_null(column.cast(pa.float64(), safe=False), np.nan)
    result: npt.NDArray[np.float64] = values.to_numpy(zero_copy_only=False).astype(np.float64)
    result[~np.isfinite(result)] = np.nan
    return np.clip(result, -HUGE, HUGE)


@dataclass(frozen=True, slots=True)
class Numeric:
    """One number column: (x - centre) / scale, missing -> 0 and an indicator where it was usual."""

    name: str
    centre: float
    scale: float
    missing: bool

    @property
    def width(self) -> int:
        """Encoded columns."""
        return 2 if self.missing else 1

    def encode(self, column: pa.Array, out: Matrix) -> npt.NDArray[np.bool_]:
        """Fill `out` float32[n, width]; return which rows miss a value unexpectedly, bool[n].

        Raises:
            Unavailable: text where there were numbers, which no scale is known for.
        """
        if is_category(column.type) and column.null_count < len(column):
            raise Unavailable(f"column {self.name!r} holds text; the trusted rows hold numbers")
        values = numbers(column)
        absent = np.isnan(values)
        with np.errstate(over="ignore"):  # a tiny scale: infinite is cut to FAR as well
            scaled = np.clip((values - self.centre) / self.scale, -FAR, FAR)
        out[:, 0] = np.where(absent, 0.0, scaled)
        if self.missing:
            out[:, 1] = absent
        return absent & (not self.missing)


@dataclass(frozen=True, slots=True)
class Category:
    """One text column: an indicator a category, then "other", then "missing"."""

    name: str
    values: tuple[str, ...]

    @property
    def width(self) -> int:
        """Encoded columns."""
        return len(self.values) + 2

    def encode(self, column: pa.Array, out: Matrix) -> npt.NDArray[np.bool_]:
        """Fill `out` float32[n, width]; a missing category is never unexpected."""
        text = column.cast(pa.string())
        found = pc.index_in(text, value_set=pa.array(self.values, pa.string()))
        position = pc.fill_null(found, len(self.values)).to_numpy(zero_copy_only=False)
        absent = pc.is_null(text).to_numpy(zero_copy_only=False)
        position = np.where(absent, len(self.values) + 1, position)
        out[:] = 0.0
        out[np.arange(len(position)), position] = 1.0
        return np.zeros(len(position), dtype=bool)


@dataclass(frozen=True, slots=True)
class Encoder:
    """Columns in order, plus one last column: the share of values missing where none ever was."""

    columns: tuple[Numeric | Category, ...]

    @classmethod
    def fit(cls, table: pa.Table, features: Sequence[str]) -> Encoder:
        """Learn centre, scale and categories of the usable columns among `features`."""
        fitted = (_fit(table.column(name), name) for name in features)
        return cls(tuple(column for column in fitted if column is not None))

    @property
    def names(self) -> tuple[str, ...]:
        """The input columns that are used."""
        return tuple(column.name for column in self.columns)

    @property
    def width(self) -> int:
        """Columns of the matrix."""
        return sum(column.width for column in self.columns) + 1

    @property
    def origin(self) -> tuple[str, ...]:
        """For each matrix column, the input column it came from ("" for the last one)."""
        return (*(c.name for c in self.columns for _ in range(c.width)), "")

    def transform(self, data: pa.RecordBatch | pa.Table) -> Matrix:
        """Encode rows: float32[n, width]."""
        out = np.zeros((data.num_rows, self.width), dtype=np.float32)
        unexpected = np.zeros(data.num_rows)
        at = 0
        for column in self.columns:
            values = data.column(column.name)
            if isinstance(values, pa.ChunkedArray):
                values = values.combine_chunks()
            unexpected += column.encode(values, out[:, at : at + column.width])
            at += column.width
        out[:, -1] = unexpected / max(1, len(self.columns))
        return out


def _fit(column: pa.ChunkedArray, name: str) -> Numeric | Category | None:
    if is_number(column.type):
        return _fit_number(column, name)
    if is_category(column.type):
        counts = pc.value_counts(column.cast(pa.string()).combine_chunks().drop_null())
        pairs = [(-entry["counts"], entry["values"]) for entry in counts.to_pylist()]
        return Category(name, tuple(value for _, value in sorted(pairs)[:MAX_CATEGORIES]))
    return None


def _fit_number(column: pa.ChunkedArray, name: str) -> Numeric | None:
    values = numbers(column)
    present = values[~np.isnan(values)]
    if present.size == 0:
        return None
    low, centre, high = np.quantile(present, (0.25, 0.5, 0.75))
    # A column where most values are equal has no quartile range; its standard deviation is next.
    scale = (high - low) / 1.349 or present.std() or 1.0
    return Numeric(name, float(centre), float(scale), bool(present.size < values.size))
