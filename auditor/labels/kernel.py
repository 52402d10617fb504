"""Logistic regression on kernels around trusted rows: class boundaries of any shape.

A class's score is a weighted sum of Laplace kernels around landmarks, which are seeded rows of
those it is fitted on, and of the features themselves, held small. This is kernel logistic
regression (Zhu, Hastie 2005) with the kernel's columns at the landmarks only (Nyström; Williams,
Seeger 2001); the curved part is penalised by its norm in the kernel's space.

It is fitted in coordinates in which Böhning's bound of the curvature (Ann. Inst. Statist. Math.
1992) is the identity: a few dozen steps suffice, however unlike the features are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from auditor.features import Matrix

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Real = TypeVar("Real", np.float32, np.float64)

#: Landmarks, and rows to fit on, at most.
LANDMARKS: Final = 200
FIT_ROWS: Final = 5_000
#: Penalties: of a feature's squared weight, and of the curved part's squared norm.
LINEAR: Final = 10.0
CURVED: Final = 0.05
#: Rows whose kernels are held at a time.
BLOCK: Final = 4_096
#: On the diagonal of the landmarks' kernels: equal landmarks would make it singular.
RIDGE: Final = 1e-6
_STEPS: Final = 200
_PRECISION: Final = 1e-8
_FLAT: Final = 1e-4


@dataclass(frozen=True, eq=False)
class Basis:
    """Landmarks float32[m, d], and the distance at which a kernel has fallen to 1/e."""

    landmarks: Matrix
    width: float

    @classmethod
    def of(cls, rows: Matrix, rng: np.random.Generator) -> Basis:
        """Some of the rows; the width is the median distance between two of them."""
        chosen = rows[np.sort(rng.permutation(len(rows))[:LANDMARKS])]
        far = _distances(chosen, chosen)[np.triu_indices(len(chosen), 1)]
        return cls(chosen, (float(np.median(far)) if len(far) else 0.0) or 1.0)

    def kernels(self, rows: Matrix) -> Matrix:
        """exp(-distance / width) to each landmark: float32[n, m]."""
        near = _distances(rows, self.landmarks)
        near *= np.float32(-1.0 / self.width)
        return np.asarray(np.exp(near, out=near))


@dataclass(frozen=True, eq=False)
class KernelLogistic:
    """The scores of `classes_` int64[k]: `weights` float32[d + m, k] and `bias` float32[k]."""

    classes_: Codes
    basis: Basis
    weights: Matrix
    bias: Matrix

    @classmethod
    def fit(cls, matrix: Matrix, codes: Codes, seed: int) -> KernelLogistic:
        """From rows float32[n, d] and their classes int64[n]; of many rows a seeded choice."""
        rng = np.random.default_rng([seed, 3])
        if len(matrix) > FIT_ROWS:
            some = np.sort(rng.choice(len(matrix), FIT_ROWS, replace=False))
            matrix, codes = matrix[some], codes[some]
        rows = _drawn_in(matrix)
        basis = Basis.of(rows, rng)
        classes, of = np.unique(codes, return_inverse=True)
        features = np.hstack([rows, basis.kernels(rows)]).astype(np.float64)
        centre = features.mean(axis=0)
        weights, bias = _minimum(features - centre, of, len(classes), _penalty(basis))
        bias = bias - centre @ weights
        return cls(classes, basis, weights.astype(np.float32), bias.astype(np.float32))

    def predict_proba(self, matrix: Matrix) -> Matrix:
        """P(class | features) of each row: float32[n, k]."""
        found = np.empty((len(matrix), len(self.classes_)), dtype=np.float32)
        straight, curved = np.split(self.weights, [matrix.shape[1]])
        for start in range(0, len(matrix), BLOCK):
            rows = _drawn_in(matrix[start : start + BLOCK])
            scores = rows @ straight + self.basis.kernels(rows) @ curved + self.bias
            found[start : start + BLOCK] = _shares(scores)
        return found


def _drawn_in(matrix: Matrix) -> Matrix:
    """Far values drawn in: a row with a long tail still has neighbours."""
    return np.asarray(np.arcsinh(matrix, dtype=np.float32))


def _distances(one: Matrix, other: Matrix) -> Matrix:
    """Euclidean distance of each pair of rows: float32[n, m]."""
    squares: Matrix = one @ (np.float32(-2.0) * other.T)
    squares += (one * one).sum(axis=1)[:, None]
    squares += (other * other).sum(axis=1)
    np.maximum(squares, 0.0, out=squares)
    return np.asarray(np.sqrt(squares, out=squares))


def _shares(scores: npt.NDArray[Real]) -> npt.NDArray[Real]:
    """Scores of classes as probabilities, a row each."""
    mass: npt.NDArray[Real] = np.exp(scores - scores.max(axis=1, keepdims=True))
    mass /= mass.sum(axis=1, keepdims=True)
    return mass


def _penalty(basis: Basis) -> Floats:
    """The quadratic form that is added to the loss: float64[d + m, d + m], positive definite.

    From differences in double precision: distances from sums of squares in single precision are
    not zero between equal landmarks, and the form then has negative directions.
    """
    from scipy.spatial.distance import cdist

    count, linear = basis.landmarks.shape
    landmarks = basis.landmarks.astype(np.float64)
    near = np.exp(cdist(landmarks, landmarks) / -basis.width)
    penalty = np.zeros((linear + count, linear + count))
    penalty[:linear, :linear] = LINEAR * np.eye(linear)
    penalty[linear:, linear:] = CURVED * (near + RIDGE * np.eye(count))
    return penalty


def _minimum(features: Floats, of: Codes, classes: int, penalty: Floats) -> tuple[Floats, Floats]:
    """Weights float64[p, k] and bias float64[k] of least penalised loss; columns are centred."""
    from scipy.linalg import cholesky, solve_triangular
    from scipy.optimize import minimize

    count, width = features.shape
    lower = cholesky(features.T @ features / 4.0 + penalty, lower=True)
    turn = solve_triangular(lower, np.eye(width), lower=True).T
    turned, bent = features @ turn, turn.T @ penalty @ turn
    given, rows = np.eye(classes)[of], np.arange(count)

    def objective(flat: Floats) -> tuple[float, Floats]:
        weights, bias = np.split(flat.reshape(width + 1, classes), [width])
        chances, pull = _shares(turned @ weights + bias), bent @ weights
        error = chances - given
        loss = (weights * pull).sum() / 2.0 - np.log(np.maximum(chances[rows, of], 1e-300)).sum()
        slope = np.vstack([turned.T @ error + pull, error.sum(axis=0)])
        return float(loss) / count, slope.ravel() / count

    first = np.zeros((width + 1, classes))
    first[width] = np.log(given.mean(axis=0))
    options = {"maxiter": _STEPS, "ftol": _PRECISION, "gtol": _FLAT}
    found = minimize(objective, first.ravel(), jac=True, method="L-BFGS-B", options=options)
    weights, bias = np.split(np.asarray(found.x).reshape(width + 1, classes), [width])
    return turn @ weights, bias[0]
