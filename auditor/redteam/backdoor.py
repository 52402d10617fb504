"""Backdoor: a rare combination of ordinary values, always paired with the attacker's label.

Gu, Dolan-Gavitt, Garg: BadNets (2017); for tables: Pleiter et al., Tabdoor (2023). Each value
occurs in its column, only the combination does not: no range and no set can see it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from auditor.batch import Roles
from auditor.redteam.planting import Planted, classes, need_rows
from auditor.redteam.trigger import Place, backdoored, combination, constant, told

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
    common: float = 0.0,
    place: Place = "added",
    contributors: int | None = 3,
) -> Planted:
    """Put the trigger and the target label on rows of other classes. See `planting.Attack`.

    The trigger is the rarest of many random combinations, counted in the batch and `trusted`;
    with one cell it is a rare value. `common`: each value alone has at least this share of rows.
    """
    need_rows(table, "backdoor")
    rng = np.random.default_rng([seed, 6])
    every = classes(table, roles, trusted, "backdoor")
    target = every[int(rng.integers(len(every)))]
    trigger = combination(table, roles, trusted, rng, cells, common)
    return backdoored(
        table,
        roles,
        rng,
        rows=rows,
        target=target,
        cells=constant(trigger),
        place=place,
        contributors=contributors,
        what=told(trigger),
    )
