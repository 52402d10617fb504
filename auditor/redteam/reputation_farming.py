"""Reputation farming: contributors send good rows for many batches and poison in the last ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from auditor.batch import Roles
from auditor.redteam.campaign import in_all, same_trigger
from auditor.redteam.planting import Planted


def plant_over(
    batches: Sequence[pa.Table],
    roles: Roles,
    *,
    rows: int,
    seed: int,
    trusted: pa.Table | None = None,
    contributors: int = 2,
    last: int = 1,
    cells: int = 3,
) -> tuple[Planted, ...]:
    """Plant up to `rows` rows of k contributors in the `last` batches. See `campaign.Campaign`.

    They are contributors of every batch; in the earlier ones their rows stay as they are.
    """
    rng = np.random.default_rng([seed, 32])
    names = in_all(batches, roles, contributors, rng, "reputation-farming")
    return same_trigger(
        batches,
        roles,
        rng,
        counts=[rows if i >= len(batches) - last else 0 for i in range(len(batches))],
        names=names,
        cells=cells,
        trusted=trusted,
        attack="reputation-farming",
    )
