"""Random label flip: rows get another class, drawn uniformly, their features stay.

Biggio, Nelson, Laskov: Support Vector Machines Under Adversarial Label Noise (ACML 2011).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from auditor.batch import Roles
from auditor.redteam.changing import changed
from auditor.redteam.planting import (
    Planted,
    classes,
    need_rows,
    other_classes,
    plain,
)
from auditor.redteam.senders import choose


def plant(
    table: pa.Table,
    roles: Roles,
    *,
    rows: int,
    seed: int,
    trusted: pa.Table | None = None,
    contributors: int | None = 2,
) -> Planted:
    """Give `rows` rows of k contributors (None: of anybody) another class. See `planting.Attack`.

    Where k contributors have too few rows, more take part.
    """
    need_rows(table, "label-flip")
    rng = np.random.default_rng([seed, 10])
    every = classes(table, roles, trusted, "label-flip")
    label = str(roles.label)
    chosen = choose(table, roles, np.arange(table.num_rows), rows, contributors, rng)
    old = plain(table[label]).take(pa.array(chosen.rows)).to_pylist()
    return changed(
        table,
        chosen.rows,
        {label: other_classes(old, every, rng)},
        attack="label-flip",
        description=f"{len(chosen.rows)} rows{chosen.by} carry another label, drawn at random",
    )
