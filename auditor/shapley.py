"""Exact Shapley values of the rows of a nearest-neighbour classifier.

The value of a row is its mean share, over all orders of arrival, in how often the trusted rows'
labels are found among their nearest neighbours; it is known in closed form (Jia et al. 2019,
Efficient task-specific data valuation for nearest neighbor algorithms).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from auditor.neighbours import CELLS, squared

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


def knn_shapley(
    matrix: Floats, codes: Codes, trusted: Floats, trusted_codes: Codes, *, neighbours: int
) -> Floats:
    """Value of each row float64[n, d] for the trusted rows float64[m, d]: float64[n].

    The values of all rows sum to the share of neighbours that agree, over the trusted rows.
    Positive: the row helps. Rows at the same distance count in their order.
    """
    total = np.zeros(len(codes))
    step = max(1, CELLS // max(len(codes), 1))
    for start in range(0, len(trusted_codes), step):
        part = slice(start, start + step)
        order = np.argsort(squared(trusted[part], matrix), axis=1, kind="stable")
        agree = (codes[order] == trusted_codes[part, None]).astype(np.float64)
        np.add.at(total, order, _values(agree, neighbours))
    return total / len(trusted_codes)


def _values(agree: Floats, neighbours: int) -> Floats:
    """By rank, nearest first: float64[m, n]. Theorem 1 of Jia et al., for K at most n."""
    count = agree.shape[1]
    k = min(neighbours, count)
    rank = np.arange(1, count)
    steps = (agree[:, :-1] - agree[:, 1:]) / k * np.minimum(k, rank) / rank
    last = agree[:, -1:] / count
    # The farthest row has its own agreement over n; each nearer one adds its step.
    behind = np.cumsum(steps[:, ::-1], axis=1)[:, ::-1]
    return np.concatenate([behind + last, last], axis=1)
