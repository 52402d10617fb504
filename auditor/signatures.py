"""Is one class made of two groups? Three published statistics, and the rows of the second group.

Spectral signature: share of the variance in the first direction of the centred rows (Tran, Li,
Madry 2018). Activation clustering: silhouette of two clusters in ten principal components, where
the smaller one is small (Chen et al. 2018). SCAn: how far two groups with the covariance that
classes have within them lie apart (Tang et al. 2021): the likelihood ratio of two against one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from auditor.neighbours import squared

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: Principal components that activation clustering keeps.
COMPONENTS: Final = 10
#: A poisoned cluster is the smaller one, and smaller than this share (Chen et al. 2018).
SMALL: Final = 0.35
#: Fewer rows than this share are outliers, not a group; so are fewer than `LEAST`.
GROUP: Final = 0.02
LEAST: Final = 5
#: Trusted share beyond which a row is of the second group along the spectral direction.
BEYOND: Final = 0.99
#: Trusted share whose distance from the middle bounds that of every row.
BOUND: Final = 0.95
_ROUNDS: Final = 20


@dataclass(frozen=True)
class Split:
    """A statistic, large for two groups, and which rows float64[n, d] are of the second one."""

    value: float
    second: Callable[[Floats], Mask]


def spectral(rows: Floats, trusted: Floats) -> Split:
    """Rows float64[n, d] of a class; `trusted` ones say how far along the direction is usual."""
    centre = rows.mean(axis=0)
    variances, directions = _principal(rows - centre, 1)
    total = float(((rows - centre) ** 2).sum()) or 1.0
    usual = np.abs((trusted - centre) @ directions[:, 0])
    limit = float(np.quantile(usual, BEYOND)) if len(usual) else np.inf
    return Split(
        float(variances[0]) / total,
        lambda other: np.abs((other - centre) @ directions[:, 0]) > limit,
    )


def clustered(rows: Floats) -> Split:
    """Silhouette of two clusters; 0 where both are large."""
    centre = rows.mean(axis=0)
    _, directions = _principal(rows - centre, COMPONENTS)
    low = (rows - centre) @ directions
    centres, mine = _two_means(low)
    share = float(mine.mean())
    value = _silhouette(low, mine) if _is_group(mine) and share <= SMALL else 0.0
    return Split(value, lambda other: _nearer((other - centre) @ directions, centres))


def scan(rows: Floats) -> Split:
    """Likelihood ratio of two groups against one, a row; rows are whitened."""
    centres, mine = _two_means(rows)
    share = float(mine.mean())
    apart = float(((centres[0] - centres[1]) ** 2).sum())
    value = share * (1.0 - share) * apart if _is_group(mine) else 0.0
    return Split(value, lambda other: _nearer(other, centres))


def whitening_of(trusted: Floats, codes: npt.NDArray[np.int64]) -> Floats:
    """A matrix that makes the covariance within trusted classes the identity: float64[d, d].

    Shrunk by a tenth towards its diagonal, and bounded below: a constant column weighs nothing.
    """
    means = np.array([trusted[codes == c].mean(axis=0) for c in np.unique(codes)])
    centred = trusted - means[np.searchsorted(np.unique(codes), codes)]
    covariance = centred.T @ centred / len(centred)
    spread = np.diag(covariance).copy()
    covariance = 0.9 * covariance + 0.1 * np.diag(spread)
    values, vectors = np.linalg.eigh(covariance)
    least = 0.01 * float(spread.mean()) or 1.0
    found: Floats = vectors / np.sqrt(np.maximum(values, least))
    return found


def bounded(rows: Floats, trusted: Floats) -> Floats:
    """The rows drawn in to the distance from the trusted mean that one in twenty trusted rows has.

    One far row would else be a direction of its own.
    """
    centre = trusted.mean(axis=0)
    usual = float(np.quantile(np.linalg.norm(trusted - centre, axis=1), BOUND))
    far = np.linalg.norm(rows - centre, axis=1, keepdims=True)
    drawn: Floats = centre + (rows - centre) * np.minimum(1.0, usual / np.maximum(far, 1e-12))
    return drawn


def _is_group(mine: Mask) -> bool:
    return int(mine.sum()) >= max(LEAST, GROUP * len(mine))


def _principal(centred: Floats, count: int) -> tuple[Floats, Floats]:
    """Sums of squares along the first directions, and these float64[d, count]."""
    _, values, vectors = np.linalg.svd(centred, full_matrices=False)
    return values[:count] ** 2, vectors[:count].T


def _two_means(rows: Floats) -> tuple[Floats, Mask]:
    """Centres float64[2, d] of Lloyd's two means, and the rows of the second, smaller one.

    Started from the two ends of the first direction, so that nothing is left to chance.
    """
    _, directions = _principal(rows - rows.mean(axis=0), 1)
    along = (rows - rows.mean(axis=0)) @ directions[:, 0]
    mine = _ends(along)
    centres = np.array([rows.mean(axis=0)] * 2)
    for _ in range(_ROUNDS):
        if not mine.any() or mine.all():
            break
        centres = np.array([rows[~mine].mean(axis=0), rows[mine].mean(axis=0)])
        moved = _nearer(rows, centres)
        if np.array_equal(moved, mine):
            break
        mine = moved
    if mine.mean() > 0.5:
        centres, mine = centres[::-1], ~mine
    return centres, mine


def _ends(along: Floats) -> Mask:
    """The rows nearer to the farther end than to the middle."""
    middle = float(np.median(along))
    end = max(float(along.max()), float(along.min()), key=lambda v: abs(v - middle))
    return np.abs(along - end) < np.abs(along - middle)


def _nearer(rows: Floats, centres: Floats) -> Mask:
    distance = squared(rows, centres)
    nearer: Mask = distance[:, 1] < distance[:, 0]
    return nearer


def _silhouette(rows: Floats, mine: Mask) -> float:
    """Mean silhouette of two clusters (Rousseeuw 1987)."""
    distance = np.sqrt(squared(rows, rows))
    inside, outside = distance[:, mine].sum(axis=1), distance[:, ~mine].sum(axis=1)
    ones, zeros = int(mine.sum()), int((~mine).sum())
    to_ones = inside / np.where(mine, max(ones - 1, 1), ones)
    to_zeros = outside / np.where(mine, zeros, max(zeros - 1, 1))
    own, other = np.where(mine, to_ones, to_zeros), np.where(mine, to_zeros, to_ones)
    return float(((other - own) / np.maximum(np.maximum(own, other), 1e-12)).mean())
