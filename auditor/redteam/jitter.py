"""Small changes of numbers that stay inside the column's range and precision."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditor.batch import Roles
from auditor.redteam.planting import known, numeric_features, replace
from auditor.redteam.precision import Precision, finite

#: A column with no more values than this holds codes or flags: moving one is no small change.
CODES: Final = 10
#: A value that this share of a column has is a state ("none", "not used"), not a reading.
_STATE: Final = 0.5


def quantities(table: pa.Table, roles: Roles, trusted: pa.Table | None = None) -> tuple[str, ...]:
    """The numeric features whose values are amounts, as opposed to codes and flags."""
    names = numeric_features(table, roles)
    return tuple(n for n in names if pc.count_distinct(known(table, trusted, n)).as_py() > CODES)


def states(column: pa.ChunkedArray) -> float | None:
    """The value that at least half of a number column has, or None."""
    values, counts = np.unique(finite(column), return_counts=True)
    if not len(values) or counts.max() < _STATE * len(column):
        return None
    return float(values[counts.argmax()])


def jittered(
    column: pa.ChunkedArray,
    cells: pa.ChunkedArray,
    move: npt.NDArray[np.bool_],
    rng: np.random.Generator,
    size: float,
) -> list[Any]:
    """Cells with those of `move` changed by at least a step of the column's precision.

    `size` is in standard deviations of the column. Missing and infinite cells stay, and so does
    what is a state and no reading. The result stays between the column's least and largest.
    """
    precision, present = Precision.of(column), finite(column)
    values = cells.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy()
    spread = float(np.std(present)) * size if len(present) else 0.0
    step = precision.step(np.nan_to_num(values))
    reach = np.maximum(step, np.abs(rng.normal(size=len(move))) * np.maximum(spread, step))
    sign = rng.choice((-1.0, 1.0), len(move))
    low, high = (float(present.min()), float(present.max())) if len(present) else (0.0, 0.0)
    fresh = np.where(values + sign * reach > high, values - reach, values + sign * reach)
    fresh = np.where(fresh < low, values + reach, fresh)
    changed = precision.fit(np.nan_to_num(np.clip(fresh, low, high)))
    keep = ~move | ~np.isfinite(values) | (values == states(column))
    old = cells.to_pylist()
    return [o if k else c for o, c, k in zip(old, changed, keep, strict=True)]


def near(
    table: pa.Table,
    rows: pa.Table,
    columns: tuple[str, ...],
    rng: np.random.Generator,
    size: float,
) -> pa.Table:
    """`rows` with about half of `columns` jittered in each, at least one; `table` is the scale."""
    moved = rng.random((len(columns), rows.num_rows)) < 0.5
    moved[rng.integers(len(columns), size=rows.num_rows), np.arange(rows.num_rows)] = True
    for column, move in zip(columns, moved, strict=True):
        rows = replace(rows, column, jittered(table[column], rows[column], move, rng, size))
    return rows
