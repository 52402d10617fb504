"""How crowded the place of a row is, from the batch alone: a ranking where nothing is trusted.

Closeness in nats is about minus the logarithm of the volume between two rows, so that between the
closest partner and one farther out it falls by much the same everywhere, in dense regions and in
sparse ones. Copies of a row lie in far less room than that. Whether such crowds are natural the
batch alone cannot say: rows are ranked, nothing is claimed.
"""

from __future__ import annotations

import numpy as np

from auditor.features import Matrix
from auditor.near_copies.closeness import Cells, Closeness, Floats, Rows
from auditor.near_copies.pairs import REACH, column_words, first_of_equals
from auditor.statistics import robust_scale

#: The partner that is too close where there is a family, and the one that it is compared with:
#: farther out than the copies of one row are expected to reach.
CLOSE, FAR = 3, 64


def crowded(closeness: Closeness, cells: Cells, matrix: Matrix, seed: int) -> Floats:
    """A tail for each row, float64[rows]: small where its third partner is too close.

    `cells`, `matrix` float32[rows, d]: the rows that `closeness` was learnt from. Of equal rows
    each has the tail of the first. The fall is compared with its median, in robust deviations.
    """
    first, same = first_of_equals(column_words(cells, seed), 0)
    near = _closest(closeness, cells, matrix, first)
    if near.shape[1] < CLOSE:
        return np.ones(len(cells))
    fall = near[:, CLOSE - 1] - near[:, -1]
    excess = (fall - np.median(fall)) / (robust_scale(fall) or 1.0)
    tails: Floats = np.minimum(1.0, 0.5 * np.exp(-excess))
    return tails[np.searchsorted(first, same)]


def _closest(closeness: Closeness, cells: Cells, matrix: Matrix, rows: Rows) -> Floats:
    """Closeness of each of `rows` to up to `FAR` of those nearest to it, largest first."""
    from sklearn.neighbors import NearestNeighbors

    cut = np.clip(matrix[rows], -REACH, REACH)
    count = min(FAR + 1, len(rows))
    index = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(cut)
    partner = rows[index.kneighbors(cut, return_distance=False)]
    left = np.repeat(rows, count)
    score, differing = closeness.scores(cells, left, partner.ravel())
    score[differing == 0] = -np.inf  # the row itself
    return -np.sort(-score.reshape(len(rows), count), axis=1)[:, :-1]
