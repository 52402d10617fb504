"""Availability noise: each class gets its own small shift, and a model learns that instead.

Huang et al.: Unlearnable Examples (ICLR 2021); why it works: Yu et al.: Availability Attacks
Create Shortcuts (KDD 2022).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa

from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.features import numbers
from auditor.redteam.changing import changed
from auditor.redteam.jitter import quantities, states
from auditor.redteam.planting import Planted, classes, need_rows, plain
from auditor.redteam.precision import finite, fit
from auditor.redteam.senders import choose

#: Size of the shift in standard deviations of each column.
SHIFT: Final = 0.3


def plant(
    table: pa.Table,
    roles: Roles,
    *,
    rows: int,
    seed: int,
    trusted: pa.Table | None = None,
    shift: float = SHIFT,
    contributors: int | None = None,
) -> Planted:
    """Shift all amounts of `rows` rows in a direction that depends on the class.

    See `planting.Attack`; attack "perturbation". Values stay inside the column's range.
    """
    need_rows(table, "availability noise")
    rng = np.random.default_rng([seed, 20])
    every = classes(table, roles, trusted, "availability noise")
    columns = [n for n in quantities(table, roles, trusted) if states(table[n]) is None]
    if not columns:
        raise Unavailable("availability noise needs a numeric feature with many values")
    place = {value: i for i, value in enumerate(every)}
    codes = np.array([place.get(v, -1) for v in plain(table[str(roles.label)]).to_pylist()])
    chosen = choose(table, roles, np.flatnonzero(codes >= 0), rows, contributors, rng)
    cells: dict[str, list[Any]] = {}
    for name in columns:
        direction = rng.choice((-1.0, 1.0), len(every))[codes[chosen.rows]]
        cells[name] = _shifted(table[name], chosen.rows, direction * shift)
    return changed(
        table,
        chosen.rows,
        cells,
        attack="perturbation",
        description=f"{len(chosen.rows)} rows{chosen.by} shifted by {shift:g} standard deviations "
        "in the direction of their class",
    )


def _shifted(column: pa.ChunkedArray, rows: Any, by: Any) -> list[Any]:
    present = finite(column)
    old = column.take(pa.array(rows)).to_pylist()
    values = numbers(column)[rows]
    moved = np.clip(values + by * np.std(present), present.min(), present.max())
    fresh = fit(np.nan_to_num(moved), column)
    return [o if np.isnan(v) else f for o, f, v in zip(old, fresh, values, strict=True)]
