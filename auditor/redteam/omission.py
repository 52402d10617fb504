"""Omission: rows of one class, contributor or group are left out before anybody signs."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa

from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.redteam.planting import Planted, count_by, need_rows, plain
from auditor.redteam.senders import Positions
from auditor.redteam.trigger import varying

What = Literal["class", "contributor", "slice"]


def plant(
    table: pa.Table,
    roles: Roles,
    *,
    rows: int,
    seed: int,
    trusted: pa.Table | None = None,
    what: What = "class",
) -> Planted:
    """Leave out up to `rows` rows that share a value. See `planting.Attack`.

    No row is poison: the mask is empty, `origin` misses the rows that are gone. The value is one
    that at least `rows` rows have, else the most frequent one.
    """
    need_rows(table, "omission")
    rng = np.random.default_rng([seed, 29])
    column = _column(table, roles, trusted, what, rng)
    counts = count_by(table[column])
    if not counts:
        raise Unavailable(f"omission needs values in {column}")
    enough = [value for value, count in counts.items() if count >= rows] or [next(iter(counts))]
    value = enough[int(rng.integers(len(enough)))]
    theirs = np.array([x == value for x in plain(table[column]).to_pylist()], dtype=bool)
    gone = np.sort(rng.permutation(np.flatnonzero(theirs))[: max(rows, 0)])
    kept: Positions = np.setdiff1d(np.arange(table.num_rows), gone).astype(np.int64)
    return Planted(
        table=table.take(pa.array(kept)),
        mask=pa.array(np.zeros(len(kept), dtype=bool)),
        origin=pa.array(kept),
        attack="omission",
        description=f"{len(gone)} of {int(theirs.sum())} rows with {column} = {value!r} left out",
    )


def _column(
    table: pa.Table,
    roles: Roles,
    trusted: pa.Table | None,
    what: What,
    rng: np.random.Generator,
) -> str:
    if what != "slice":
        column = roles.label if what == "class" else roles.contributor
        if column is None:
            raise Unavailable(f"omission needs a {'label' if what == 'class' else what} role")
        return column
    names = list(roles.columns("slice"))
    names = names or [
        n for n in sorted(varying(table, roles, trusted)) if 2 <= len(count_by(table[n])) <= 50
    ]
    if not names:
        raise Unavailable("omission needs a slice role or a feature with few values")
    return names[int(rng.integers(len(names)))]
