"""How many decimals the values of a column have: values with more give an attack away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Numbers = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

_MAX_DECIMALS: Final = 6
#: Known values that are looked at most, and how many around a new one decide about its decimals.
_MOST: Final = 5_000
_AROUND: Final = 7
#: Decimals that are found by arithmetic, and numbers up to which that is exact.
_SHORT: Final = 8
_EXACT: Final = 2.0**53


@dataclass(frozen=True, slots=True)
class Precision:
    """The decimals of a column's values, by their size.

    Columns differ: two decimals everywhere; four significant digits; one decimal, now and then
    two. A new value gets the second most decimals among the `_AROUND` known values next to it:
    trailing zeros do not make it too coarse, a rare finer value does not make it too fine.
    `known` is ascending, `places[i]` the decimals of `known[i]`.
    """

    kind: pa.DataType
    known: Numbers
    places: Places

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Precision:
        """Of all finite values of a number column, or of `_MOST` of them."""
        known = np.sort(finite(column))
        if len(known) > _MOST:
            known = known[np.linspace(0, len(known) - 1, _MOST).astype(np.int64)]
        if not pa.types.is_floating(column.type):
            return cls(column.type, known, np.zeros(len(known), dtype=np.int64))
        exact = known.astype(column.type.to_pandas_dtype())
        return cls(column.type, known, _places(exact))

    def decimals(self, values: Numbers) -> Places:
        """How many decimals each value should have: int64[n]."""
        if not len(self.known):
            return np.zeros(len(values), dtype=np.int64)
        start = np.searchsorted(self.known, values) - _AROUND // 2
        start = np.clip(start, 0, max(len(self.known) - _AROUND, 0))
        window = start[:, None] + np.arange(min(_AROUND, len(self.known)))
        ordered = np.sort(self.places[window], axis=1)
        second: Places = ordered[:, -2] if ordered.shape[1] > 2 else ordered[:, -1]
        return second

    def step(self, values: Numbers) -> Numbers:
        """The smallest change that each value can show: float64[n]."""
        return np.power(10.0, -self.decimals(values), dtype=np.float64)

    def rounded(self, values: Numbers) -> Numbers:
        """The values with no more decimals than known ones of their size.

        What lies between the least and the largest known value stays there.
        """
        places = self.decimals(values)
        result = values.copy()
        for found in np.unique(places):
            result[places == found] = np.round(values[places == found], int(found))
        if not len(self.known):
            return result
        low, high = self.known[0], self.known[-1]
        inside = (low <= values) & (values <= high)
        return np.where(inside, np.clip(result, low, high), result)

    def fit(self, values: Numbers) -> list[Any]:
        """The rounded values as Python values of the column's kind."""
        exact = self.rounded(values)
        if pa.types.is_integer(self.kind):
            bounds = np.iinfo(self.kind.to_pandas_dtype())
            return [min(max(int(value), int(bounds.min)), int(bounds.max)) for value in exact]
        return [float(value) for value in exact]


def fit(values: Numbers, like: pa.ChunkedArray) -> list[Any]:
    """Numbers rounded to the precision of a column, as Python values of its kind."""
    return Precision.of(like).fit(values)


def finite(values: pa.ChunkedArray) -> Numbers:
    """The numbers of a column that are neither missing nor infinite: float64[m], m <= n."""
    found: Numbers = values.drop_null().to_numpy().astype(np.float64)
    return found[np.isfinite(found)]


def decimals(values: pa.ChunkedArray) -> int | None:
    """The decimals a float column is written with; 0 for integers, None where there are more."""
    if not pa.types.is_floating(values.type):
        return 0
    found = finite(values)
    wide = 1e-9 if values.type == pa.float64() else 1e-6
    for places in range(_MAX_DECIMALS + 1):
        if np.allclose(np.round(found, places), found, rtol=wide, atol=0):
            return places
    return None


def _places(values: npt.NDArray[np.floating[Any]]) -> Places:
    """The decimals of the shortest text that reads back as each very number: int64[n]."""
    found = np.full(len(values), -1, dtype=np.int64)
    wide = values.astype(np.float64)
    for places in range(_SHORT + 1):
        # A whole number divided by a power of ten is rounded as the text would be.
        whole = np.rint(wide * 10.0**places)
        same = (whole / 10.0**places).astype(values.dtype) == values
        found[same & (found < 0) & (np.abs(whole) < _EXACT)] = places
    for at in np.flatnonzero(found < 0).tolist():
        text = np.format_float_positional(values[at], unique=True, trim="-")
        found[at] = len(text.partition(".")[2])
    return found
