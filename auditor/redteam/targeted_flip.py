"""Targeted flip: rows of one class in one region of the data get the label of another class.

Jagielski, Severi, Pousette Harger, Oprea: Subpopulation Data Poisoning Attacks (CCS 2021).
"""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa

from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.features import Encoder, Matrix, is_number, numbers
from auditor.redteam.changing import changed
from auditor.redteam.planting import Planted, classes, need_rows, plain
from auditor.redteam.senders import Positions, pool_of
from auditor.redteam.trigger import rows_with

#: The share of the region that is flipped. The paper adds 0.5 to 2 times the region's size.
DENSITY: Final = 0.5
#: Encoded numbers are cut here, so that one far cell does not make a row a region of its own.
_REACH: Final = 5.0


def plant(
    table: pa.Table,
    roles: Roles,
    *,
    rows: int,
    seed: int,
    trusted: pa.Table | None = None,
    region: Literal["cluster", "slice"] = "cluster",
    density: float = DENSITY,
    contributors: int | None = None,
) -> Planted:
    """Give rows of class a in one region the label b. See `planting.Attack`.

    `region`: the rows around one random row of the class, or its rows that share one category or
    lie in one interval of a number. `density`: the share of them that is flipped. By default the
    rows are anybody's, because two contributors hardly have a region between them.
    """
    need_rows(table, "targeted-flip")
    rng = np.random.default_rng([seed, 11])
    every = classes(table, roles, trusted, "targeted-flip")
    label = str(roles.label)
    victim, theirs = rows_with(table, label, every, rows, rng, "targeted-flip")
    target = [c for c in every if c != victim][int(rng.integers(len(every) - 1))]
    pool, _ = pool_of(table, roles, theirs, rows, contributors, rng)
    inside = _cluster if region == "cluster" else _slice
    size = min(len(pool), max(1, rows, round(rows / density)))
    candidates, where = inside(table, roles, pool, size, rng)
    flipped = np.sort(rng.permutation(candidates)[: max(rows, 0)])
    return changed(
        table,
        flipped,
        {label: [target] * len(flipped)},
        attack="targeted-flip",
        description=f"{len(flipped)} of {len(candidates)} rows of class {victim!r} {where} "
        f"carry the label {target!r}",
    )


def _matrix(table: pa.Table, roles: Roles) -> Matrix:
    if not roles.features:
        raise Unavailable("targeted-flip needs features")
    cut: Matrix = np.clip(Encoder.fit(table, roles.features).transform(table), -_REACH, _REACH)
    return cut


def _cluster(
    table: pa.Table, roles: Roles, pool: Positions, size: int, rng: np.random.Generator
) -> tuple[Positions, str]:
    """The `size` rows of the pool nearest to one of them, by Euclidean distance as encoded."""
    matrix = _matrix(table, roles)[pool]
    centre = int(rng.integers(len(pool)))
    far = ((matrix - matrix[centre]) ** 2).sum(axis=1)
    nearest = np.argsort(far, kind="stable")[:size]
    return pool[nearest], f"around row {int(pool[centre])}"


def _slice(
    table: pa.Table, roles: Roles, pool: Positions, size: int, rng: np.random.Generator
) -> tuple[Positions, str]:
    """Rows with one category, or in one interval of a number, of a random feature."""
    if not roles.features:
        raise Unavailable("targeted-flip needs features")
    name = roles.features[int(rng.integers(len(roles.features)))]
    column = plain(table[name]).take(pa.array(pool))
    if is_number(column.type):
        return _interval(name, numbers(column), pool, size, rng)
    values = column.to_pylist()
    found = sorted({v for v in values if v is not None}, key=str)
    same = {v: pool[[x == v for x in values]] for v in found}
    enough = [v for v in found if len(same[v]) >= size] or sorted(
        found, key=lambda v: -len(same[v])
    )[:1]
    if not enough:
        return pool, f"without a value of {name}"
    value = enough[int(rng.integers(len(enough)))]
    return same[value], f"with {name} = {value!r}"


def _interval(
    name: str,
    values: np.ndarray[Any, np.dtype[np.float64]],
    pool: Positions,
    size: int,
    rng: np.random.Generator,
) -> tuple[Positions, str]:
    order = np.argsort(values, kind="stable")  # NaN comes last
    start = int(rng.integers(len(order) - size + 1)) if len(order) > size else 0
    inside = order[start : start + size]
    low, high = values[inside[0]], values[inside[-1]]
    return pool[inside], f"with {name} from {low:g} to {high:g}"
