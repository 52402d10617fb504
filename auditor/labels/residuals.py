"""Does a group of rows carry other labels than a model expects? Sums with known tails.

A row's label is a draw from the model's probabilities, softened on rows that the model had not
seen. A contrast scores each label that a row could carry; the sum over a group is compared with
what the same rows would give by chance, so a group of hard rows is not blamed for being hard.
Groups may differ more than chance says: a spread between them widens the law.

Tails: Chernoff's bound at the tilt that makes it smallest, with the factor of Bahadur and Rao
(Ann. Math. Stat. 1960). Spread: moments (DerSimonian, Laird 1986), or the median of the squared
standardised sums where some groups may be bad. Temperature: Guo et al. 2017 (On calibration).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from auditor.statistics import P_FLOOR

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

TEMPERATURES: Final = (0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 2.7, 4.0)
NOISES: Final = (0.0, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.3)
#: Shares of wrong labels that the contrasts are built for: a few, half; and of one target label.
WRONG_SHARES: Final = (0.1, 0.5)
TARGET_SHARE: Final = 0.2
#: Median of a chi-squared variable with one degree of freedom.
MEDIAN_CHI2: Final = 0.455
#: Groups that a spread or a shift needs: fewer say nothing about how groups differ.
ENOUGH: Final = 8
_STEPS: Final = 14
#: A step this small, in parts of the tilt, changes the bound by its square.
_STILL: Final = 1e-8
_TILT: Final = 60.0


@dataclass(frozen=True, slots=True)
class Softening:
    """Temperature and uniform noise that make probabilities as sure as they are right."""

    temperature: float
    noise: float

    @classmethod
    def fit(cls, probabilities: Floats, codes: Codes) -> Softening:
        """Most likely on rows that the model had not seen (codes >= 0).

        The noise is at least 1/(n + 1): that n rows agreed does not make the next one certain.
        """
        count, classes = probabilities.shape
        noises = sorted({max(noise, 1.0 / (count + 1)) for noise in NOISES})
        best = (np.inf, 1.0, noises[-1])
        for temperature in TEMPERATURES:
            own = cls(temperature, 0.0).apply(probabilities)[np.arange(count), codes]
            for noise in noises:
                loss = -float(np.log((1 - noise) * own + noise / classes).sum())
                best = min(best, (loss - 0.5 * np.log(noise), temperature, noise))
        return cls(best[1], best[2])

    def apply(self, probabilities: Floats) -> Floats:
        """Softened probabilities: float64[n, classes], rows sum to 1."""
        logs = np.log(np.maximum(probabilities, 1e-12)) / self.temperature
        sharp = np.exp(logs - logs.max(axis=1, keepdims=True))
        sharp /= sharp.sum(axis=1, keepdims=True)
        mixed: Floats = (1 - self.noise) * sharp + self.noise / probabilities.shape[1]
        return mixed


@dataclass(frozen=True, slots=True)
class Contrast:
    """One question to the labels, as a log likelihood ratio.

    `target`: the label code that is suspected, -1 for any wrong label. `weight`: its share of the
    error. `chances`, `scores`: float64[n, m], what a row may score and how likely; `seen`
    float64[n], what it did score.
    """

    target: int
    weight: float
    chances: Floats
    scores: Floats
    seen: Floats

    @property
    def expected(self) -> Floats:
        """Mean score of each row: float64[n]."""
        mean: Floats = np.einsum("ij,ij->i", self.chances, self.scores)
        return mean

    @property
    def variance(self) -> Floats:
        """Variance of each row's score: float64[n]."""
        square = np.einsum("ij,ij->i", self.chances, self.scores**2)
        variance: Floats = np.maximum(square - self.expected**2, 0.0)
        return variance


def contrasts(chances: Floats, codes: Codes) -> Iterator[Contrast]:
    """Any wrong label, for two shares of it; then too much of each label.

    Half of the error goes to either kind, so that many labels do not blunt the first.
    """
    count, classes = chances.shape
    rows = np.arange(count)
    for share in WRONG_SHARES:
        scores = np.log(1 - share + share * (1 - chances) / (classes - 1) / chances)
        yield Contrast(-1, 0.5 / len(WRONG_SHARES), chances, scores, scores[rows, codes])
    low = float(np.log(1 - TARGET_SHARE))
    for code in range(classes):
        own = chances[:, code]
        high = np.log(1 - TARGET_SHARE + TARGET_SHARE / own)
        pair = np.stack([own, 1 - own], axis=1)
        scores = np.stack([high, np.full(count, low)], axis=1)
        yield Contrast(code, 0.5 / classes, pair, scores, np.where(codes == code, high, low))


