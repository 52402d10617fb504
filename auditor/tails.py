"""Excess mass: more rows beyond a trusted quantile than trusted rows would put there.

For detectors that score rows. The thresholds are quantiles of scores that trusted rows got from a
model that had not seen them; a group (a class, a contributor) is tested for more rows beyond them
than its size explains. Levels are corrected by Bonferroni here, groups by Holm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from auditor.statistics import excess_tail, holm, negative_binomial_tail

Scores = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

#: Points kept of a trusted score distribution: dense where it matters, at the upper end.
GRID: Final = (*np.linspace(0.0, 0.9, 46), *np.linspace(0.902, 0.99, 45), 0.995, 0.998, 0.999)
#: Rows a group of trusted scores needs before a quantile of its own means something.
ENOUGH: Final = 100


@dataclass(frozen=True, slots=True)
class Reference:
    """A trusted score distribution: how many scores, and their quantiles at `GRID`."""

    count: int
    quantiles: tuple[float, ...]

    @classmethod
    def of(cls, scores: Scores) -> Reference:
        """From trusted out-of-fold scores float64[n]; NaN is left out."""
        present = scores[~np.isnan(scores)]
        if present.size == 0:
            return cls(0, ())
        return cls(int(present.size), tuple(float(v) for v in np.quantile(present, GRID)))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Reference:
        """The inverse of `to_json`."""
        return cls(int(value["count"]), tuple(float(v) for v in value["quantiles"]))

    def to_json(self) -> dict[str, Any]:
        """Plain values for the baseline's header."""
        return {"count": self.count, "quantiles": list(self.quantiles)}

    def threshold(self, level: float) -> float:
        """The score that a share `level` of trusted rows stays below or at."""
        return float(np.interp(level, GRID, self.quantiles)) if self.count else np.inf

    def beyond(self, level: float) -> int:
        """How many of the trusted scores lie beyond `threshold(level)`."""
        return round(self.count * (1.0 - level))

    def tail(self, scores: Scores) -> Scores:
        """Share of trusted scores at or above each score: float64[n] in (0, 1]; NaN gives 1."""
        if not self.count:
            return np.ones(len(scores))
        quantiles, grid = np.asarray(self.quantiles), np.asarray(GRID)
        # The left end of a run of equal quantiles: many trusted rows with this score are no tail.
        right = np.clip(np.searchsorted(quantiles, scores, side="left"), 1, len(grid) - 1)
        step = np.maximum(quantiles[right] - quantiles[right - 1], 1e-300)
        part = np.clip((scores - quantiles[right - 1]) / step, 0.0, 1.0)
        below = grid[right - 1] + part * (grid[right] - grid[right - 1])
        below = np.where(scores <= quantiles[0], 0.0, below)
        # Beyond the last point the tail shrinks with the distance, so that worse stays worse.
        spread = max(quantiles[-1] - quantiles[len(GRID) // 2], 1e-12)
        further = np.maximum(scores - quantiles[-1], 0.0) / spread
        tail = np.where(scores > quantiles[-1], (1 - GRID[-1]) / (1 + further), 1.0 - below)
        return np.where(np.isnan(scores), 1.0, np.clip(tail, 1e-9, 1.0))


@dataclass(frozen=True, slots=True)
class Excess:
    """One group with more rows beyond a threshold than expected.

    `rows` int64[k]: positions of the rows beyond it; `p_value` is corrected for levels and groups.
    """

    group: str
    level: float
    rows: Codes
    total: int
    expected: float
    p_value: float


def excess_groups(
    groups: Mapping[str, Codes],
    tails: Scores,
    levels: Sequence[float],
    *,
    trusted: Mapping[str, int],
    slack: float = 1.25,
    dispersion: float = 0.0,
) -> list[Excess]:
    """Test each group of row positions for excess mass beyond each level.

    `tails`: share of trusted scores at or above the row's, float64[rows]. `trusted`: how many
    trusted scores stand behind the tails of each group. `dispersion`: squared coefficient of
    variation of the rate between honest groups (0 = they are alike).
    """
    tested = [
        _best(name, rows, tails, levels, trusted[name], slack, dispersion)
        for name, rows in groups.items()
    ]
    adjusted = holm([found.p_value for found in tested])
    return [
        Excess(e.group, e.level, e.rows, e.total, e.expected, p)
        for e, p in zip(tested, adjusted, strict=True)
    ]


def _best(
    name: str,
    rows: Codes,
    tails: Scores,
    levels: Sequence[float],
    trusted: int,
    slack: float,
    dispersion: float,
) -> Excess:
    own = tails[rows]
    found = []
    for level in levels:
        share = 1.0 - level
        beyond = rows[own <= share]
        p = _tail(len(beyond), len(rows), share, trusted, slack, dispersion)
        found.append(Excess(name, level, beyond, len(rows), share * len(rows), p))
    best = min(found, key=lambda e: (e.p_value, e.level))
    p = min(1.0, best.p_value * len(levels))
    return Excess(best.group, best.level, best.rows, best.total, best.expected, p)


def _tail(k: int, n: int, share: float, trusted: int, slack: float, dispersion: float) -> float:
    p = excess_tail(k, n, round(trusted * share), trusted, slack=slack)
    if dispersion > 0.0:
        p = max(p, negative_binomial_tail(k, slack * n * share, 1.0 / dispersion))
    return p


def dispersion_between(groups: Mapping[str, Codes], tails: Scores, level: float) -> float:
    """Squared coefficient of variation of the tail rate between groups, by moments, at least 0.

    Gamma-Poisson: Var(k) = m + m² φ, so φ = Σ((k - m)² - m) / Σ m².
    """
    share = 1.0 - level
    counts = np.array([np.sum(tails[rows] <= share) for rows in groups.values()], dtype=float)
    means = np.array([len(rows) * share for rows in groups.values()])
    if not means.size or not means.sum():
        return 0.0
    return float(max(0.0, np.sum((counts - means) ** 2 - means) / np.sum(means**2)))
