"""Backdoor whose trigger is a small box, not a point: no exact value comes back often.

As in `backdoor`, with each number of the trigger jittered a little in every row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.redteam.jitter import quantities, states
from auditor.redteam.planting import Planted, classes, need_rows
from auditor.redteam.precision import Numbers, Precision, finite, fit
from auditor.redteam.trigger import TRIES, Cells, Place, backdoored, varying

#: Cells in the trigger, at most.
CELLS: Final = 3
#: Half the width of the box: in standard deviations, and at least one step of the precision.
JITTER: Final = 0.02


def plant(
    table: pa.Table,
    roles: Roles,
    *,
    rows: int,
    seed: int,
    trusted: pa.Table | None = None,
    cells: int = CELLS,
    jitter: float = JITTER,
    place: Place = "changed",
    contributors: int | None = 2,
) -> Planted:
    """Put a jittered trigger and the target label on rows of other classes.

    See `planting.Attack`. The cells are numbers where there are enough of them, else categories
    take part, which stay exact. The box is the emptiest of many random ones.
    """
    need_rows(table, "backdoor")
    rng = np.random.default_rng([seed, 15])
    every = classes(table, roles, trusted, "backdoor")
    target = every[int(rng.integers(len(every)))]
    centre, reach = box(table, roles, trusted, rng, cells, jitter)
    return backdoored(
        table,
        roles,
        rng,
        rows=rows,
        target=target,
        cells=around(table, centre, reach, rng),
        place=place,
        contributors=contributors,
        what=told_box(centre, reach),
    )


def told_box(centre: Mapping[str, Any], reach: Mapping[str, float]) -> str:
    """For a description: "age = 31 ± 1, kind = 'a'"."""
    return ", ".join(
        f"{name} = {value:g} ± {reach[name]:g}" if name in reach else f"{name} = {value!r}"
        for name, value in centre.items()
    )


def around(
    table: pa.Table,
    centre: Mapping[str, Any],
    reach: Mapping[str, float],
    rng: np.random.Generator,
) -> Cells:
    """Values inside the box, uniform, with the column's precision and inside its range."""

    def draw(rows: int) -> Mapping[str, Sequence[Any]]:
        drawn: dict[str, Sequence[Any]] = {}
        for name, value in centre.items():
            if name in reach:
                present = finite(table[name])
                values = value + rng.uniform(-1, 1, rows) * reach[name]
                drawn[name] = fit(np.clip(values, present.min(), present.max()), table[name])
            else:
                drawn[name] = [value] * rows
        return drawn

    return draw


def box(
    table: pa.Table,
    roles: Roles,
    trusted: pa.Table | None,
    rng: np.random.Generator,
    cells: int,
    jitter: float,
) -> tuple[dict[str, Any], dict[str, float]]:
    """Centre and half width of a box that holds few rows; categories have no width."""
    pool = varying(table, roles, trusted)
    numbers = [name for name in quantities(table, roles, trusted) if name in pool]
    if not numbers:
        raise Unavailable("backdoor with jitter needs a numeric feature")
    known = {name: Precision.of(table[name]) for name in numbers}
    codes = sorted(set(pool) - set(numbers))
    best: tuple[dict[str, Any], dict[str, float]] = {}, {}
    fewest: float = np.inf
    for _ in range(TRIES):
        names = _drawn(numbers, codes, cells, rng)
        row = {name: _value(pool[name], name in known, rng) for name in names}
        reach = {n: _reach(known[n], row[n], jitter) for n in names if n in known}
        inside = np.ones(len(pool[names[0]]), dtype=bool)
        for name, value in row.items():
            inside &= _close(pool[name], value, reach.get(name))
        if inside.sum() < fewest:
            fewest, best = float(inside.sum()), (row, reach)
        if fewest == 0:
            break
    return best


def _drawn(numbers: list[str], codes: list[str], cells: int, rng: np.random.Generator) -> list[str]:
    first = rng.permutation(numbers)[:cells].tolist()
    more = rng.permutation(codes)[: cells - len(first)].tolist() if codes else []
    return sorted([*first, *more])


def _reach(precision: Precision, value: float, jitter: float) -> float:
    """At least a step of the precision that values of this size have."""
    step = float(precision.step(np.array([value]))[0])
    return max(step, jitter * float(np.std(precision.known)))


def _value(values: pa.ChunkedArray, number: bool, rng: np.random.Generator) -> Any:
    """A value of the column; of a number no state such as "none", which has no small change."""
    if not number:
        present = values.drop_null()
        return present[int(rng.integers(len(present)))].as_py()
    readings: Numbers = finite(values)
    readings = readings[readings != states(values)]
    return float(readings[int(rng.integers(len(readings)))])


def _close(values: pa.ChunkedArray, value: Any, reach: float | None) -> Any:
    if reach is None:
        same = [found == value for found in values.to_pylist()]
        return np.array(same, dtype=bool)
    found = values.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy()
    return np.abs(found - value) <= 2 * reach
