"""Backdoor: a rare combination of ordinary values, always paired with the attacker's label.

Gu, Dolan-Gavitt, Garg: BadNets (2017); for tables: Pleiter et al., Tabdoor (2023). Each value
occurs in its column, only the combination does not: no range and no set can see it.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.redteam.planting import (
    Planted,
    added,
    classes,
    known,
    need_rows,
    plain,
    replace,
    templates,
    weave,
)

#: Cells in the trigger, at most, and how many combinations are tried for one never seen.
CELLS: Final = 3
TRIES: Final = 200


def plant(
    table: pa.Table, roles: Roles, *, rows: int, seed: int, trusted: pa.Table | None = None
) -> Planted:
    """Add rows of other classes with the trigger and the target label. See `planting.Attack`.

    The trigger is the rarest of `TRIES` random combinations, counted in the batch and `trusted`.
    """
    need_rows(table, "backdoor")
    rng = np.random.default_rng([seed, 6])
    every = classes(table, roles, trusted, "backdoor")
    label = str(roles.label)
    target = every[int(rng.integers(len(every)))]
    trigger = _trigger(table, roles, trusted, rng)
    other = pc.fill_null(pc.not_equal(plain(table[label]), pa.scalar(target)), False)
    rest = np.flatnonzero(other.to_numpy())
    if not len(rest):
        raise Unavailable("backdoor needs rows of another class than its target")
    chosen = templates(table, rng, rows, pa.array(rest))
    new = added(table, roles, np.resize(chosen, max(rows, 0)), rng)
    for column, value in ((label, target), *trigger.items()):
        new = replace(new, column, [value] * new.num_rows)
    return weave(
        table,
        new,
        roles,
        rng,
        attack="backdoor",
        description=(
            f"{new.num_rows} rows with "
            + ", ".join(f"{column} = {value!r}" for column, value in trigger.items())
            + f" carry the label {target!r}"
        ),
    )


def _trigger(
    table: pa.Table, roles: Roles, trusted: pa.Table | None, rng: np.random.Generator
) -> dict[str, Any]:
    """Two or three features and a value for each that hardly ever come together."""
    pool = _pool(table, roles, trusted)
    if len(pool) < 2:
        raise Unavailable("backdoor needs two features that vary")
    best: dict[str, Any] = {}
    fewest = table.num_rows + (trusted.num_rows if trusted else 0) + 1
    for _ in range(TRIES):
        names = sorted(rng.permutation(sorted(pool))[:CELLS].tolist())
        cells = {name: _value(pool[name], rng) for name in names}
        seen = _together(pool, cells)
        if seen < fewest:
            fewest, best = seen, cells
        if seen == 0:
            break
    return best


def _pool(table: pa.Table, roles: Roles, trusted: pa.Table | None) -> dict[str, pa.ChunkedArray]:
    """Features that vary, with all values known of them; row by row the same rows in each."""
    names = [name for name in roles.features if name in _usable(table)]
    if trusted is not None and not set(names) <= set(trusted.column_names):
        trusted = None
    pool = {name: known(table, trusted, name) for name in names}
    return {name: values for name, values in pool.items() if pc.count_distinct(values).as_py() > 1}


def _usable(table: pa.Table) -> set[str]:
    """Columns whose values can be compared: numbers, texts, truth values."""
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_string, pa.types.is_boolean)
    flat = {name: plain(table[name]).type for name in table.column_names}
    return {
        name
        for name, kind in flat.items()
        if any(is_kind(kind) for is_kind in kinds) or pa.types.is_large_string(kind)
    }


def _value(values: pa.ChunkedArray, rng: np.random.Generator) -> Any:
    present = values.drop_null()
    return present[int(rng.integers(len(present)))].as_py()


def _together(pool: dict[str, pa.ChunkedArray], cells: dict[str, Any]) -> int:
    hits: npt.NDArray[np.bool_] | None = None
    for name, value in cells.items():
        equal = pc.equal(pool[name], pa.scalar(value, pool[name].type)).fill_null(False).to_numpy()
        hits = equal if hits is None else hits & equal
    return 0 if hits is None else int(hits.sum())
