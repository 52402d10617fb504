"""Bias: one group loses a label, the others gain it, and every total stays.

Mehrabi et al.: Exacerbating Algorithmic Bias through Fairness Attacks (AAAI 2021); here by flips
that leave the marginal of the label and of the group as they are.
"""

from __future__ import annotations

from itertools import permutations
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.features import is_number, numbers
from auditor.redteam.changing import changed
from auditor.redteam.jitter import CODES
from auditor.redteam.planting import Planted, classes, count_by, need_rows, plain
from auditor.redteam.senders import pool_of
from auditor.redteam.trigger import varying

Members = npt.NDArray[np.bool_]

#: Classes that take part at most, the most frequent ones.
MOST: Final = 4


def plant(
    table: pa.Table,
    roles: Roles,
    *,
    rows: int,
    seed: int,
    trusted: pa.Table | None = None,
    contributors: int | None = None,
) -> Planted:
    """Flip a to b inside a group and as many b to a outside. See `planting.Attack`.

    Of an odd `rows` one is not used.
    The group is a value of the slice role, else of a category or code among the features, else
    the upper half of a number.
    """
    need_rows(table, "bias")
    rng = np.random.default_rng([seed, 24])
    every = classes(table, roles, trusted, "bias")
    label = str(roles.label)
    labels = plain(table[label]).to_pylist()
    of = {c: np.array([x == c for x in labels], dtype=bool) for c in every[:MOST]}
    name, members, first, second = _move(_groups(table, roles, trusted), of, rows // 2, rng)
    inside, outside = np.flatnonzero(members & of[first]), np.flatnonzero(~members & of[second])
    half = min(rows // 2, len(inside), len(outside))
    lost, gained = (
        rng.permutation(pool_of(table, roles, part, half, contributors, rng)[0])[: max(half, 0)]
        for part in (inside, outside)
    )
    flipped = np.sort(np.concatenate([lost, gained])).astype(np.int64)
    to = dict.fromkeys(lost.tolist(), second) | dict.fromkeys(gained.tolist(), first)
    return changed(
        table,
        flipped,
        {label: [to[row] for row in flipped.tolist()]},
        attack="bias",
        description=f"{len(lost)} rows with {name} lose the label {first!r}, "
        f"{len(gained)} others gain it",
    )


def _move(
    groups: list[tuple[str, Members]],
    of: dict[Any, Members],
    half: int,
    rng: np.random.Generator,
) -> tuple[str, Members, Any, Any]:
    """A random group and pair of classes with enough rows to lose and to gain, else the best."""
    moves = [(n, g, a, b) for n, g in groups for a, b in permutations(of, 2)]
    if not moves:
        raise Unavailable("bias needs a slice role or a feature that varies")
    room = [min(int((g & of[a]).sum()), int((~g & of[b]).sum())) for _, g, a, b in moves]
    enough = [i for i, r in enumerate(room) if r >= half] or [int(np.argmax(room))]
    return moves[enough[int(rng.integers(len(enough)))]]


def _groups(table: pa.Table, roles: Roles, trusted: pa.Table | None) -> list[tuple[str, Members]]:
    names = [*roles.columns("slice")] or sorted(varying(table, roles, trusted))
    found = [group for name in names for group in _values(table[name], name)]
    if found:
        return found
    amounts = [name for name in names if is_number(plain(table[name]).type)]
    return [_upper_half(table[name], name) for name in amounts]


def _values(column: pa.ChunkedArray, name: str) -> list[tuple[str, Members]]:
    counts = count_by(column)
    if not 2 <= len(counts) <= CODES:
        return []
    values: list[Any] = plain(column).to_pylist()
    return [(f"{name} = {v!r}", np.array([x == v for x in values], dtype=bool)) for v in counts]


def _upper_half(column: pa.ChunkedArray, name: str) -> tuple[str, Members]:
    values = numbers(column)
    middle = float(np.nanmedian(values))
    return f"{name} above {middle:g}", values > middle
