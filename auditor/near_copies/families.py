"""Families of near copies in a pool: which rows belong together, and which one was copied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from auditor.near_copies.closeness import Floats, Rows
from auditor.near_copies.contrasts import Claim
from auditor.near_copies.pairs import Pool

Mask = npt.NDArray[np.bool_]

#: From this many partners on, the row that was copied must also be the one they are close to.
PARTNERS: Final = 3
#: Share of its partners that must be as close to it as to their others.
CLOSER: Final = 2 / 3


@dataclass(frozen=True, slots=True)
class Families:
    """Positions in the pool, ascending, with the number of their family: both int64[n].

    `original` bool[n]: the row that was copied, as far as can be told. `least` float64[n]: the
    closeness, in nats, beyond which another row belongs to the family too.
    """

    rows: Rows
    number: Rows
    original: Mask
    least: Floats

    @property
    def count(self) -> int:
        """How many families."""
        return len(np.unique(self.number))


def families(pool: Pool, claim: Claim, free: Mask, plausible: Mask) -> Families:
    """The rows of a claim with the partners that they are linked to, as connected components.

    `free` bool[batch rows]: not in an earlier family. `plausible` bool[pool]: a row that may be an
    original by who sent it. Positions in the pool stand for age: the older first.
    """
    least = np.full(len(pool.part), np.inf)
    least[pool.batch[claim.rows]] = claim.least[claim.rows]
    if claim.contrast.copies_of == "trusted":
        rows = pool.batch[claim.rows]
        return Families(rows, np.arange(len(rows)), np.zeros(len(rows), dtype=bool), least[rows])
    allowed = np.zeros(len(pool.part), dtype=bool)
    allowed[pool.batch[free]] = True
    left, right, score = _links(pool, claim, least, allowed)
    named = least < np.inf
    named[left] = named[right] = True
    rows = np.flatnonzero(named)
    number = _components(rows, left, right)
    original = _originals(left, right, score, plausible)
    np.minimum.at(least, left, least[right])
    np.minimum.at(least, right, least[left])
    return Families(rows, number, original[rows], least[rows])


def _links(pool: Pool, claim: Claim, least: Floats, allowed: Mask) -> tuple[Rows, Rows, Floats]:
    pairs = pool.pairs
    linked = allowed[pairs.left] & allowed[pairs.right]
    linked &= pairs.score > np.minimum(least[pairs.left], least[pairs.right])
    if claim.contrast.conflicting and pool.labels is not None:
        linked &= pool.labels[pairs.left] != pool.labels[pairs.right]
    kept = pairs.where(linked)
    return kept.left, kept.right, kept.score


def _components(rows: Rows, left: Rows, right: Rows) -> Rows:
    """The number of the connected component of each of `rows` (ascending): int64[n]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = (np.searchsorted(rows, left), np.searchsorted(rows, right))
    graph = coo_array((np.ones(len(left)), ends), shape=(len(rows), len(rows)))
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
