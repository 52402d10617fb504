"""How small is the smallest tail of all contrasts and levels by chance? By relabelling rows.

Were batch and trusted rows drawn alike, any row could have been in any part. So the parts are dealt
out anew, many times, and the smallest tail of all tests is noted each time: that is its law, with
near copies where they are, however much the tests overlap (Westfall, Young 1993, Resampling-based
multiple testing). Below what so few deals reach, the law goes on as a power of the tail, estimated
from the smallest ones (Hill 1975, Annals of Statistics). Planted copies are dealt out as well and
make it heavier; the plain factor for the number of tests (Bonferroni) may then be the better one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from auditor.near_copies.contrasts import contrasts, strongest
from auditor.near_copies.pairs import Pool

#: Times that the parts are dealt out.
DEALS: Final = 199
#: Smallest tails below it make the power law.
LOW: Final = 0.1


@dataclass(frozen=True, slots=True)
class SmallestTail:
    """P(smallest tail <= t) is `share` * (t / LOW) ** `power` for t below `LOW`."""

    share: float
    power: float

    @classmethod
    def of(cls, pool: Pool, levels: Sequence[float], slack: float, seed: int) -> SmallestTail:
        """From `DEALS` relabelled pools."""
        rng = np.random.default_rng([seed, 10])
        deals = (contrasts(pool.relabelled(rng)) for _ in range(DEALS))
        tails = np.array([strongest(deal, levels, slack).p_value for deal in deals])
        low = tails[tails < LOW]
        # One more that is as small as a tail is on average: few deals say little.
        power = (len(low) + 1) / (1.0 - np.log(low / LOW).sum())
        share = (len(low) + 1) / (DEALS + 1)
        return cls(share, min(1.0, float(power)))

    def corrected(self, tail: float) -> float:
        """The p-value of the smallest tail; never below the tail itself."""
        return max(tail, self.share * (tail / LOW) ** self.power) if tail < LOW else 1.0