@dataclass(frozen=True, slots=True)
class Groups:
    """Consecutive rows by group: `starts` int64[g], `counts` int64[g], `of` int64[n]."""

    starts: Codes
    counts: Codes
    of: Codes

    @classmethod
    def sorted(cls, groups: Codes) -> Groups:
        """From the group of each row, ascending: int64[n], n > 0."""
        starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
        counts = np.diff(np.r_[starts, len(groups)])
        return cls(starts, counts, np.repeat(np.arange(len(starts)), counts))

    def sum(self, values: Floats) -> Floats:
        """Sum of each group: float64[g]."""
        total: Floats = np.add.reduceat(values, self.starts)
        return total

    def largest(self, values: Floats) -> Floats:
        """Largest value of each group: float64[g]."""
        found: Floats = np.maximum.reduceat(values, self.starts)
        return found


def spread(residuals: Floats, variances: Floats, counts: Codes, *, robust: bool) -> float:
    """Variance between groups of their mean residual, beyond chance; at least 0.

    `robust`: by the median, right while fewer than half of the groups are bad.
    """
    if len(residuals) < ENOUGH:
        return 0.0
    square, widths = residuals**2, counts.astype(np.float64) ** 2
    if not robust:
        return float(max(0.0, (square - variances).sum() / widths.sum()))

    def over(between: float) -> bool:
        return bool(np.median(square / (variances + between * widths)) > MEDIAN_CHI2)

    if not over(0.0):
        return 0.0
    low, high = 0.0, 1e-6
    while over(high):
        high *= 2
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if over(middle) else (low, middle)
    return high


def shift(residuals: Floats, counts: Codes) -> float:
    """How far the middle group lies above what is expected: a drift that all groups share."""
    return max(0.0, float(np.median(residuals / counts))) if len(counts) >= ENOUGH else 0.0


def log_tails(
    groups: Groups,
    contrast: Contrast,
    *,
    shifted: float,
    between: float,
    widths: Floats,
    fitted: int,
) -> Floats:
    """Log of P(a group's sum of scores is at least what was seen): float64[g], at most 0.

    `shifted`: allowance a row. `between`: spread between the contributors; `widths` float64[g] is
    the sum of squared row counts of the contributors that a group holds. `fitted`: rows behind the
    model; what it expects of many rows is itself known only that well.
    """
    observed = groups.sum(contrast.seen) - shifted * groups.counts
    variance = np.maximum(groups.sum(contrast.variance), 1e-12)
    bound, tilt, tilted = _chernoff(groups, contrast, observed)
    calm = variance / (variance * (1.0 + groups.counts / fitted) + between * widths)
    jump = groups.largest(np.ptp(contrast.scores, axis=1))
    events = -np.expm1(-tilt * jump) * np.sqrt(calm * tilted) / np.maximum(jump, 1e-12)
    tails: Floats = np.minimum(0.0, bound * calm - np.log(np.maximum(1.0, 2.5066 * events)))
    return np.where(bound < 0, tails, 0.0)


@dataclass(frozen=True, slots=True)
class Tested:
    """`p_values` float64[g], over all contrasts; `targets` int64[g], the contrast that gave it.

    `allowances`: shift and spread of each contrast, as they were used.
    """

    p_values: Floats
    targets: Codes
    allowances: tuple[tuple[float, float], ...]


