"""Close pairs of rows, and the closest partners of each row in each part of a pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from auditor.near_copies.closeness import Floats, Rows

#: Closest partners in each part that are kept.
KEPT: Final = 5


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of positions, `left` < `right`, both int64[pairs], with their closeness in nats."""

    left: Rows
    right: Rows
    score: Floats

    def where(self, keep: npt.NDArray[np.bool_]) -> Pairs:
        """Some of the pairs."""
        return Pairs(self.left[keep], self.right[keep], self.score[keep])


@dataclass(frozen=True, slots=True)
class Partners:
    """Both ends of all pairs, by row and then the closest partner first.

    `row`, `other` int64[2 * pairs], `score` float64[2 * pairs]; `start` int64[2 * pairs]: where the
    entries of the row begin.
    """

    row: Rows
    other: Rows
    score: Floats
    start: Rows

    @classmethod
    def of(cls, pairs: Pairs) -> Partners:
        """Sort them once; which part a row is in plays no role."""
        row = np.concatenate([pairs.left, pairs.right])
        other = np.concatenate([pairs.right, pairs.left])
        score = np.tile(pairs.score, 2)
        order = np.lexsort((-score, row))
        row = row[order]
        start = np.searchsorted(row, row, side="left")
        return cls(row, other[order], score[order], start)

    def closest(self, part: Rows, parts: int) -> Floats:
        """The scores of each row's closest partners in each part: float64[rows, parts, KEPT].

        `part` int64[rows]: the part of each row, -1 for none. Best first; 0 where there are no
        more.
        """
        out = np.zeros((len(part), parts, KEPT))
        theirs = part[self.other]
        for number in range(parts):
            inside = theirs == number
            count = np.concatenate([[0], np.cumsum(inside)])
            rank = count[:-1] - count[self.start]
            kept = np.flatnonzero(inside & (rank < KEPT))
            out[self.row[kept], number, rank[kept]] = self.score[kept]
        return out
