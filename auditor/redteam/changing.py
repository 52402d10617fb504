"""Poison in rows that the batch has already: some of their cells get other values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditor.redteam.planting import Planted, plain, replace


def changed(
    table: pa.Table,
    rows: npt.NDArray[np.int64],
    cells: Mapping[str, Sequence[Any]],
    *,
    attack: str,
    description: str,
) -> Planted:
    """The table with other values in some columns of `rows` (ascending positions).

    `cells[column][i]` is the value of row `rows[i]`. The mask marks the rows where a value is
    another one than before.
    """
    at = np.zeros(table.num_rows, dtype=bool)
    at[rows] = True
    differs = np.zeros(len(rows), dtype=bool)
    poisoned = table
    for column, values in cells.items():
        old = plain(table[column])
        new = pa.array(values, old.type, from_pandas=False)
        differs |= _differs(old.take(pa.array(rows)).to_pylist(), new.to_pylist())
        mixed = pc.replace_with_mask(old.combine_chunks(), pa.array(at), new)
        poisoned = replace(poisoned, column, mixed)
    at[rows] = differs
    return Planted(
        table=poisoned,
        mask=pa.array(at),
        origin=pa.array(np.arange(table.num_rows), pa.int64()),
        attack=attack,
        description=description,
    )


def _differs(old: list[Any], new: list[Any]) -> npt.NDArray[np.bool_]:
    """Which values are not the same; NaN is the same as NaN."""
    pairs = zip(old, new, strict=True)
    return np.array([a != b and not (a != a and b != b) for a, b in pairs], dtype=bool)
