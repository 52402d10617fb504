"""Collision: rows of one class are moved close to one row of another, and keep their label.

Shafahi et al.: Poison Frogs! Targeted Clean-Label Poisoning Attacks on Neural Networks (NeurIPS
2018). Here the features are the columns themselves.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.features import numbers
from auditor.redteam.changing import changed
from auditor.redteam.jitter import quantities
from auditor.redteam.planting import Planted, classes, need_rows, plain
from auditor.redteam.precision import fit
from auditor.redteam.senders import Positions, choose
from auditor.redteam.trigger import rows_with, varying

#: How far the rows go from where they are to the target: 0 stays, 1 arrives.
PULL: Final = (0.6, 0.9)


def plant(
    table: pa.Table,
    roles: Roles,
    *,
    rows: int,
    seed: int,
    trusted: pa.Table | None = None,
    pull: tuple[float, float] = PULL,
    contributors: int | None = 2,
) -> Planted:
    """Move rows of class a toward one row of class b. See `planting.Attack`.

    Amounts go a random share of the way (`pull`); a category or code becomes the target's with
    that probability.
    """
    need_rows(table, "collision")
    rng = np.random.default_rng([seed, 21])
    every = classes(table, roles, trusted, "collision")
    label = str(roles.label)
    own, theirs = rows_with(table, label, every, rows, rng, "collision")
    differs = pc.not_equal(plain(table[label]), pa.scalar(own)).fill_null(False).to_numpy()
    others = np.flatnonzero(differs)
    columns = sorted(varying(table, roles, trusted))
    if not len(others) or not columns:
        raise Unavailable("collision needs a feature that varies and rows of another class")
    target = int(others[int(rng.integers(len(others)))])
    chosen = choose(table, roles, theirs, rows, contributors, rng)
    part = rng.uniform(*pull, len(chosen.rows))
    amounts = set(quantities(table, roles, trusted))
    cells = {
        name: _moved(table[name], chosen.rows, target, part)
        if name in amounts
        else _swapped(table[name], chosen.rows, target, part, rng)
        for name in columns
    }
    return changed(
        table,
        chosen.rows,
        cells,
        attack="collision",
        description=f"{len(chosen.rows)} rows{chosen.by} of class {own!r} moved toward row "
        f"{target} of another class",
    )


def _moved(column: pa.ChunkedArray, rows: Positions, target: int, part: Any) -> list[Any]:
    values = numbers(column)
    old = column.take(pa.array(rows)).to_pylist()
    there = np.isfinite(values[rows]) & np.isfinite(values[target])
    fresh = fit(np.nan_to_num(values[rows] + part * (values[target] - values[rows])), column)
    return [f if t else o for o, f, t in zip(old, fresh, there, strict=True)]


def _swapped(
    column: pa.ChunkedArray, rows: Positions, target: int, part: Any, rng: np.random.Generator
) -> list[Any]:
    values = plain(column)
    goal = values[target].as_py()
    swap = rng.random(len(rows)) < part
    old = values.take(pa.array(rows)).to_pylist()
    return [goal if s else o for o, s in zip(old, swap, strict=True)]
