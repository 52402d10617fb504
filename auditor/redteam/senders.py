"""Who the poison comes from: k contributors of the batch, everybody, or names never seen before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.redteam.planting import count_by, fresh_ids, plain

Positions = npt.NDArray[np.int64]

#: The share of a bad contributor's rows that is poison, where there is a choice of contributors.
SHARE: Final = 0.8
#: Random groups of contributors that are looked at for one of the right size.
_GROUPS: Final = 200


@dataclass(frozen=True, slots=True)
class Chosen:
    """Rows to change, ascending, and the contributors they are from (none: from anybody)."""

    rows: Positions
    names: tuple[Any, ...]

    @property
    def by(self) -> str:
        """For a description: " of contributors 'a', 'b'"; nothing where they are anybody's."""
        return f" of contributors {', '.join(map(repr, self.names))}" if self.names else ""


def choose(
    table: pa.Table,
    roles: Roles,
    allowed: Positions,
    wanted: int,
    contributors: int | None,
    rng: np.random.Generator,
) -> Chosen:
    """Up to `wanted` of the `allowed` rows.

    They are of `contributors` contributors, of more only where the rows of those do not
    suffice; of anybody with None or without the role.
    """
    wanted = max(wanted, 0)
    pool, names = pool_of(table, roles, allowed, wanted, contributors, rng)
    return Chosen(np.sort(rng.permutation(pool)[:wanted]), names)


def pool_of(
    table: pa.Table,
    roles: Roles,
    allowed: Positions,
    wanted: int,
    contributors: int | None,
    rng: np.random.Generator,
) -> tuple[Positions, tuple[Any, ...]]:
    """The `allowed` rows of the contributors that `choose` would take, and who those are."""
    if contributors is None or roles.contributor is None:
        return allowed, ()
    senders = plain(table[roles.contributor]).take(pa.array(allowed))
    names = _group(count_by(senders), wanted, contributors, rng)
    if not names:
        return allowed, ()
    theirs = np.array([sender in set(names) for sender in senders.to_pylist()], dtype=bool)
    return allowed[theirs], tuple(names)


def _group(
    counts: Mapping[Any, int], wanted: int, size: int, rng: np.random.Generator
) -> list[Any]:
    """`size` contributors with about `wanted / SHARE` rows together; more where they are few."""
    names = list(counts)
    if not names:
        return []
    size = min(max(size, 1), len(names))
    groups = [rng.permutation(len(names)) for _ in range(_GROUPS)]
    totals = [sum(counts[names[i]] for i in order[:size]) for order in groups]
    best = min(range(_GROUPS), key=lambda g: abs(totals[g] - wanted / SHARE))
    order, total = groups[best], totals[best]
    while total < wanted and size < len(names):
        total += counts[names[order[size]]]
        size += 1
    return [names[i] for i in order[:size]]


def some(
    table: pa.Table, roles: Roles, contributors: int | None, rng: np.random.Generator
) -> Sequence[Any]:
    """Names to draw the contributors of new rows from: k of the batch's, or all by their rows."""
    if roles.contributor is None:
        return ()
    if contributors is None:
        found: list[Any] = plain(table[roles.contributor]).drop_null().to_pylist()
        return found
    names = sorted(count_by(table[roles.contributor]), key=str)
    return [names[i] for i in rng.permutation(len(names))[: max(contributors, 1)]]


def new_names(table: pa.Table, roles: Roles, wanted: int, attack: str) -> list[Any]:
    """Names that no contributor of the batch has and that look like theirs."""
    if roles.contributor is None:
        raise Unavailable(f"{attack} needs a contributor role")
    fresh: list[Any] = fresh_ids(table[roles.contributor], wanted).to_pylist()
    return fresh
