"""Do the values of a row belong together, as they do in trusted rows?

A classifier learns trusted rows against rows that are made of them by breaking what holds them
together: values from other rows, or from a wider range. It then scores a row alone, whatever else
is in the batch. No label is used.

Unsupervised as supervised learning: Hastie, Tibshirani, Friedman 2009, section 14.2.4. Shrunk
covariance: Ledoit & Wolf 2004.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from auditor.features import Category, Encoder, Matrix
from auditor.threads import threads

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

#: Trusted rows that a model is fitted on at most.
FIT_ROWS: Final = 2_000
#: Made rows for each trusted one: every cell from another row; some cells; every cell from a wider
#: range; one to three cells from there.
TORN: Final[Mapping[str, float]] = {"torn": 1.0, "mixed": 1.0}
ALL: Final[Mapping[str, float]] = {**TORN, "far": 0.5, "hit": 0.5}
#: How much wider than a column's range, on each side, in parts of the range.
WIDER: Final = 0.5
LEAVES: Final = 31
#: Rows scored at a time with their residuals: they stay in the cache while all trees look at them.
BLOCK: Final = 8_192
ROUNDS: Final = 100


@dataclass(frozen=True, slots=True)
class Cells:
    """The matrix columns of one input column, and whether they are indicators of categories."""

    columns: Codes
    category: bool


@dataclass(frozen=True, slots=True)
class Residuals:
    """How far each value is from what the others say, in a linear model of bounded logarithms."""

    centre: Floats
    scale: Floats
    precision: Floats
    usual: Floats

    @classmethod
    def fit(cls, matrix: Matrix) -> Residuals:
        """From trusted rows float32[n, d]. `usual`: 99 % quantiles of the residuals, float64[d]."""
        from sklearn.covariance import LedoitWolf

        values = _bounded(matrix)
        centre, scale = values.mean(axis=0), values.std(axis=0) + 1e-6
        scaled = (values - centre) / scale
        precision = np.eye(matrix.shape[1])
        if values.std(axis=0).max() > 1e-9:  # rows that are all equal have nothing to shrink
            precision = LedoitWolf(assume_centered=True).fit(scaled).precision_
        fitted = cls(centre, scale, precision, np.ones(matrix.shape[1]))
        usual = np.quantile(np.abs(fitted._each(matrix)[1]), 0.99, axis=0)
        return cls(centre, scale, precision, np.maximum(usual, 1e-3))

    def of(self, matrix: Matrix) -> Matrix:
        """Each value's residual, the largest one, and the whitened distance: float32[n, d + 2]."""
        distance, each = self._each(matrix)
        largest = np.max(np.abs(each) / self.usual, axis=1)
        return np.column_stack([each, largest, distance]).astype(np.float32)

    def _each(self, matrix: Matrix) -> tuple[Floats, Floats]:
        values = (_bounded(matrix) - self.centre) / self.scale
        pulled = values @ self.precision
        # A direction that trusted rows do not have at all has no precision.
        own = np.sqrt(np.maximum(np.diag(self.precision), 1e-12))
        return np.sum(values * pulled, axis=1), pulled / own


def _bounded(matrix: Matrix) -> Floats:
    return np.arcsinh(matrix.astype(np.float64))


