"""Residuals of a real-valued target, each over the spread that rows like it have.

Fitted on trusted rows: one model for the target, one for the size of its error, so that a row with
a noisy neighbourhood is not blamed for it (Lei et al. 2018, normalised conformal scores). Without
trusted rows the worst-fitting rows are left out and the rest is fitted again, so that a few wrong
targets do not bend the model (TRIM, Jagielski et al. 2018; ITLM, Shen & Sanghavi 2019).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from auditor.features import Matrix
from auditor.threads import threads

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

MODELS: Final = ("huber", "hist_gradient_boosting")
#: How large an error to expect: few leaves, and no larger at the ends than trusted rows had it.
SIZE: Final = "size"
#: Standardised features and targets are cut here for fitting: one far cell must not decide.
REACH: Final = 10.0
#: An expected error below this part of the median one is raised to it.
LEAST: Final = 0.25
FOLDS: Final = 5
#: Rows fitted on at most.
FIT_ROWS: Final = 20_000
#: Share of rows that TRIM leaves out, and how often it fits again.
TRIMMED: Final = 0.1
ROUNDS: Final = 2


@dataclass(frozen=True)
class TargetModel:
    """A fitted target and the fitted size of its error, in units of the trusted target's spread."""

    location: Any
    size: Any
    centre: float
    scale: float
    least: float

    def residuals(self, matrix: Matrix, targets: Floats) -> Floats:
        """(target - expected) / expected size of the error: float64[n]; NaN for no target."""
        if not len(matrix):
            return np.zeros(0)
        cut = _cut(matrix)
        error = (targets - self.centre) / self.scale - self.location.predict(cut)
        found: Floats = error / np.maximum(self.size.predict(cut), self.least)
        return found


def scale_of(targets: Floats) -> tuple[float, float]:
    """Median and robust spread of the finite targets; a spread of 1 where they are all equal."""
    present = targets[np.isfinite(targets)]
    low, centre, high = np.quantile(present, (0.25, 0.5, 0.75))
    return float(centre), float((high - low) / 1.349 or present.std() or 1.0)


def fit(matrix: Matrix, targets: Floats, errors: Floats, *, model: str, seed: int) -> TargetModel:
    """From rows float32[n, d], their targets and out-of-fold errors float64[n], all finite.

    `errors` are in units of the targets' spread, as `out_of_fold` gives them.
    """
    rows = _some(len(matrix), seed)
    centre, scale = scale_of(targets)
    standard = (targets[rows] - centre) / scale
    location = _fitted(matrix[rows], standard, model, seed)
    size = _fitted(matrix[rows], np.abs(errors[rows]), SIZE, seed)
    least = LEAST * float(np.median(np.abs(errors))) or 1e-9
    return TargetModel(location, size, centre, scale, least)


def out_of_fold(
    matrix: Matrix,
    targets: Floats,
    *,
    model: str,
    seed: int,
    groups: Sequence[str | None] | None,
    kept: npt.NDArray[np.bool_] | None = None,
) -> tuple[Floats, Floats]:
    """Errors, and errors over their expected size, of models that saw neither row nor group.

    Targets are finite. `kept`: rows that may be fitted on. Both results are float64[n].
    """
    centre, scale = scale_of(targets)
    standard = (targets - centre) / scale
    may = np.ones(len(targets), dtype=bool) if kept is None else kept
    folds = list(_folds(len(targets), groups, seed))
    errors = standard.copy()
    for train, held in folds:
        chosen = train[may[train]][_some(int(may[train].sum()), seed)]
        fitted = _fitted(matrix[chosen], standard[chosen], model, seed)
        errors[held] -= fitted.predict(_cut(matrix[held]))
    least = LEAST * float(np.median(np.abs(errors))) or 1e-9
    residuals = errors.copy()
    for train, held in folds:
        chosen = train[may[train]][_some(int(may[train].sum()), seed)]
        fitted = _fitted(matrix[chosen], np.abs(errors[chosen]), SIZE, seed)
        residuals[held] /= np.maximum(fitted.predict(_cut(matrix[held])), least)
    return errors, residuals


def better(
    matrix: Matrix, targets: Floats, *, seed: int, groups: Sequence[str | None] | None
) -> tuple[str, Floats]:
    """The model with the smaller median out-of-fold error, and its residuals."""
    found = {
        name: out_of_fold(matrix, targets, model=name, seed=seed, groups=groups) for name in MODELS
    }
    best = min(found, key=lambda name: float(np.median(np.abs(found[name][0]))))
    return best, found[best][1]


def trimmed(
    matrix: Matrix, targets: Floats, *, model: str, seed: int, groups: Sequence[str | None] | None
) -> Floats:
    """Out-of-fold residuals of rows that may hold poison: float64[n]. Targets are finite."""
    kept = np.ones(len(targets), dtype=bool)
    for _ in range(ROUNDS):
        errors, _ = out_of_fold(matrix, targets, model=model, seed=seed, groups=groups, kept=kept)
        kept = np.abs(errors) <= np.quantile(np.abs(errors), 1.0 - TRIMMED)
    return out_of_fold(matrix, targets, model=model, seed=seed, groups=groups, kept=kept)[1]


def _folds(
    rows: int, groups: Sequence[str | None] | None, seed: int
) -> Iterator[tuple[Rows, Rows]]:
    """Seeded folds; rows of one group stay together where there are enough groups."""
    rng = np.random.default_rng(seed)
    names = sorted({str(g) for g in groups}) if groups is not None else []
    if len(names) >= FOLDS and groups is not None:
        fold = dict(zip(names, rng.permutation(len(names)) % FOLDS, strict=True))
        of = np.array([fold[str(g)] for g in groups])
    else:
        of = rng.permutation(rows) % FOLDS
    for number in range(FOLDS):
        yield np.flatnonzero(of != number), np.flatnonzero(of == number)


def _some(rows: int, seed: int) -> Rows:
    if rows <= FIT_ROWS:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, FIT_ROWS, replace=False))


def _fitted(matrix: Matrix, targets: Floats, model: str, seed: int) -> Any:
    regressor = _regressor(model, seed % 2**32)  # scikit-learn takes no larger one
    with warnings.catch_warnings(), threads(1):
        # Not converged is a slightly worse model, not a wrong one.
        warnings.filterwarnings("ignore", category=_convergence_warning())
        regressor.fit(_cut(matrix), np.clip(targets, -REACH, REACH))
    return regressor


def _regressor(model: str, seed: int) -> Any:
    if model == "huber":
        from sklearn.linear_model import HuberRegressor

        return HuberRegressor(alpha=1.0, max_iter=200)
    from sklearn.ensemble import HistGradientBoostingRegressor

    few = {"max_iter": 30, "max_leaf_nodes": 8} if model == SIZE else {"max_iter": 100}
    return HistGradientBoostingRegressor(early_stopping=False, random_state=seed, **few)


def _convergence_warning() -> type[Warning]:
    from sklearn.exceptions import ConvergenceWarning

    warning: type[Warning] = ConvergenceWarning
    return warning


def _cut(matrix: Matrix) -> Matrix:
    return np.clip(matrix, -REACH, REACH)
