"""Has the batch moved away from the trusted rows, and which trusted rows look like it?

An additive model tells trusted from new rows: logistic regression over one indicator a bin of each
column. Its odds re-weight trusted rows to the batch, so that what follows compares like with like;
its cross-fitted AUC says whether there is a difference at all. Additive and strongly penalised: a
shift of single columns is explained away, a combination of ordinary values is not.

Lopez-Paz & Oquab 2017 (classifier two-sample tests); Bickel, Brückner, Scheffer 2009 (weights from
a discriminative model); Winkler et al. 2016 (tails from few permutations).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from auditor.features import Matrix
from auditor.statistics import auc, permutation_tail
from auditor.threads import threads

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

#: Inverse penalty of the model. Small, so that no single cell carries a row.
C: Final = 0.01
#: Bins a column, and indicators altogether: with many columns each gets fewer bins.
BINS: Final = 8
WIDTH: Final = 768
#: Rows of each side that the model is fitted on at most.
FIT_ROWS: Final = 2_000
#: Fewer rows on one side than this tell nothing; the answer is then "no difference seen".
ENOUGH: Final = 20
FOLDS: Final = 4
PERMUTATIONS: Final = 199
#: A trusted row counts for at most this many others, and at least for one part in as many.
REACH: Final = 20.0


@dataclass(frozen=True, slots=True)
class Domain:
    """What the domain model says.

    `weights`: float64[n], one a trusted row, mean 1; how much more likely the row is in the batch.
    `effective`: number of equally weighted rows that are worth as much (Kish 1965), at most n.
    `auc`: cross-fitted, 0.5 = no difference. `p_value`: of that AUC, against permuted sides.
    `moved`: float64[d], standard deviation of each column's part in the log odds. `average`: odds
    of the average trusted row, against those of the middle one.
    """

    weights: Floats
    effective: float
    auc: float
    p_value: float
    moved: Floats
    model: Odds | None
    average: float = 1.0

    def ratios(self, matrix: Matrix) -> Floats:
        """Density ratios of rows float32[m, d] encoded as the others: float64[m], > 0.

        How much more likely a row is in the batch than among trusted rows, whose mean is 1; 1
        where nothing was fitted.
        """
        if self.model is None:
            return np.ones(len(matrix))
        return self.model.of(matrix) / self.average


@dataclass(frozen=True, slots=True)
class Odds:
    """A fitted model: odds of being in the batch, against those of the middle trusted row."""

    bins: Bins
    coefficients: Floats
    middle: float

    def of(self, matrix: Matrix) -> Floats:
        """Rows float32[m, d] -> float64[m], at most `REACH` and at least one part in as many."""
        log_odds = self.bins.transform(matrix) @ self.coefficients - self.middle
        reach = np.log(REACH)
        return np.asarray(np.exp(np.clip(log_odds, -reach, reach)), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Bins:
    """Indicators for bins of the used columns; the edges come from both sides together."""

    columns: Rows
    edges: tuple[npt.NDArray[np.float32], ...]

    @classmethod
    def fit(cls, pooled: Matrix, rng: np.random.Generator) -> Bins:
        """Edges of columns that are not constant; of too many columns a random choice."""
        width = pooled.shape[1]
        chosen = np.sort(rng.permutation(width)[: WIDTH // 2])
        count = int(np.clip(WIDTH // max(1, len(chosen)), 2, BINS))
        edges = {int(i): _edges(pooled[:, i], count) for i in chosen}
        kept = [i for i in edges if len(edges[i])]
        return cls(np.array(kept, dtype=np.int64), tuple(edges[i] for i in kept))

    @property
    def origin(self) -> Rows:
        """For each indicator, the position in `columns`: int64[width]."""
        sizes = [_size(e) for e in self.edges]
        return np.repeat(np.arange(len(sizes)), sizes)

    def transform(self, matrix: Matrix) -> Matrix:
        """Indicators of each row's bins: float32[n, width], 0 or 1."""
        out = np.zeros((len(matrix), sum(_size(e) for e in self.edges)), dtype=np.float32)
        at, rows = 0, np.arange(len(matrix))
        for column, edges in zip(self.columns, self.edges, strict=True):
            place = np.searchsorted(edges, matrix[:, column], side="right")
            if len(edges) == 1:  # two bins are one indicator
                out[:, at] = place
            else:
                out[rows, at + place] = 1.0
            at += _size(edges)
        return out


