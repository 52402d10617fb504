"""Are rows of a batch closer to each other than to trusted rows? Contrasts and their test.

Batch and trusted rows are cut into parts of one size. Were they drawn alike, a row would have its
closest partners in a batch part as near as in a trusted part: each statistic of the batch side has
the same law as its mirror image on the trusted side, whatever the data look like and however many
near copies they hold by nature. The claim is a precedence test: more batch values beyond one of the
largest mirror values than chance puts there (Epstein 1954; the count is negative binomial).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from auditor.near_copies.closeness import Floats
from auditor.near_copies.pairs import Pool
from auditor.statistics import excess_tail

Mask = npt.NDArray[np.bool_]

#: Which closest partner is looked at: the first (a copy), and the third (a family).
PARTNERS: Final = (1, 3)
#: (batch partner, trusted partner) whose scores are subtracted: closeness beyond the local usual.
EXCESSES: Final = ((1, 1), (3, 2), (5, 2))
#: A level at which more than this share of the events is expected names too many honest rows.
HONEST: Final = 0.3


@dataclass(frozen=True, slots=True)
class Contrast:
    """One statistic of the distinct batch rows, and its mirror image.

    `tested` float64[rows, parts]; `mirror` float64[m], ascending; `floor` float64[rows, parts] is
    what has to be added to a threshold to get a score. `partners`: how many close ones an event
    needs. `copies_of`: "batch" or "trusted". `conflicting`: only pairs with different labels.
    """

    name: str
    tested: Floats
    mirror: Floats
    floor: Floats
    partners: int
    copies_of: str = "batch"
    conflicting: bool = False

    def threshold(self, share: float) -> tuple[int, float]:
        """The mirror value that has a share `share` at or above it: its rank and value."""
        rank = min(max(1, round(share * len(self.mirror))), len(self.mirror))
        return rank, float(self.mirror[-rank])

    def tail(self, events: float, exposure: int, rank: int, slack: float) -> float:
        """P(at least `events` in `exposure` values) where `rank` mirror values are as large."""
        # A family of k + 1 rows is the least in which each row has k partners: they come together.
        clump = self.partners + 1.0
        return excess_tail(events / clump, exposure, rank / clump, len(self.mirror), slack=slack)

    def tails(self) -> Floats:
        """Share of mirror values at or above the largest value of each row: float64[rows].

        Beyond all of them it shrinks with the distance, so that worse stays worse.
        """
        top, count = self.tested.max(axis=1), len(self.mirror)
        above = count - np.searchsorted(self.mirror, top, side="left")
        spread = max(float(self.mirror[-1] - self.mirror[count // 2]), 1e-9)
        beyond = np.maximum(top - self.mirror[-1], 0.0) / spread
        tails: Floats = (above + 1.0) / (count + 1.0) / (1.0 + beyond)
        return tails


@dataclass(frozen=True, slots=True)
class Claim:
    """More events than expected: `rows` bool[rows], `least` float64[rows] the score of a link.

    `rank`: how many mirror values reach the threshold. `slack`: how much the rate may drift up.
    """

    contrast: Contrast
    rows: Mask
    least: Floats
    rank: int
    slack: float
    p_value: float

    @property
    def expected(self) -> float:
        """Rows beyond the threshold by chance."""
        return self.rank * len(self.contrast.tested) / len(self.contrast.mirror)

    def tail(self, rows: int) -> float:
        """P(at least `rows` rows beyond the threshold), not corrected."""
        exposure = len(self.contrast.tested)
        return self.contrast.tail(float(rows), exposure, self.rank, self.slack)


def contrasts(pool: Pool) -> list[Contrast]:
    """All of them; those of conflicting labels only where rows have labels."""
    top = pool.top()
    found = [*_of_scores(pool, top, conflicting=False), *_of_excess(pool, top)]
    if pool.labels is not None:
        found += _of_scores(pool, pool.top(conflicting=True), conflicting=True)
    return found


def _of_scores(pool: Pool, top: Floats, *, conflicting: bool) -> Iterator[Contrast]:
    mine, theirs = pool.batch_parts, pool.trusted_parts
    batch, trusted = top[pool.batch], top[pool.trusted]
    word = "conflicting " if conflicting else ""
    for k in PARTNERS[: 1 if conflicting else None]:
        tested = batch[:, mine, k - 1]
        mirror = [batch[:, theirs, k - 1].ravel(), trusted[:, theirs, k - 1].ravel()]
        name = f"{word}partner {k}"
        yield _contrast(name, tested, mirror, np.zeros_like(tested), k, conflicting=conflicting)
    tested = batch[:, theirs, 0]
    mirror = [trusted[:, theirs, 0].ravel()]
    floor = np.zeros_like(tested)
    yield _contrast(
        f"{word}trusted partner",
        tested,
        mirror,
        floor,
        1,
        copies_of="trusted",
        conflicting=conflicting,
    )


def _of_excess(pool: Pool, top: Floats) -> Iterator[Contrast]:
    count = max(len(pool.batch_parts), len(pool.trusted_parts))
    mine = np.resize(pool.batch_parts, count)
    theirs = np.resize(pool.trusted_parts, count)
    for k, other in EXCESSES:
        floor = top[pool.batch][:, theirs, other - 1]
        tested = top[pool.batch][:, mine, k - 1] - floor
        mirror = [
            (top[rows][:, theirs, k - 1] - top[rows][:, mine, other - 1]).ravel()
            for rows in (pool.batch, pool.trusted)
        ]
        yield _contrast(f"partner {k} beyond trusted {other}", tested, mirror, floor, k)


def _contrast(
    name: str,
    tested: Floats,
    mirror: Sequence[Floats],
    floor: Floats,
    partners: int,
    *,
    copies_of: str = "batch",
    conflicting: bool = False,
) -> Contrast:
    ordered = np.sort(np.concatenate(mirror))
    return Contrast(name, tested, ordered, floor, partners, copies_of, conflicting)


def strongest(found: Sequence[Contrast], shares: Sequence[float], slack: float) -> Claim:
    """The contrast and level with the smallest tail, its p-value not corrected for the others."""
    claims = [_claim(c, share, slack) for c in found for share in shares]
    return min(claims, key=lambda claim: claim.p_value)


def _claim(contrast: Contrast, share: float, slack: float) -> Claim:
    rank, value = contrast.threshold(share)
    beyond = contrast.tested > value
    rows: Mask = np.any(beyond, axis=1)
    exposure, events = contrast.tested.size, int(beyond.sum())
    p = contrast.tail(events, exposure, rank, slack)
    if rank * exposure > HONEST * events * len(contrast.mirror):
        p = 1.0  # most rows would be honest ones; a stricter level may tell them apart
    least = np.where(beyond, value + contrast.floor, np.inf).min(axis=1)
    return Claim(contrast, rows, least, rank, slack, p)
