"""Near copies: a few rows repeated with small changes, so that no two are equal.

Concentrated poison inside the normal range: Koh, Steinhardt, Liang: Stronger Data Poisoning
Attacks Break Data Sanitization Defenses (Machine Learning 111, 2022).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.redteam.planting import (
    Planted,
    added,
    decimals,
    fit,
    need_rows,
    numeric_features,
    replace,
    templates,
    weave,
)

#: Copies made of one row, and the jitter in units of the column's standard deviation.
COPIES: Final = 12
JITTER: Final = 0.02


def plant(  # every attack has the same signature
    table: pa.Table,
    roles: Roles,
    *,
    rows: int,
    seed: int,
    trusted: pa.Table | None = None,  # noqa: ARG001
) -> Planted:
    """Repeat few rows about `COPIES` times with jitter. See `planting.Attack`.

    Values stay between the least and the largest of their column; every copy differs from its
    row in at least one cell where the column has room for it. `trusted` is not needed.
    """
    need_rows(table, "near-copy")
    columns = numeric_features(table, roles)
    if not columns:
        raise Unavailable("near-copy needs a numeric feature")
    rng = np.random.default_rng([seed, 4])
    chosen = templates(table, rng, -(-rows // COPIES))
    source = np.resize(chosen, max(rows, 0))
    new = added(table, roles, source, rng)
    moved = rng.random((len(columns), len(source))) < 0.5
    moved[rng.integers(len(columns), size=len(source)), np.arange(len(source))] = True
    for column, move in zip(columns, moved, strict=True):
        new = replace(new, column, _jittered(table[column], new[column], move, rng))
    return weave(
        table,
        new,
        roles,
        rng,
        attack="near-copy",
        description=f"{new.num_rows} slightly changed copies of {len(chosen)} rows",
    )


def _jittered(
    column: pa.ChunkedArray,
    cells: pa.ChunkedArray,
    move: npt.NDArray[np.bool_],
    rng: np.random.Generator,
) -> list[float | int | None]:
    """Cells moved by a few steps of the column's precision; nulls and infinities stay."""
    places = decimals(column)
    finite = column.drop_null().to_numpy().astype(np.float64)
    finite = finite[np.isfinite(finite)]
    spread = float(np.std(finite)) * JITTER if len(finite) else 0.0
    step = spread if places is None else 10.0**-places
    size = np.maximum(step, np.abs(rng.normal(0, max(spread, step), len(move))))
    sign = rng.choice((-1.0, 1.0), len(move))
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    values = cells.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy()
    fresh = np.where(values + sign * size > high, values - size, values + sign * size)
    fresh = np.where(fresh < low, values + size, fresh)
    changed = fit(np.nan_to_num(np.clip(fresh, low, high)), column)
    keep = ~move | ~np.isfinite(values)
    old = cells.to_pylist()
    return [o if k else c for o, c, k in zip(old, changed, keep, strict=True)]
