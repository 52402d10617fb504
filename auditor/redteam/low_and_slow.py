"""Low and slow: the same backdoor in every batch, each time by fewer rows than anybody notices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from auditor.batch import Roles
from auditor.redteam.campaign import same_trigger
from auditor.redteam.planting import Planted


def plant_over(
    batches: Sequence[pa.Table],
    roles: Roles,
    *,
    rows: int,
    seed: int,
    trusted: pa.Table | None = None,
    cells: int = 3,
) -> tuple[Planted, ...]:
    """Plant `rows` rows with one trigger in each batch. See `campaign.Campaign`."""
    return same_trigger(
        batches,
        roles,
        np.random.default_rng([seed, 31]),
        counts=[rows] * len(batches),
        names=None,
        cells=cells,
        trusted=trusted,
        attack="low-and-slow",
    )
