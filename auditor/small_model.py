"""A small linear classifier of the batch, and what its rows do to its loss on trusted rows.

Multinomial logistic regression with a ridge, fitted to convergence from a given start: hundreds of
refits without some rows cost seconds. The closed-form influence of a row is the first step of such
a refit (Koh & Liang 2017): the gradient of the trusted loss, times the inverse Hessian, times the
row's own gradient; the inverse is applied by conjugate gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from auditor.sides import Sides

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

_STEPS: Final = 300
_PRECISION: Final = 1e-6


@dataclass(frozen=True)
class SmallModel:
    """Weights float64[classes, d] and the ridge, a row's share of one."""

    weights: Floats
    ridge: float

    def probabilities(self, matrix: Floats) -> Floats:
        """P(class | features): float64[n, classes]."""
        scores = matrix @ self.weights.T
        scores -= scores.max(axis=1, keepdims=True)
        mass = np.exp(scores)
        found: Floats = mass / mass.sum(axis=1, keepdims=True)
        return found

    def loss(self, matrix: Floats, codes: Codes) -> float:
        """Mean negative log-likelihood."""
        own = self.probabilities(matrix)[np.arange(len(codes)), codes]
        return float(-np.log(np.maximum(own, 1e-12)).mean())


def fit_small(
    matrix: Floats, codes: Codes, classes: int, *, ridge: float, start: Floats | None = None
) -> SmallModel:
    """Fit by L-BFGS from `start` float64[classes, d] (zeros by default)."""
    from scipy.optimize import minimize

    first = np.zeros((classes, matrix.shape[1])) if start is None else start
    targets = _indicators(codes, classes)

    def objective(flat: Floats) -> tuple[float, Floats]:
        model = SmallModel(flat.reshape(first.shape), ridge)
        chances = model.probabilities(matrix)
        own = np.maximum(chances[np.arange(len(codes)), codes], 1e-300)
        slope = (chances - targets).T @ matrix / len(codes) + ridge * model.weights
        value = -np.log(own).mean() + ridge / 2 * float((model.weights**2).sum())
        return float(value), slope.ravel()

    options = {"maxiter": _STEPS, "ftol": 1e-11, "gtol": _PRECISION}
    found = minimize(objective, first.ravel(), jac=True, method="L-BFGS-B", options=options)
    return SmallModel(np.asarray(found.x, dtype=np.float64).reshape(first.shape), ridge)


def influence(model: SmallModel, both: Sides) -> Floats:
    """How much the trusted loss falls, to first order, without each row of the batch: float64[n].

    Positive: the row does harm.
    """
    classes = len(both.classes.names)
    error = model.probabilities(both.trusted) - _indicators(both.trusted_codes, classes)
    slope = error.T @ both.trusted / len(error)
    step = _inverse(model, both.matrix, slope)
    own = model.probabilities(both.matrix) - _indicators(both.codes, classes)
    along: Floats = np.einsum("nc,nc->n", own, both.matrix @ step.T)
    # Without a row its gradient is missing from the mean: the weights move by +H^-1 g / n.
    return -along / len(along)


def _inverse(model: SmallModel, matrix: Floats, slope: Floats) -> Floats:
    """Hessian^-1 slope by conjugate gradients: float64[classes, d]."""
    chances = model.probabilities(matrix)

    def hessian(vector: Floats) -> Floats:
        along = matrix @ vector.T
        pull = chances * (along - (chances * along).sum(axis=1, keepdims=True))
        found: Floats = pull.T @ matrix / len(matrix) + model.ridge * vector
        return found

    answer, rest = np.zeros_like(slope), slope.copy()
    direction, size = rest.copy(), float((rest**2).sum())
    goal = 1e-8 * size
    for _ in range(_STEPS):
        if size <= goal or size == 0.0:
            break
        image = hessian(direction)
        step = size / float((direction * image).sum())
        answer += step * direction
        rest -= step * image
        new = float((rest**2).sum())
        direction, size = rest + new / size * direction, new
    return answer


def _indicators(codes: Codes, classes: int) -> Floats:
    found: Floats = np.eye(classes)[codes]
    return found
