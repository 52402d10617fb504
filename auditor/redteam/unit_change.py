"""Unit change: one column of a few contributors comes in another unit (inches for centimetres)."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.features import numbers
from auditor.redteam.changing import changed
from auditor.redteam.jitter import quantities, states
from auditor.redteam.planting import Planted, need_rows
from auditor.redteam.precision import fit
from auditor.redteam.senders import choose

#: Centimetres in an inch.
FACTOR: Final = 2.54


def plant(
    table: pa.Table,
    roles: Roles,
    *,
    rows: int,
    seed: int,
    trusted: pa.Table | None = None,
    factor: float = FACTOR,
    contributors: int | None = 2,
) -> Planted:
    """Multiply one numeric feature of `rows` rows by `factor`. See `planting.Attack`.

    Attack "perturbation". Rows whose value is 0 or missing are not taken. Integers that leave
    their type stop at its end.
    """
    need_rows(table, "unit change")
    rng = np.random.default_rng([seed, 19])
    columns = [n for n in quantities(table, roles, trusted) if states(table[n]) is None]
    if not columns:
        raise Unavailable("unit change needs a numeric feature with many values")
    column = columns[int(rng.integers(len(columns)))]
    values = numbers(table[column])
    hit = np.flatnonzero(~np.isnan(values) & (values != 0))
    chosen = choose(table, roles, hit, rows, contributors, rng)
    return changed(
        table,
        chosen.rows,
        {column: fit(values[chosen.rows] * factor, table[column])},
        attack="perturbation",
        description=f"{len(chosen.rows)} rows{chosen.by} with {column} times {factor:g}",
    )
