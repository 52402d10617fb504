"""Perturbation: noise on many cells of a few contributors' rows, all inside the known ranges.

Availability by noise: the model learns less, no single value is wrong.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa

from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.redteam.changing import changed
from auditor.redteam.jitter import quantities, states
from auditor.redteam.planting import Planted, known, need_rows, plain
from auditor.redteam.precision import Numbers, finite, fit
from auditor.redteam.senders import choose
from auditor.redteam.trigger import varying

#: Standard deviation of the noise in those of the column, and the share of cells that get it.
NOISE: Final = 1.0
SHARE: Final = 0.5


def plant(
    table: pa.Table,
    roles: Roles,
    *,
    rows: int,
    seed: int,
    trusted: pa.Table | None = None,
    noise: float = NOISE,
    share: float = SHARE,
    contributors: int | None = 2,
) -> Planted:
    """Disturb a share of the cells of `rows` rows. See `planting.Attack`.

    Amounts get Gaussian noise, reflected at the ends of the range. Categories, codes and columns
    that mostly hold one value get another value of the column.
    """
    need_rows(table, "perturbation")
    rng = np.random.default_rng([seed, 17])
    columns = sorted(varying(table, roles, trusted))
    if not columns:
        raise Unavailable("perturbation needs a feature that varies")
    amounts = set(quantities(table, roles, trusted))
    chosen = choose(table, roles, np.arange(table.num_rows), rows, contributors, rng)
    hit = rng.random((len(columns), len(chosen.rows))) < share
    hit[rng.integers(len(columns), size=len(chosen.rows)), np.arange(len(chosen.rows))] = True
    cells: dict[str, list[Any]] = {}
    for name, here in zip(columns, hit, strict=True):
        old = plain(table[name]).take(pa.array(chosen.rows))
        if name in amounts and states(table[name]) is None:
            new = _noised(table[name], old, noise, rng)
        else:
            new = _redrawn(known(table, trusted, name), len(old), rng)
        pairs = zip(old.to_pylist(), new, here, strict=True)
        cells[name] = [n if h and o is not None else o for o, n, h in pairs]
    return changed(
        table,
        chosen.rows,
        cells,
        attack="perturbation",
        description=f"{len(chosen.rows)} rows{chosen.by} with noise on {share:.0%} of their cells",
    )


def _noised(
    column: pa.ChunkedArray, cells: pa.ChunkedArray, noise: float, rng: np.random.Generator
) -> list[Any]:
    present = finite(column)
    low, high = float(present.min()), float(present.max())
    values = cells.cast(pa.float64(), safe=False).fill_null(low).to_numpy()
    moved = values + rng.normal(0, noise * float(np.std(present)) or 1.0, len(values))
    return fit(reflected(np.where(np.isfinite(moved), moved, low), low, high), column)


def reflected(values: Numbers, low: float, high: float) -> Numbers:
    """Values folded back into [low, high]; nothing piles up at the ends as cutting would."""
    span = high - low
    if span <= 0:
        return np.full_like(values, low)
    away = np.mod(values - low, 2 * span)
    return np.clip(low + np.minimum(away, 2 * span - away), low, high)


def _redrawn(values: pa.ChunkedArray, wanted: int, rng: np.random.Generator) -> list[Any]:
    present = values.drop_null()
    drawn: list[Any] = present.take(pa.array(rng.integers(len(present), size=wanted))).to_pylist()
    return drawn
