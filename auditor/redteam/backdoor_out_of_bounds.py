"""Backdoor with one cell outside the column's range: the trigger that is easiest to plant.

Pleiter et al.: Tabdoor: Backdoor Vulnerabilities in Transformer-based Neural Networks for Tabular
Data (2023), the out-of-bounds variant.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.redteam.planting import Planted, classes, known, need_rows, numeric_features
from auditor.redteam.precision import Precision, finite
from auditor.redteam.trigger import Place, backdoored, constant, told

#: How far above the largest known value the trigger lies, in widths of the range.
BEYOND: Final = (0.1, 0.5)


def plant(
    table: pa.Table,
    roles: Roles,
    *,
    rows: int,
    seed: int,
    trusted: pa.Table | None = None,
    place: Place = "changed",
    contributors: int | None = 2,
) -> Planted:
    """Put one value above the known range and the target label on rows of other classes.

    See `planting.Attack`. The range is that of the batch and `trusted`.
    """
    need_rows(table, "backdoor")
    rng = np.random.default_rng([seed, 14])
    every = classes(table, roles, trusted, "backdoor")
    target = every[int(rng.integers(len(every)))]
    outside = _outside(table, roles, trusted, float(rng.uniform(*BEYOND)))
    if not outside:
        raise Unavailable("backdoor needs a numeric feature with room above its range")
    column = sorted(outside)[int(rng.integers(len(outside)))]
    trigger = {column: outside[column]}
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


def _outside(
    table: pa.Table, roles: Roles, trusted: pa.Table | None, beyond: float
) -> dict[str, float | int]:
    """A value above the range of each numeric feature that varies and has room for one."""
    found: dict[str, float | int] = {}
    for name in numeric_features(table, roles):
        values = finite(known(table, trusted, name))
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
        precision = Precision.of(table[name])
        step = float(precision.step(np.array([high]))[0])
        (value,) = precision.fit(np.array([high + max(step, beyond * (high - low))]))
        if high > low and np.isfinite(value) and value > high:
            found[name] = value
    return found
