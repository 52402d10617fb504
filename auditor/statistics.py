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