def judge_groups(
    chances: Floats,
    codes: Codes,
    groups: Groups,
    *,
    fitted: int,
    spreads: Sequence[float] = (),
    allowances: Sequence[tuple[float, float]] = (),
    widths: Floats | None = None,
) -> Tested:
    """Every contrast on every group, corrected for the contrasts by their weights.

    Without `allowances` each group is one contributor: what they share is their shift, and how they
    differ the larger of their own spread and the trusted one (`spreads`, one a contrast).
    """
    best, targets = np.zeros(len(groups.counts)), np.full(len(groups.counts), -1)
    squares = groups.counts.astype(np.float64) ** 2 if widths is None else widths
    used: list[tuple[float, float]] = []
    for number, contrast in enumerate(contrasts(chances, codes)):
        trusted = spreads[number] if spreads else 0.0
        allowed = allowances[number] if allowances else _allowance(groups, contrast, trusted)
        logs = log_tails(
            groups,
            contrast,
            shifted=allowed[0],
            between=allowed[1],
            widths=squares,
            fitted=fitted,
        ) - np.log(contrast.weight)
        targets = np.where(logs < best, contrast.target, targets)
        best = np.minimum(best, logs)
        used.append(allowed)
    return Tested(np.exp(np.maximum(best, np.log(P_FLOOR))), targets, tuple(used))


def _allowance(groups: Groups, contrast: Contrast, trusted: float) -> tuple[float, float]:
    residuals = groups.sum(contrast.seen - contrast.expected)
    shifted = shift(residuals, groups.counts)
    variances = groups.sum(contrast.variance)
    own = spread(residuals - shifted * groups.counts, variances, groups.counts, robust=True)
    return shifted, max(trusted, own)


def trusted_spreads(chances: Floats, codes: Codes, groups: Groups) -> list[float]:
    """How trusted contributors differ, one number a contrast."""
    return [
        spread(groups.sum(c.seen - c.expected), groups.sum(c.variance), groups.counts, robust=False)
        for c in contrasts(chances, codes)
    ]


def _chernoff(
    groups: Groups, contrast: Contrast, observed: Floats
) -> tuple[Floats, Floats, Floats]:
    """Log bound, tilt and tilted variance of each group. The bound holds at any tilt >= 0."""
    active = observed > groups.sum(contrast.expected)
    best, at, width = np.zeros(len(active)), np.zeros(len(active)), np.ones(len(active))
    if active.any():
        rows = active[groups.of]
        # A label a line: sums over the labels of a million rows are then sums of whole lines.
        chances, scores = (
            np.ascontiguousarray(v[rows].T) for v in (contrast.chances, contrast.scores)
        )
        best[active], at[active], width[active] = _tilted(
            Groups.sorted(groups.of[rows]), chances, scores, observed[active]
        )
    return best, at, width


def _tilted(
    groups: Groups, chances: Floats, scores: Floats, observed: Floats
) -> tuple[Floats, Floats, Floats]:
    """The same for `chances`, `scores` float64[m, n] of groups that scored more than expected."""
    tilt, low = np.zeros(len(observed)), np.zeros(len(observed))
    high = np.full(len(observed), np.inf)
    best, at, width = np.zeros(len(observed)), np.zeros(len(observed)), np.ones(len(observed))
    for _ in range(_STEPS):
        mass = chances * np.exp(tilt[groups.of] * scores)
        total = mass.sum(axis=0)
        mass *= scores
        mean = mass.sum(axis=0) / total
        mass *= scores
        var = np.maximum(mass.sum(axis=0) / total - mean**2, 0.0)
        bound = groups.sum(np.log(total)) - tilt * observed
        mean, var = groups.sum(mean), groups.sum(var)
        better = bound < best
        best, at = np.where(better, bound, best), np.where(better, tilt, at)
        width = np.where(better, var, width)
        below = mean < observed
        low, high = np.where(below, tilt, low), np.where(below, high, tilt)
        step = tilt + (observed - mean) / np.maximum(var, 1e-12)
        reach = np.where(np.isfinite(high), high, np.minimum(2 * low + 1, _TILT))
        outside = (step <= low) | (step >= reach)
        last, tilt = tilt, np.where(outside, (low + reach) / 2, step)
        if np.all(np.abs(tilt - last) <= _STILL * tilt):
            break
    return best, at, width


def wrong_share(ratios: Floats) -> tuple[float, Floats]:
    """Most likely share of wrong labels, and each row's probability of being one: float64[n].

    `ratios`: P(label | wrong) / P(label | honest) of the rows of one group. Expectation
    maximisation (Dempster, Laird, Rubin 1977), at most 200 steps.
    """
    share = 0.3
    posterior: Floats = np.full(len(ratios), share)
    for _ in range(200):
        posterior = share * ratios / (share * ratios + 1 - share)
        if abs(posterior.mean() - share) < 1e-6:
            break
        share = float(posterior.mean())
    return share, posterior
