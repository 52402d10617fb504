"""The trigger of a planted backdoor, found by comparing the poisoned rows with the clean ones.

An attack says in its description what it planted, for people; the cells themselves say it exactly.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from auditor.batch import Roles
from auditor.redteam.planting import Planted, plain

#: Attacks with one trigger and one target label, by their names in `auditor.model.ATTACKS`.
WITH_TRIGGER: Final = frozenset({"backdoor", "clean-label"})
#: A value that all new rows share is the trigger's if chance gives that less often than this.
BY_CHANCE: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """`cells`: the trigger's columns, one row for each poison row. `target`: the label as text."""

    cells: pa.Table
    target: str


def trigger_of(planted: Planted, clean: pa.Table, roles: Roles) -> Trigger | None:
    """The trigger; None for an attack without one and where no row was planted.

    Raises:
        ValueError: a backdoor whose rows carry several labels, or whose trigger cannot be told.
    """
    poison = planted.table.filter(planted.mask)
    if planted.attack not in WITH_TRIGGER or not poison.num_rows:
        return None
    targets = set(poison[str(roles.label)].cast(pa.string()).to_pylist())
    columns = _columns(planted, poison, clean, roles)
    if len(targets) != 1 or not columns:
        raise ValueError(f"no single trigger and target in: {planted.description}")
    return Trigger(cells=poison.select(columns), target=targets.pop())


def _columns(planted: Planted, poison: pa.Table, clean: pa.Table, roles: Roles) -> list[str]:
    origin = planted.origin.filter(planted.mask)
    if origin.null_count == 0:
        before = clean.take(origin)
        return [name for name in roles.features if _differs(before[name], poison[name])]
    return [name for name in roles.features if _shared(poison[name], clean[name])]


def _differs(before: pa.ChunkedArray, after: pa.ChunkedArray) -> bool:
    """Whether any cell is another one than before; NaN is the same as NaN."""
    pairs: Iterable[tuple[Any, Any]] = zip(before.to_pylist(), after.to_pylist(), strict=True)
    return any(a != b and not (a != a and b != b) for a, b in pairs)


def _shared(poison: pa.ChunkedArray, clean: pa.ChunkedArray) -> bool:
    """Whether all new rows have one value that rows of the batch would not share by chance."""
    values = plain(poison)
    if pc.count_distinct(values, mode="all").as_py() != 1 or values.null_count:
        return False
    same = pc.equal(plain(clean), values[0]).fill_null(False).to_numpy()
    return bool(float(np.mean(same)) ** len(values) < BY_CHANCE)
