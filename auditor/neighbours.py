"""How near the other classes are, over how near the own one is."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

#: Cells of a distance matrix that are held at once.
CELLS: Final = 4_000_000


def squared(one: Floats, two: Floats) -> Floats:
    """Squared distances between rows float64[n, d] and float64[m, d]: float64[n, m], at least 0."""
    found: Floats = (one**2).sum(axis=1)[:, None] - 2 * one @ two.T + (two**2).sum(axis=1)
    return np.maximum(found, 0.0, out=found)


def class_ratios(
    matrix: Floats,
    codes: Codes,
    trusted: Floats,
    trusted_codes: Codes,
    *,
    neighbours: int,
    same: bool = False,
) -> Floats:
    """Log of (mean distance to the own class's nearest trusted rows / to those of the others).

    float64[n]; large: the row lies among another class. `same`: the rows are the trusted ones, and
    none is its own neighbour. NaN where a side has fewer than `neighbours` rows.
    """
    found = np.full(len(codes), np.nan)
    step = max(1, CELLS // max(len(trusted_codes), 1))
    for start in range(0, len(codes), step):
        rows = np.arange(start, min(start + step, len(codes)))
        distance = np.sqrt(squared(matrix[rows], trusted))
        if same:
            distance[np.arange(len(rows)), rows] = np.inf
        own = codes[rows, None] == trusted_codes[None, :]
        inside = _nearest(np.where(own, distance, np.inf), neighbours)
        outside = _nearest(np.where(own, np.inf, distance), neighbours)
        told = np.isfinite(inside) & np.isfinite(outside)
        near, far = np.maximum(inside[told], 1e-9), np.maximum(outside[told], 1e-9)
        found[rows[told]] = np.log(near) - np.log(far)
    return found


def _nearest(distance: Floats, neighbours: int) -> Floats:
    """Mean of the smallest in each row: float64[n]; infinite where there are too few."""
    if distance.shape[1] < neighbours:
        return np.full(len(distance), np.inf)
    nearest: Floats = np.partition(distance, neighbours - 1, axis=1)[:, :neighbours].mean(axis=1)
    return nearest