def fit_domain(trusted: Matrix, batch: Matrix, *, seed: int) -> Domain:
    """The domain model of trusted rows float32[n, d] and new rows float32[m, d].

    Both are encoded alike (`features.Encoder`, or indicators). Fewer than `ENOUGH` rows on a side,
    or nothing but constant columns: weights of 1 and a p-value of 1.
    """
    rng = np.random.default_rng(seed)
    mine, other = _some(len(trusted), rng), _some(len(batch), rng)
    pooled = np.concatenate([_sorted(trusted[mine]), _sorted(batch[other])])
    bins = Bins.fit(pooled, rng) if min(len(mine), len(other)) >= ENOUGH else None
    if bins is None or not len(bins.columns):
        return Domain(
            np.ones(len(trusted)), float(len(trusted)), 0.5, 1.0, np.zeros(trusted.shape[1]), None
        )
    encoded = bins.transform(pooled)
    new = np.arange(len(pooled)) >= len(mine)
    with threads(1):  # small sums: several threads mostly wait for each other
        model = _fitted(bins, encoded, new, trusted)
        area, p_value = _two_sample(encoded, new, rng)
    odds = model.of(trusted)
    average = float(odds.mean())
    weights, moved = odds / average, _moved(model, encoded, trusted.shape[1])
    effective = float(weights.sum() ** 2 / np.sum(weights**2))
    return Domain(weights, effective, area, p_value, moved, model, average)


def _some(rows: int, rng: np.random.Generator) -> Rows:
    return np.sort(rng.permutation(rows)[:FIT_ROWS]).astype(np.int64)


def _sorted(matrix: Matrix) -> Matrix:
    """The rows in an order of their own: folds then do not depend on how they came."""
    width = max(matrix.shape[1], 1) * matrix.itemsize
    rows = np.ascontiguousarray(matrix).view(np.dtype((np.void, width))).ravel()
    return matrix[np.argsort(rows, kind="stable")]


def _edges(values: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.float32]:
    """Lower ends of all bins but the first; each distinct value a bin where there are few."""
    distinct: npt.NDArray[np.float32] = np.unique(values)
    if len(distinct) <= count:
        rest: npt.NDArray[np.float32] = distinct[1:]
        return rest
    inner = np.quantile(values, np.linspace(0, 1, count + 1)[1:-1], method="higher")
    found: npt.NDArray[np.float32] = inner[inner > distinct[0]]
    return np.unique(found)


def _size(edges: npt.NDArray[np.float32]) -> int:
    return 1 if len(edges) == 1 else len(edges) + 1


def _fitted(bins: Bins, encoded: Matrix, new: npt.NDArray[np.bool_], trusted: Matrix) -> Odds:
    """The model of both sides, by their indicators."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        # Not converged is a slightly worse model, not a wrong one.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = LogisticRegression(C=C, max_iter=200).fit(encoded, new)
    coefficients = fitted.coef_[0].astype(np.float64)
    middle = float(np.median(bins.transform(trusted) @ coefficients))
    return Odds(bins, coefficients, middle)


def _moved(model: Odds, encoded: Matrix, width: int) -> Floats:
    """Each column's part in the log odds: float64[width]."""
    moved = np.zeros(width)
    for place, column in enumerate(model.bins.columns):
        own = model.bins.origin == place
        moved[column] = np.std(encoded[:, own] @ model.coefficients[own])
    return moved


def _two_sample(
    encoded: Matrix, new: npt.NDArray[np.bool_], rng: np.random.Generator
) -> tuple[float, float]:
    """Cross-fitted AUC, mean over folds, and its p-value against permuted sides.

    For the test the model takes a single Newton step from zero, which is a ridge regression: all
    permutations then share one factorisation a fold. Folds and bins do not know the sides, so the
    permutation is exact; averaging over folds alone would not be, as each row trains and tests.
    """
    sides = np.empty((len(new), PERMUTATIONS + 1), dtype=bool)
    sides[:, 0] = new
    for i in range(1, PERMUTATIONS + 1):
        sides[:, i] = rng.permutation(new)
    areas = np.zeros(PERMUTATIONS + 1)
    for held, scores in _held_out(encoded, sides, rng):
        areas += [auc(scores[:, i], sides[held, i]) for i in range(PERMUTATIONS + 1)]
    areas /= FOLDS
    return float(areas[0]), permutation_tail(float(areas[0]), areas[1:])


def _held_out(
    encoded: Matrix, sides: npt.NDArray[np.bool_], rng: np.random.Generator
) -> Iterator[tuple[Rows, Floats]]:
    """For each fold its rows, and the scores that each column of `sides` leads to there."""
    centred = (encoded - encoded.mean(axis=0)).astype(np.float64)
    fold = rng.permutation(len(encoded)) % FOLDS
    share = sides[:, 0].mean()
    whole = centred.T @ centred
    ridge = np.eye(encoded.shape[1]) / (C * share * (1.0 - share))
    for k in range(FOLDS):
        held = np.flatnonzero(fold == k)
        mine = centred[held]
        target = np.where((fold == k)[:, None], 0.0, sides - share)
        steps = np.linalg.solve(whole - mine.T @ mine + ridge, centred.T @ target)
        yield held, mine @ steps
