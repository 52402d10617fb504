"""Baseline poisoning: a little of the trigger early, so that it is trusted when the rest comes.

With it in the baseline, the trigger is no surprise any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from auditor.batch import Roles
from auditor.redteam.campaign import same_trigger
from auditor.redteam.planting import Planted

#: The share of `rows` that the early batches get.
EARLY: Final = 0.2


def plant_over(
    batches: Sequence[pa.Table],
    roles: Roles,
    *,
    rows: int,
    seed: int,
    trusted: pa.Table | None = None,
    early: float = EARLY,
    last: int = 1,
    cells: int = 3,
) -> tuple[Planted, ...]:
    """Plant `early * rows` rows in each batch, at least one, and `rows` in the `last` ones.

    See `campaign.Campaign`.
    """
    few = max(1, round(early * rows)) if rows > 0 else 0
    return same_trigger(
        batches,
        roles,
        np.random.default_rng([seed, 33]),
        counts=[rows if i >= len(batches) - last else few for i in range(len(batches))],
        names=None,
        cells=cells,
        trusted=trusted,
        attack="baseline-poisoning",
    )
