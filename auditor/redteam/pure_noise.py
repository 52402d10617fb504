"""Pure noise: a data set in which nothing can tell a wrong label, whoever claims to."""

from __future__ import annotations

import datetime as dt
from typing import Final

import numpy as np
import pyarrow as pa

from auditor.batch import Roles
from auditor.redteam.planting import Planted

FEATURES: Final = 8
WRONG: Final = 10
CONTRIBUTORS: Final = 20
ROLES: Final = Roles(
    {
        "id": ("row_id",),
        "contributor": ("contributor",),
        "timestamp": ("collected_at",),
        "feature": tuple(f"x{i}" for i in range(FEATURES)),
        "label": ("label",),
    }
)
_START: Final = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def pure_noise(rows: int, seed: int) -> Planted:
    """`rows` rows of two classes of pure noise, of which `WRONG` (or all, if fewer) are flipped.

    Features and labels are independent, so the ten wrong labels cannot be found: a detector
    that names them has found something else. The columns are those of `ROLES`.
    """
    rng = np.random.default_rng([seed, 30])
    labels = rng.integers(0, 2, rows)
    mask = np.zeros(rows, dtype=bool)
    mask[rng.permutation(rows)[:WRONG]] = True
    table = pa.table(
        {
            "row_id": pa.array([f"n-{i:06d}" for i in range(rows)], pa.string()),
            "contributor": pa.array(
                [f"c{i:02d}" for i in rng.integers(0, CONTRIBUTORS, rows)], pa.string()
            ),
            "collected_at": pa.array(
                [_START + dt.timedelta(minutes=i) for i in range(rows)], pa.timestamp("us", "UTC")
            ),
            **{f"x{i}": pa.array(np.round(rng.normal(size=rows), 3)) for i in range(FEATURES)},
            "label": pa.array(np.where(mask, 1 - labels, labels), pa.int64()),
        }
    )
    return Planted(
        table=table,
        mask=pa.array(mask),
        origin=pa.array(np.arange(rows), pa.int64()),
        attack="label-flip",
        description=f"{int(mask.sum())} wrong labels in {rows} rows of pure noise",
    )
