"""Several attacks in one batch, each with its own mask, so that a demo can score itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditor.batch import Roles
from auditor.redteam import ATTACKS_BY_NAME
from auditor.redteam.planting import Planted, fresh_ids, replace, weave

#: Poison rows of each attack in the demo.
ROWS: Final[Mapping[str, int]] = {
    "label-flip": 120,
    "exact-copy": 60,
    "conflicting-copy": 50,
    "out-of-range": 30,
    "near-copy": 60,
    "backdoor": 30,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """A batch with several attacks.

    `masks[attack][i]` is true where row `i` of `table` is poison of that attack; the masks do
    not overlap. `ids[attack]` names the same rows by the first id role (empty without one).
    """

    table: pa.Table
    masks: Mapping[str, pa.BooleanArray]
    ids: Mapping[str, tuple[Any, ...]]
    descriptions: Mapping[str, str]


def demo_mix(
    table: pa.Table,
    roles: Roles,
    *,
    seed: int,
    attacks: Sequence[str] = tuple(ATTACKS_BY_NAME),
    rows: Mapping[str, int] = ROWS,
    trusted: pa.Table | None = None,
) -> Mix:
    """Plant every attack of `attacks`; rows of one attack are never the template of another.

    Attacks that change rows come first. Each of the others starts from its own random slice of
    the untouched rows. Raises `KeyError` for an unknown name, `Unavailable` as the attacks do.
    """
    flips = [name for name in attacks if name == "label-flip"]
    others = [name for name in attacks if name != "label-flip"]
    planted: dict[str, Planted] = {}
    base, changed = table, np.zeros(table.num_rows, dtype=bool)
    for name in flips:
        planted[name] = _plant(name, table, roles, seed, rows, trusted)
        base, changed = planted[name].table, planted[name].mask.to_numpy(zero_copy_only=False)
    for name, part in zip(others, _slices(changed, len(others), seed), strict=True):
        planted[name] = _plant(
            name, table.take(pa.array(part)), roles, seed, rows, _more(table, trusted)
        )
    return _join(base, changed, {name: planted[name] for name in attacks}, roles, seed)


def _plant(
    name: str,
    table: pa.Table,
    roles: Roles,
    seed: int,
    rows: Mapping[str, int],
    trusted: pa.Table | None,
) -> Planted:
    wanted = rows.get(name, ROWS[name])
    return ATTACKS_BY_NAME[name](table, roles, rows=wanted, seed=seed, trusted=trusted)


def _more(table: pa.Table, trusted: pa.Table | None) -> pa.Table:
    """The batch and the trusted part: what an attack on a slice has to know of its columns."""
    if trusted is None:
        return table
    common = [name for name in table.column_names if name in trusted.column_names]
    left = table.select(common)
    return pa.concat_tables([left, trusted.select(common).cast(left.schema)])


def _slices(changed: npt.NDArray[np.bool_], parts: int, seed: int) -> list[npt.NDArray[np.int64]]:
    rows = np.random.default_rng([seed, 7]).permutation(np.flatnonzero(~changed))
    return [np.sort(part).astype(np.int64) for part in np.array_split(rows, max(parts, 1))][:parts]


def _join(
    base: pa.Table,
    changed: npt.NDArray[np.bool_],
    planted: Mapping[str, Planted],
    roles: Roles,
    seed: int,
) -> Mix:
    """One table; new rows get ids that are unique over all attacks."""
    new = {name: p.table.filter(pc.is_null(p.origin)) for name, p in planted.items()}
    joined = pa.concat_tables([base.slice(0, 0), *new.values()])
    for column in roles.columns("id"):
        joined = replace(joined, column, fresh_ids(base[column], joined.num_rows))
    names = [name for name, part in new.items() for _ in range(part.num_rows)]
    woven, order = _weave(base, joined, roles, seed)
    owner = np.array(["label-flip" if c else "" for c in changed] + names, dtype=object)[order]
    masks = {name: pa.array(owner == name, pa.bool_()) for name in planted}
    return Mix(
        table=woven,
        masks=masks,
        ids={name: _ids(woven, roles, mask) for name, mask in masks.items()},
        descriptions={name: p.description for name, p in planted.items()},
    )


def _weave(
    base: pa.Table, new: pa.Table, roles: Roles, seed: int
) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """The joined rows in order, and for each its position in `base` followed by `new`."""
    position = pa.field("position", pa.int64())
    at = np.arange(base.num_rows + new.num_rows)
    left = base.add_column(0, position, pa.array(at[: base.num_rows]))
    right = new.add_column(0, position, pa.array(at[base.num_rows :]))
    rng = np.random.default_rng([seed, 8])
    table = weave(left, right, roles, rng, attack="injection", description="").table
    return table.remove_column(0), table.column(0).to_numpy()


def _ids(table: pa.Table, roles: Roles, mask: pa.BooleanArray) -> tuple[Any, ...]:
    column = roles.first("id")
    return tuple(table[column].filter(mask).to_pylist()) if column else ()
