"""Evidence about a contributor's labels that adds up over batches: an e-process.

A contributor's labels are tilted by t where each label has its probability times exp(t * score),
normalised; t = 0 is as expected, t = 1 in the first contrast is a tenth of wrong labels. Honest
contributors differ: their tilts are drawn from a normal law around 0, once for all batches. The
evidence is the likelihood of the labels under larger tilts, over that under honest ones. It is a
non-negative martingale of mean 1 while the contributor is honest, so that it ever reaches 1/a with
probability at most a, at whatever batch one looks (Ville 1939; Grünwald, de Heide, Koolen 2024,
Safe testing; Waudby-Smith, Ramdas 2024, by betting). All of it is sums over rows: batches add up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from auditor.labels.residuals import (
    WRONG_SHARES,
    Contrast,
    Groups,
    contrasts,
    shift,
    spread,
)

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

#: Tilts at which likelihoods are kept. Changing them makes evidence of before useless.
TILTS: Final = (-2.0, -1.5, -1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
#: Part of the names of evidence: raised with the tilts and contrasts.
VERSION: Final = "v1"
#: More classes than this are not asked about one by one.
MOST_CLASSES: Final = 20


@dataclass(frozen=True, slots=True)
class Weighed:
    """One contrast over several contributors.

    `target`: the class code, -1 for any wrong label. `values` float64[g, 4 + tilts]: rows, score,
    residual, variance, and the log normaliser at each tilt.
    """

    target: int
    values: Floats


def weigh(chances: Floats, codes: Codes, groups: Groups) -> Iterator[Weighed]:
    """What the labels of one batch say about each group, for any wrong label and for each class.

    What the middle group has too much is taken off from all, as drift.
    """
    for contrast in _asked(chances, codes):
        residual = groups.sum(contrast.seen - contrast.expected)
        shifted = shift(residual, groups.counts) * groups.counts
        columns = [
            groups.counts.astype(np.float64),
            groups.sum(contrast.seen) - shifted,
            residual - shifted,
            groups.sum(contrast.variance),
            *(groups.sum(_log_normaliser(contrast, tilt)) for tilt in TILTS),
        ]
        yield Weighed(contrast.target, np.stack(columns, axis=1))


def _asked(chances: Floats, codes: Codes) -> Iterator[Contrast]:
    for number, contrast in enumerate(contrasts(chances, codes)):
        if number == 0 or (number >= len(WRONG_SHARES) and chances.shape[1] <= MOST_CLASSES):
            yield contrast


def _log_normaliser(contrast: Contrast, tilt: float) -> Floats:
    heavy = np.exp(tilt * contrast.scores)
    found: Floats = np.log(np.einsum("ij,ij->i", contrast.chances, heavy))
    return found


@dataclass(frozen=True, slots=True)
class Standing:
    """Where contributors stand: `logs` float64[g], log evidence; `targets` int64[g], its contrast.

    `tilts` float64[g]: the most likely one under that contrast.
    """

    logs: Floats
    targets: Codes
    tilts: Floats


def stand(totals: Mapping[int, Floats], spreads: Mapping[int, float], *, fitted: int) -> Standing:
    """The evidence over all batches. `totals`: target -> sums of `Weighed.values` of every batch.

    `spreads`: target -> variance between trusted contributors of their mean residual. `fitted`:
    rows behind the model; what it expects of a contributor is known only that well, and wrong in
    the same direction in every batch.
    """
    shares = _shares(list(totals))
    logs, tilts = [], []
    for target, values in totals.items():
        evidence, tilt = _contrast_evidence(values, spreads.get(target, 0.0), fitted)
        logs.append(evidence + np.log(shares[target]))
        tilts.append(tilt)
    stacked = np.stack(logs)
    best = stacked.argmax(axis=0)
    rows = np.arange(stacked.shape[1])
    targets = np.array(list(totals), dtype=np.int64)[best]
    return Standing(_log_sum(stacked, 0), targets, np.stack(tilts)[best, rows])


def _shares(targets: Sequence[int]) -> dict[int, float]:
    """Half of the bet on any wrong label, the rest evenly on the classes."""
    classes = [target for target in targets if target >= 0]
    if not classes:
        return {-1: 1.0}
    return {-1: 0.5} | dict.fromkeys(classes, 0.5 / len(classes))


def _contrast_evidence(values: Floats, trusted: float, fitted: int) -> tuple[Floats, Floats]:
    there = values[:, 0] > 0
    logs, tilts = np.zeros(len(values)), np.zeros(len(values))
    if there.any():
        logs[there], tilts[there] = _weigh_up(values[there], trusted, fitted)
    return logs, tilts


def _weigh_up(values: Floats, trusted: float, fitted: int) -> tuple[Floats, Floats]:
    """Log evidence and most likely tilt of contributors who sent rows: float64[g] each."""
    counts, score, residual, variance = values[:, :4].T
    between = max(trusted, spread(residual, variance, counts.astype(np.int64), robust=True))
    wide = np.sqrt(between + np.maximum(variance, 1e-12) / counts / fitted)
    likelihood = np.array(TILTS) * score[:, None] - values[:, 4:]
    honest = _log_sum(likelihood + _honest(values, wide), 1)
    positive = np.array(TILTS) > 0
    bets = likelihood[:, positive] - np.log(positive.sum())
    return _log_sum(bets, 1) - honest, np.array(TILTS)[likelihood.argmax(axis=1)]


def _honest(values: Floats, wide: Floats) -> Floats:
    """Log mass of the honest law around each tilt: float64[g, tilts].

    It is normal in the mean residual of a row, which has the standard deviation `wide` float64[g].
    The slope of the log normaliser is the mean score under a tilt.
    """
    from scipy.special import ndtr

    slopes = np.diff(values[:, 4:], axis=1) / np.diff(TILTS) / values[:, :1]
    moved = slopes - ((values[:, 1] - values[:, 2]) / values[:, 0])[:, None]
    edges = np.pad(moved / wide[:, None], ((0, 0), (1, 1)), constant_values=(-np.inf, np.inf))
    # Mirrored in the upper half, where differences of probabilities near 1 would be lost.
    low, high = edges[:, :-1], edges[:, 1:]
    mass = np.where(low > 0, ndtr(-low) - ndtr(-high), ndtr(high) - ndtr(low))
    cells: Floats = np.log(np.maximum(mass, 1e-300))
    return cells


def _log_sum(values: Floats, axis: int) -> Floats:
    top = values.max(axis=axis, keepdims=True)
    found: Floats = np.log(np.exp(values - top).sum(axis=axis)) + np.squeeze(top, axis)
    return found
