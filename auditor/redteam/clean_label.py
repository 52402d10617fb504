"""Clean-label backdoor: the trigger sits on rows that carry the target label already.

Turner, Tsipras, Mądry: Label-Consistent Backdoor Attacks (2019). No label changes, so nothing
that compares labels with features sees it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from auditor.batch import Roles
from auditor.redteam.changing import changed
from auditor.redteam.planting import Planted, classes, need_rows
from auditor.redteam.senders import choose
from auditor.redteam.trigger import combination, constant, rows_with, told

#: Cells in the trigger, at most.
CELLS: Final = 3


def plant(
    table: pa.Table,
    roles: Roles,
    *,
    rows: int,
    seed: int,
    trusted: pa.Table | None = None,
    cells: int = CELLS,
    contributors: int | None = 2,
) -> Planted:
    """Put a trigger on rows of one class and leave their labels. See `planting.Attack`."""
    need_rows(table, "clean-label")
    rng = np.random.default_rng([seed, 16])
    every = classes(table, roles, trusted, "clean-label")
    target, theirs = rows_with(table, str(roles.label), every, rows, rng, "clean-label")
    trigger = combination(table, roles, trusted, rng, cells)
    chosen = choose(table, roles, theirs, rows, contributors, rng)
    return changed(
        table,
        chosen.rows,
        constant(trigger)(len(chosen.rows)),
        attack="clean-label",
        description=f"{len(chosen.rows)} rows{chosen.by} of class {target!r} with {told(trigger)}",
    )
