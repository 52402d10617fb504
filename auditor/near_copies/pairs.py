"""Pairs of rows that may be near copies of each other.

Candidates come from two sides: rows equal in all but three of six groups of columns (keys of the
groups are added, so that each of the twenty choices costs one sort), which is exact for up to three
changed cells, and nearest neighbours of the encoded rows, for cells that all moved a little.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt

from auditor.features import Matrix
from auditor.near_copies.closeness import Cells, Closeness, Floats, Rows
from auditor.near_copies.partners import Pairs, Partners

Words = npt.NDArray[np.uint64]

#: Groups of columns, and how many of them may differ: any three changed cells leave a key alike.
GROUPS: Final = 6
CHANGED: Final = 3
#: Rows of one key that each row is paired with, on each side.
ALIKE: Final = 3
#: Nearest neighbours in each part that a row is paired with.
NEIGHBOURS: Final = 7
#: Encoded cells are cut here, so that a changed cell does not carry a copy away.
REACH: Final = 4.0
#: Parts of each side at most.
PARTS: Final = 4


def column_words(cells: Cells, seed: int) -> Words:
    """A seeded word for each cell, equal for equal values of a column: uint64[n, d].

    The multiply-xorshift finaliser of SplitMix64 (Steele et al. 2014). The seed is not known to a
    sender, and a collision costs only a comparison.
    """
    rng = np.random.default_rng([seed, 1])
    words = np.ascontiguousarray(np.nan_to_num(cells.values + 0.0, nan=-1e300)).view(np.uint64)
    shape = cells.values.shape[1]
    words = words ^ rng.integers(0, 2**63, size=shape, dtype=np.uint64)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Words = words ^ (words >> np.uint64(31))
    return mixed


def partial_keys(words: Words, seed: int) -> Iterator[Words]:
    """Row keys over all groups of columns but `CHANGED`, each choice once: uint64[n]."""
    columns = words.shape[1]
    groups = min(GROUPS, columns)
    group = np.random.default_rng([seed, 2]).permutation(columns) % groups
    sums = np.stack([words[:, group == g].sum(axis=1, dtype=np.uint64) for g in range(groups)])
    for kept in combinations(range(groups), max(1, groups - CHANGED)):
        yield sums[list(kept)].sum(axis=0, dtype=np.uint64)


def alike(words: Words, seed: int) -> Iterator[tuple[Rows, Rows]]:
    """Pairs of rows that share a partial key; rows of a key are lined up by another hash."""
    order_free = np.argsort(words.sum(axis=1, dtype=np.uint64), kind="stable")
    for key in partial_keys(words, seed):
        order = order_free[np.argsort(key[order_free], kind="stable")]
        ordered = key[order]
        for step in range(1, ALIKE + 1):
            same = ordered[step:] == ordered[:-step]
            yield order[:-step][same], order[step:][same]


def nearest(matrix: Matrix, parts: Sequence[Rows]) -> Iterator[tuple[Rows, Rows]]:
    """Each row with its nearest neighbours in each part, by Euclidean distance."""
    from sklearn.neighbors import NearestNeighbors

    cut = np.clip(matrix, -REACH, REACH)
    for part in parts:
        count = min(NEIGHBOURS, len(part))
        index = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(cut[part])
        found = index.kneighbors(cut, return_distance=False)
        yield np.repeat(np.arange(len(cut)), count), part[found.ravel()]


def distinct_pairs(found: Sequence[tuple[Rows, Rows]], rows: int) -> tuple[Rows, Rows]:
    """Each pair of two different rows once, the smaller position first."""
    left = np.concatenate([a for a, _ in found])
    right = np.concatenate([b for _, b in found])
    low, high = np.minimum(left, right), np.maximum(left, right)
    code = np.unique(low[low != high].astype(np.int64) * rows + high[low != high])
    return code // rows, code % rows


@dataclass(frozen=True, slots=True)
class Pool:
    """Distinct trusted and batch rows, cut into parts of one size, with their close pairs.

    `part` int64[rows]: the part of each row of the pool, -1 for a repeated one and for those that
    the parts have no room for; the trusted parts come first. `same` int64[rows]: the distinct row
    that it equals. `labels` object[rows] or None. `partners` by all pairs, `conflicting` by those
    with different labels.
    """

    closeness: Closeness
    cells: Cells
    part: Rows
    same: Rows
    cuts: tuple[int, int]
    pairs: Pairs
    labels: npt.NDArray[np.object_] | None
    partners: Partners
    conflicting: Partners

    @property
    def trusted(self) -> Rows:
        """Positions of the distinct trusted rows."""
        return np.flatnonzero((self.part >= 0) & (self.part < self.cuts[0]))

    @property
    def batch(self) -> Rows:
        """Positions of the distinct batch rows."""
        return np.flatnonzero(self.part >= self.cuts[0])

    @property
    def trusted_parts(self) -> Rows:
        """Numbers of the trusted parts."""
        return np.arange(self.cuts[0])

    @property
    def batch_parts(self) -> Rows:
        """Numbers of the batch parts."""
        return self.cuts[0] + np.arange(self.cuts[1])

    def without(self, rows: Rows) -> Pool:
        """The pool without some rows, as if they had never been sent."""
        part = self.part.copy()
        part[rows] = -1
        return replace(self, part=part)

    def relabelled(self, rng: np.random.Generator) -> Pool:
        """The same rows in the same parts, but for which row is in which."""
        part = self.part.copy()
        part[part >= 0] = rng.permutation(part[part >= 0])
        return replace(self, part=part)

    def top(self, *, conflicting: bool = False) -> Floats:
        """The scores of the closest partners: float64[rows, parts, KEPT]."""
        partners = self.conflicting if conflicting else self.partners
        return partners.closest(self.part, sum(self.cuts))


def pool(
    closeness: Closeness,
    cells: Cells,
    matrix: Matrix,
    labels: npt.NDArray[np.object_] | None,
    seed: int,
) -> Pool:
    """Compare rows: the trusted ones of `closeness`, then those of the batch, oldest first."""
    words = column_words(cells, seed)
    first, same = first_of_equals(words, closeness.rows)
    part, cuts = _parts(words, first, closeness.rows)
    members = [np.flatnonzero(part == number) for number in range(sum(cuts))]
    place = np.searchsorted(first, np.concatenate(members))
    inside = np.split(place, np.cumsum([len(rows) for rows in members])[:-1])
    found = [*alike(words[first], seed), *nearest(matrix[first], inside)]
    left, right = (first[rows] for rows in distinct_pairs(found, len(first)))
    scores, differing = closeness.scores(cells, left, right)
    # A batch row that equals a trusted one is a repetition, which other rules judge.
    pairs = Pairs(left, right, scores).where(differing > 0)
    other = pairs.where(labels[pairs.left] != labels[pairs.right]) if labels is not None else pairs
    partners = Partners.of(pairs), Partners.of(other)
    return Pool(closeness, cells, part, same, cuts, pairs, labels, *partners)


def first_of_equals(words: Words, trusted: int) -> tuple[Rows, Rows]:
    """Positions of the first of equal rows on each side, ascending; for each row, its first."""
    key = words.sum(axis=1, dtype=np.uint64)
    key[trusted:] ^= np.uint64(0xA5A5A5A5A5A5A5A5)  # a side of its own
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    return np.sort(first).astype(np.int64), first[inverse].astype(np.int64)


def _parts(words: Words, first: Rows, trusted: int) -> tuple[Rows, tuple[int, int]]:
    """The part of each row, by a hash of its cells so that the order of rows plays no role."""
    key = words[first].sum(axis=1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    sides = [np.flatnonzero(first < trusted), np.flatnonzero(first >= trusted)]
    size = max(1, min(len(side) for side in sides))
    part = np.full(len(words), -1, dtype=np.int64)
    cuts: list[int] = []
    for side in sides:
        count = min(PARTS, max(1, round(len(side) / size)))
        order = side[np.argsort(key[side], kind="stable")]
        if count == PARTS:  # longer parts would have closer partners, copies or not
            order = order[: count * size]
        part[first[order]] = sum(cuts) + np.arange(len(order)) * count // max(1, len(order))
        cuts.append(count)
    return part, (cuts[0], cuts[1])