@dataclass(frozen=True, slots=True)
class Dependence:
    """A fitted model; scores as PyOD's detectors do."""

    classifier: Any
    residuals: Residuals | None

    @classmethod
    def fit(
        cls, matrix: Matrix, encoder: Encoder, seed: int, *, made: Mapping[str, float], linear: bool
    ) -> Dependence:
        """From trusted rows float32[n, d] of this encoder. `linear`: give it the residuals too."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        rng = np.random.default_rng(seed)
        trusted = matrix[np.sort(rng.permutation(len(matrix))[:FIT_ROWS])]
        broken = make_rows(trusted, cells_of(encoder), made, rng)
        residuals = Residuals.fit(trusted) if linear else None
        model = cls(
            HistGradientBoostingClassifier(
                max_iter=ROUNDS, max_leaf_nodes=LEAVES, early_stopping=False, random_state=seed
            ),
            residuals,
        )
        is_made = np.arange(len(trusted) + len(broken)) >= len(trusted)
        with threads(1):
            model.classifier.fit(model._inputs(np.concatenate([trusted, broken])), is_made)
        return model

    def decision_function(self, matrix: Matrix) -> Floats:
        """Log odds of being made, higher = worse: float64[n]."""
        if self.residuals is None:
            return self._scores(matrix)
        starts = range(0, max(1, len(matrix)), BLOCK)
        return np.concatenate([self._scores(matrix[at : at + BLOCK]) for at in starts])

    def _scores(self, matrix: Matrix) -> Floats:
        with threads(1):
            scores = self.classifier.decision_function(self._inputs(matrix))
        return np.asarray(scores, dtype=np.float64)

    def _inputs(self, matrix: Matrix) -> Matrix:
        if self.residuals is None:
            return matrix
        return np.concatenate([matrix, self.residuals.of(matrix)], axis=1)


def cells_of(encoder: Encoder) -> list[Cells]:
    """Which matrix columns stand or fall together; the last one, missing values, by itself."""
    found, at = [], 0
    for column in encoder.columns:
        columns = np.arange(at, at + column.width, dtype=np.int64)
        found.append(Cells(columns, isinstance(column, Category)))
        at += column.width
    return [*found, Cells(np.array([at], dtype=np.int64), False)]


def make_rows(
    trusted: Matrix, cells: Sequence[Cells], made: Mapping[str, float], rng: np.random.Generator
) -> Matrix:
    """Rows made of trusted ones float32[n, d], `made[kind]` times n of each kind."""
    parts = [
        _broken(trusted, cells, kind, max(1, int(share * len(trusted))), rng)
        for kind, share in made.items()
    ]
    return np.concatenate(parts)


def _broken(
    trusted: Matrix, cells: Sequence[Cells], kind: str, rows: int, rng: np.random.Generator
) -> Matrix:
    made = trusted[rng.integers(len(trusted), size=rows)]
    hit = rng.random((rows, len(cells))) < _share(kind, rows, len(cells), rng)[:, None]
    if kind == "hit":
        hit[np.arange(rows), rng.integers(len(cells), size=rows)] = True
    for place, own in enumerate(cells):
        here = np.flatnonzero(hit[:, place])
        if kind in ("torn", "mixed"):
            other = trusted[rng.integers(len(trusted), size=len(here))]
            made[np.ix_(here, own.columns)] = other[:, own.columns]
        else:
            made[np.ix_(here, own.columns)] = _wide(trusted, own, len(here), rng)
    return made


def _share(kind: str, rows: int, cells: int, rng: np.random.Generator) -> Floats:
    """The share of its cells that each made row has changed: float64[rows]."""
    if kind == "mixed":
        return rng.random(rows)
    if kind == "hit":
        return rng.integers(0, 3, size=rows) / cells
    return np.ones(rows)


def _wide(trusted: Matrix, own: Cells, rows: int, rng: np.random.Generator) -> Matrix:
    """Any category, or any number of a wider range: float32[rows, width]."""
    if own.category:
        width = len(own.columns)
        return np.eye(width, dtype=np.float32)[rng.integers(width, size=rows)]
    values = trusted[:, own.columns[0]]
    low, high = float(values.min()), float(values.max())
    # One unit of its scale around a value that is always the same.
    span = (high - low) or 1.0
    out = np.zeros((rows, len(own.columns)), dtype=np.float32)
    out[:, 0] = rng.uniform(low - WIDER * span, high + WIDER * span, size=rows)
    if len(np.unique(values)) == 2:  # a switch: in half of the rows one of its two values
        out[: rows // 2, 0] = rng.choice(np.array([low, high]), size=rows // 2)
    return out
