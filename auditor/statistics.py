"""Small pure functions for tails, corrections and intervals, each with its source.

SciPy's `special` is imported inside (0.1 s); `scipy.stats` is avoided (1 s, and its Poisson and
binomial log tails return -inf where the claim matters).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Smallest p-value reported. Below it the number says nothing more than "never by chance".
P_FLOOR: Final = 1e-300


def binomial_tail(k: int, n: int, p: float) -> float:
    """P(X >= k) for X ~ Binomial(n, p), exact, by the incomplete beta function.

    Abramowitz & Stegun 26.5.24.
    """
    from scipy.special import betainc

    if k <= 0:
        return 1.0
    if k > n or p <= 0.0:
        return P_FLOOR
    return max(float(betainc(k, n - k + 1, min(p, 1.0))), P_FLOOR)


def negative_binomial_tail(k: float, mean: float, size: float) -> float:
    """P(X >= k) for X negative binomial with `mean` and dispersion `size` (variance m + m²/size).

    The predictive law of a count whose rate was estimated from `size` earlier events
    (Gamma-Poisson); tends to the Poisson tail as `size` grows.
    """
    from scipy.special import betainc

    if k <= 0:
        return 1.0
    if mean <= 0.0:
        return P_FLOOR
    return max(float(betainc(k, size, mean / (mean + size))), P_FLOOR)


def normal_tail(z: float) -> float:
    """P(Z >= z) for a standard normal Z."""
    from scipy.special import ndtr

    return max(float(ndtr(-z)), P_FLOOR)


def rate_upper(k: int, n: int, confidence: float = 0.99) -> float:
    """Upper Clopper-Pearson limit of a rate after k events in n (Biometrika 1934)."""
    from scipy.special import betaincinv

    if n <= 0:
        return 1.0
    return 1.0 if k >= n else float(betaincinv(k + 1, n - k, confidence))


def wilson(k: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a rate (JASA 1927); (0, 1) where n is 0."""
    if n <= 0:
        return 0.0, 1.0
    rate, z2 = k / n, z * z
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = z * np.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the given order (Scand. J. Stat. 1979)."""
    count = len(p_values)
    order = sorted(range(count), key=p_values.__getitem__)
    adjusted = [1.0] * count
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (count - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def robust_scale(values: Floats) -> float:
    """Median absolute deviation scaled to a normal's standard deviation; 0.0 for no values."""
    if values.size == 0:
        return 0.0
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def stability_index(batch: Floats, baseline: Floats) -> float:
    """Population stability index of two histograms over the same bins (natural logarithm).

    Both are smoothed by half a count a bin, so that an empty bin does not make it infinite.
    """
    if batch.sum() == 0 or baseline.sum() == 0:
        return 0.0
    p = (batch + 0.5) / (batch + 0.5).sum()
    q = (baseline + 0.5) / (baseline + 0.5).sum()
    return float(np.sum((p - q) * np.log(p / q)))


def excess_tail(
    events: float,
    exposure: int,
    known: float,
    base: int,
    *,
    slack: float = 1.25,
    clump: float = 1.0,
) -> float:
    """P(at least `events` in `exposure` rows) given `known` in `base` trusted rows.

    The trusted rate has a Jeffreys prior (half an event) and may drift up by `slack`; the
    predictive law of the count is then negative binomial, so that a short baseline with no event
    at all does not turn a second one into a certainty. `clump`: known events that come together;
    100 events in pairs say as much about the rate as 50 single ones.
    """
    size = known / clump + 0.5
    return negative_binomial_tail(events, slack * size * clump * exposure / max(base, 1), size)


def fisher(first: float, second: float) -> float:
    """One p-value of two independent ones, by their product (Fisher 1932)."""
    product = max(first * second, P_FLOOR)
    return min(1.0, product * (1.0 - float(np.log(product))))


def midranks(values: Floats) -> Floats:
    """Ranks from 1, equal values share the mean of theirs: float64[n]."""
    ordered = np.sort(values)
    first = np.searchsorted(ordered, values, side="left")
    last = np.searchsorted(ordered, values, side="right")
    ranks: Floats = (first + last + 1) / 2.0
    return ranks


def auc(scores: Floats, positive: npt.NDArray[np.bool_]) -> float:
    """P(a positive row scores higher than another), ties half (Mann & Whitney 1947).

    `scores` float64[n], `positive` bool[n]; 0.5 where one of the two sides is empty.
    """
    ones = int(np.count_nonzero(positive))
    zeros = len(positive) - ones
    if not ones or not zeros:
        return 0.5
    above = midranks(scores)[positive].sum() - ones * (ones + 1) / 2.0
    return float(above / (ones * zeros))


def permutation_tail(observed: float, null: Floats) -> float:
    """P(statistic >= `observed`) from its values under permutation, float64[permutations].

    The exact (b + 1) / (B + 1) where at least five of them reach it (Phipson & Smyth 2010). Beyond,
    the tail of a gamma law with their three moments (Winkler et al. 2016, NeuroImage), which a
    skewed statistic needs; a normal one where they are not skewed to the right.
    """
    from scipy.special import gammaincc

    reached = int(np.count_nonzero(null >= observed))
    spread = float(null.std())
    if reached >= 5 or spread == 0.0:
        return (reached + 1) / (len(null) + 1)
    z = (observed - float(null.mean())) / spread
    skew = float(np.mean(((null - null.mean()) / spread) ** 3))
    if skew < 0.01:
        return normal_tail(z)
    shape = 4.0 / skew**2
    return max(float(gammaincc(shape, max(shape + z * np.sqrt(shape), 0.0))), P_FLOOR)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that bound the false discovery rate, in the given order (JRSS B 1995)."""
    count = len(p_values)
    order = sorted(range(count), key=p_values.__getitem__, reverse=True)
    adjusted = [1.0] * count
    running = 1.0
    for place, index in enumerate(order):
        running = min(running, p_values[index] * count / (count - place))
        adjusted[index] = running
    return adjusted


def chi_squared_tail(one: Floats, two: Floats, *, least: float = 5.0) -> float:
    """P-value of Pearson's test that two count vectors float64[bins] share their proportions.

    Bins where either side expects fewer than `least` rows are taken together (Cochran 1954).
    1.0 where fewer than two bins or no rows remain.
    """
    from scipy.special import chdtrc

    both = one + two
    total = float(both.sum())
    if not one.sum() or not two.sum():
        return 1.0
    small = both * min(one.sum(), two.sum()) / total < least
    table = np.array([[*side[~small], side[small].sum()] for side in (one, two)])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2:
        return 1.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / total
    statistic = float(np.sum((table - expected) ** 2 / expected))
    return max(float(chdtrc(table.shape[1] - 1, statistic)), P_FLOOR)


def kolmogorov_tail(one: Floats, two: Floats) -> float:
    """P-value of the Kolmogorov-Smirnov test on counts float64[bins] over ordered bins.

    The asymptotic law with Stephens' finite-size term (JRSS B 1970). Between bins the distance is
    not seen, so it is conservative.
    """
    from scipy.special import kolmogorov

    n, m = float(one.sum()), float(two.sum())
    if not n or not m:
        return 1.0
    distance = float(np.max(np.abs(np.cumsum(one) / n - np.cumsum(two) / m)))
    root = np.sqrt(n * m / (n + m))
    return max(float(kolmogorov((root + 0.12 + 0.11 / root) * distance)), P_FLOOR)
