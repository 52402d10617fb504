"""Families of near copies in a pool: which rows belong together, and which of them go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from auditor.near_copies.closeness import Floats, Rows
from auditor.near_copies.contrasts import Claim
from auditor.near_copies.pairs import Pool
from auditor.statistics import fisher
from auditor.suppliers import supplied

Mask = npt.NDArray[np.bool_]

#: From this many partners on, the row that was copied must also be the one they are close to.
PARTNERS: Final = 3
#: Share of its partners that must be as close to it as to their others.
CLOSER: Final = 2 / 3


@dataclass(frozen=True, slots=True)
class Families:
    """Positions in the pool, ascending, with the number of their family: both int64[n].

    `original` bool[n]: the row that was copied, as far as can be told. `least` float64[n]: the
    closeness, in nats, beyond which another row belongs to the family too. `links` int64[k, 2]:
    places in `rows` of a member and of another one beyond its own threshold.
    """

    rows: Rows
    number: Rows
    original: Mask
    least: Floats
    links: Rows

    @property
    def count(self) -> int:
        """How many families."""
        return len(np.unique(self.number))

    def going(
        self, claim: Claim, senders: Rows, every: Rows, repeats: Callable[[Mask], float]
    ) -> Mask:
        """The members that the claim is about, by who supplied them: bool[n].

        `senders` int64[n], `every` int64[rows]: who sent the members, and all rows. `repeats`: how
        unlikely it is that the members of a mask bool[n] come from so few. One row of each family
        stays: one of other senders, or the original. Copies of trusted rows all go: their originals
        are elsewhere.
        """
        if not len(self.links):
            return ~self.original

        def tail(rest: Mask) -> float:
            return fisher(claim.tail(self._close(rest, claim.contrast.partners)), repeats(rest))

        taken = supplied(senders, self.number, every, tail)
        left = np.zeros(len(self.rows), dtype=bool)
        left[self.number[~taken]] = True
        return taken & (~self.original | left[self.number])

    def _close(self, rest: Mask, partners: int) -> int:
        """How many rows of the rest have as many partners there as the claim asks for."""
        inside = self.links[rest[self.links].all(axis=1)]
        return int(np.sum(np.bincount(inside[:, 0]) >= partners))


def families(pool: Pool, claim: Claim, plausible: Mask) -> Families:
    """The rows of a claim with the partners that they are linked to, as connected components.

    `plausible` bool[pool]: a row that may be an
    original by who sent it. Positions in the pool stand for age: the older first.
    """
    least = np.full(len(pool.part), np.inf)
    least[pool.batch[claim.rows]] = claim.least[claim.rows]
    if claim.contrast.copies_of == "trusted":
        rows = pool.batch[claim.rows]
        alone, none = np.zeros(len(rows), dtype=bool), np.zeros((0, 2), dtype=np.int64)
        return Families(rows, np.arange(len(rows)), alone, least[rows], none)
    left, right, score = _links(pool, claim, least)
    named = least < np.inf
    named[left] = named[right] = True
    rows = np.flatnonzero(named)
    ends = np.stack([np.searchsorted(rows, left), np.searchsorted(rows, right)], axis=1)
    number = _components(len(rows), ends)
    original = _originals(left, right, score, plausible)
    links = np.concatenate([ends[score > least[left]], ends[score > least[right]][:, ::-1]])
    np.minimum.at(least, left, least[right])
    np.minimum.at(least, right, least[left])
    return Families(rows, number, original[rows], least[rows], links)


def _links(pool: Pool, claim: Claim, least: Floats) -> tuple[Rows, Rows, Floats]:
    pairs = pool.pairs
    mine = pool.part >= pool.cuts[0]  # not rows that were taken out
    linked = mine[pairs.left] & mine[pairs.right]
    linked &= pairs.score > np.minimum(least[pairs.left], least[pairs.right])
    if claim.contrast.conflicting and pool.labels is not None:
        linked &= pool.labels[pairs.left] != pool.labels[pairs.right]
    kept = pairs.where(linked)
    return kept.left, kept.right, kept.score


def _components(rows: int, links: Rows) -> Rows:
    """The number of the connected component of each row: int64[rows]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(links)), tuple(links.T)), shape=(rows, rows))
    _, number = connected_components(graph, directed=False)
    found: Rows = number.astype(np.int64)
    return found


def _originals(left: Rows, right: Rows, score: Floats, plausible: Mask) -> Mask:
    """Rows that one may take for the row that their partners were copied from: bool[pool].

    The oldest among its partners. Copies with independent changes are closer to their original
    than to each other: of several partners, most must be as close to it as to their others. Where
    they are not, the family came without its original.
    """
    size = len(plausible)
    count = np.bincount(left, minlength=size) + np.bincount(right, minlength=size)
    total = np.bincount(left, score, size) + np.bincount(right, score, size)
    usual = total / np.maximum(count, 1)
    closer = np.bincount(left, score >= usual[right], size)
    has_older = np.zeros(size, dtype=bool)
    has_older[right] = True
    hub = (count < PARTNERS) | (closer >= CLOSER * count)
    original: Mask = plausible & (count > 0) & ~has_older & hub
    return original
