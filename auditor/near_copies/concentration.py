"""Do fewer contributors send the families of a claim than send rows that are merely alike?

A contributor repeats itself in a family that holds more than one of its rows. Contributors are not
alike, and rows that are alike may come from some of them only; so the repeats are compared with
those in ordinary groups of the batch: a row and those nearest to it, as many as a family has; and
around those other rows, trusted ones and of the batch, that have the closest partners, because
natural near copies may come from one contributor each. Where near copies are more than usual and
who sent them is more than usual, both count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from auditor.features import Matrix
from auditor.near_copies.closeness import Floats, Rows
from auditor.near_copies.families import Families
from auditor.near_copies.pairs import REACH, Pool

Mask = npt.NDArray[np.bool_]

#: Rows of the batch whose neighbours are looked at, the share of rows that count as the closest,
#: and the rows of the largest group.
CENTRES: Final = 1_000
CLOSEST: Final = 0.05
LARGEST: Final = 32
#: Families that are looked at, by lot.
FAMILIES: Final = 100
#: Random draws of one ordinary group for each family.
DRAWS: Final = 9_999


@dataclass(frozen=True, slots=True)
class Concentration:
    """Who sent the members of families, and ordinary groups beside them.

    `number`, `senders` int64[n]: family and sender of each member, -1 where nobody says. `ordinary`
    int64[groups, LARGEST], around any rows of the batch and around the closest rows of both sides:
    senders of rows that are alike, of as many rows as one wants to look at.
    """

    number: Rows
    senders: Rows
    ordinary: tuple[Rows, ...]
    seed: int

    @classmethod
    def of(
        cls, group: Families, pool: Pool, senders: Rows, matrix: Matrix, seed: int
    ) -> Concentration:
        """`senders` int64[rows] and `matrix` float32[rows, d]: all rows of the pool.

        Rows without a sender are not looked at.
        """
        rest = pool.without(group.rows)
        batch, trusted = (rows[senders[rows] >= 0] for rows in (rest.batch, rest.trusted))
        centres = np.random.default_rng([seed, 6]).permutation(batch)[:CENTRES]
        cut, top = np.clip(matrix, -REACH, REACH), rest.top()
        among = [
            _nearest(cut, _closest(top[rows][:, parts, 0], rows), rows)
            for rows, parts in ((trusted, rest.trusted_parts), (batch, rest.batch_parts))
        ]
        if not len(among[0]):  # what is natural is not known from the batch alone
            among = among[:1]
        ordinary = (senders[_nearest(cut, centres, batch)], senders[np.concatenate(among)])
        return cls(group.number, senders[group.rows], ordinary, seed)

    def tail(self, members: Mask) -> float:
        """P(as many repeats in ordinary groups of the same sizes), by Monte Carlo: in (0, 1].

        `members` bool[n]: those that are looked at. 1 where nothing can be told.
        """
        families = self._families(members, np.random.default_rng([self.seed, 8]))
        if not families:
            return 1.0
        return max(self._beside(usual, families) for usual in self.ordinary)

    def _beside(self, usual: Rows, families: list[Rows]) -> float:
        if not len(usual):
            return 1.0
        # One group of a single sender that nobody has seen: few groups say little.
        usual = np.concatenate([usual, np.zeros((1, LARGEST), dtype=np.int64)])
        rng = np.random.default_rng([self.seed, 9])
        total, observed = np.zeros(DRAWS, dtype=np.int64), 0
        for sent in families:
            repeats = _repeats(usual[:, : len(sent)])
            total += repeats[rng.integers(len(repeats), size=DRAWS)]
            observed += int(_repeats(sent[None])[0])
        return float((1 + np.sum(total >= observed)) / (1 + DRAWS))

    def _families(self, members: Mask, rng: np.random.Generator) -> list[Rows]:
        """The senders of the members of up to `FAMILIES` families, up to `LARGEST` of each."""
        order = rng.permutation(np.flatnonzero(members))
        order = order[np.argsort(self.number[order], kind="stable")]
        start = np.flatnonzero(np.diff(self.number[order])) + 1
        found = [self.senders[places[:LARGEST]] for places in np.split(order, start)]
        several = [sent for sent in found if len(sent) > 1]
        if len(several) <= FAMILIES:
            return several
        return [several[i] for i in rng.permutation(len(several))[:FAMILIES].tolist()]


def _closest(scores: Floats, rows: Rows) -> Rows:
    """The share `CLOSEST` of rows with the closest partners: `scores` float64[rows, parts]."""
    order = np.argsort(-scores.max(axis=1, initial=0.0), kind="stable")
    chosen: Rows = rows[order[: max(1, round(CLOSEST * len(rows)))]]
    return chosen


def _nearest(matrix: Matrix, centres: Rows, rows: Rows) -> Rows:
    """Each of `centres`, with those of `rows` nearest to it: int64[centres, LARGEST]."""
    from sklearn.neighbors import NearestNeighbors

    if len(rows) < LARGEST:
        return np.zeros((0, LARGEST), dtype=np.int64)
    index = NearestNeighbors(n_neighbors=LARGEST, algorithm="brute").fit(matrix[rows])
    found: Rows = rows[index.kneighbors(matrix[centres], return_distance=False)]
    return found


def _repeats(sent: Rows) -> Rows:
    """Rows of each group beyond the first of a sender; who is unknown repeats nobody: int64[n].

    `sent` int64[n, size].
    """
    ordered = np.sort(sent, axis=1)
    found: Rows = np.sum((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0), axis=1)
    return found
