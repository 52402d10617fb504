"""Label probabilities from encoded features: fitted on trusted rows, or out-of-fold."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from auditor.features import Matrix
from auditor.threads import threads

Scores = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

#: Classes that are modelled at most, the most frequent ones; a class needs this many rows.
MAX_CLASSES: Final = 100
MIN_ROWS: Final = 10
#: Standardised values are cut here for the classifier: one far cell must not decide a row.
REACH: Final = 10.0
#: A probability below this says no more than "never".
LEAST: Final = 1e-12

MODELS: Final = ("logistic", "hist_gradient_boosting")


@dataclass(frozen=True, slots=True)
class Classes:
    """The labels that can be judged, as text, most frequent first."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, labels: Sequence[str | None]) -> Classes:
        """Classes with enough rows among `labels`."""
        counts = Counter(x for x in labels if x is not None)
        order = sorted(counts, key=lambda name: (-counts[name], name))
        return cls(tuple(name for name in order[:MAX_CLASSES] if counts[name] >= MIN_ROWS))

    def codes(self, labels: Sequence[str | None]) -> Codes:
        """Position of each label in `names`, -1 where it is missing or not judged: int64[n]."""
        place = {name: i for i, name in enumerate(self.names)}
        return np.array([-1 if x is None else place.get(x, -1) for x in labels], dtype=np.int64)


@dataclass(frozen=True)
class LabelModel:
    """A fitted classifier over the codes of `Classes`."""

    classifier: Any
    classes: int

    def probabilities(self, matrix: Matrix) -> Scores:
        """P(class | features): float64[n, classes]; classes it never saw get 0."""
        full = np.zeros((len(matrix), self.classes))
        if len(matrix):
            full[:, self.classifier.classes_] = self.classifier.predict_proba(_cut(matrix))
        return full


def fit(matrix: Matrix, codes: Codes, classes: int, *, model: str, seed: int) -> LabelModel:
    """Fit on rows with a known class (codes >= 0)."""
    known = codes >= 0
    classifier = _classifier(model, seed % 2**32)  # scikit-learn takes no larger one
    with warnings.catch_warnings():
        # Not converged after max_iter is a slightly worse model, not a wrong one.
        warnings.filterwarnings("ignore", category=_convergence_warning())
        with threads(1):  # these sums are short: several threads mostly wait for each other
            classifier.fit(_cut(matrix[known]), codes[known])
    return LabelModel(classifier, classes)


def out_of_fold(
    matrix: Matrix,
    codes: Codes,
    classes: int,
    *,
    model: str,
    seed: int,
    groups: Sequence[str | None] | None,
    folds: int = 5,
    fit_rows: int = 20_000,
) -> Scores:
    """P(class | features) of each row from a model that saw neither the row nor its group.

    Rows with code -1 get zeros. At most `fit_rows` seeded rows are fitted on in each fold.
    """
    full = np.zeros((len(matrix), classes))
    rng = np.random.default_rng(seed)
    for train, held in _folds(codes, groups, folds, seed % 2**32):
        if len(train) > fit_rows:
            train = np.sort(rng.choice(train, fit_rows, replace=False))
        fitted = fit(matrix[train], codes[train], classes, model=model, seed=seed)
        full[held] = fitted.probabilities(matrix[held])
    return full


def doubt(probabilities: Scores, codes: Codes) -> Scores:
    """How much the features speak against the given label, in [0, 1]; NaN where code is -1.

    Half of one plus the best other class's probability minus the label's own (the normalised
    margin of Northcutt et al. 2021).
    """
    result = np.full(len(codes), np.nan)
    known = np.flatnonzero(codes >= 0)
    own = probabilities[known, codes[known]]
    others = probabilities[known].copy()
    others[np.arange(len(known)), codes[known]] = -1.0
    result[known] = (1.0 + others.max(axis=1) - own) / 2.0
    return result


def losses(probabilities: Scores, codes: Codes) -> Scores:
    """Log-loss of each label: float64[n], at least 0; NaN where code is -1."""
    result = np.full(len(codes), np.nan)
    known = np.flatnonzero(codes >= 0)
    result[known] = -np.log(np.maximum(probabilities[known, codes[known]], LEAST))
    return result


def _folds(
    codes: Codes, groups: Sequence[str | None] | None, folds: int, seed: int
) -> list[tuple[Codes, Codes]]:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    known = np.flatnonzero(codes >= 0)
    senders = None if groups is None else np.array([str(g) for g in groups])[known]
    rarest = np.bincount(codes[known]).min(initial=folds, where=np.bincount(codes[known]) > 0)
    count = int(max(2, min(folds, rarest)))
    if senders is not None and len(np.unique(senders)) >= count:
        split = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
        parts = list(split.split(known, codes[known], senders))
        # Where one sender is all there is of a class, leaving it out leaves nothing to tell apart.
        if all(len(np.unique(codes[known][train])) > 1 for train, _ in parts):
            return [(known[train], known[held]) for train, held in parts]
    parts = StratifiedKFold(count, shuffle=True, random_state=seed).split(known, codes[known])
    return [(known[train], known[held]) for train, held in parts]


def _classifier(model: str, seed: int) -> Any:
    if model == "hist_gradient_boosting":
        from sklearn.ensemble import HistGradientBoostingClassifier

        return HistGradientBoostingClassifier(max_iter=100, random_state=seed)
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=200, random_state=seed)


def _convergence_warning() -> type[Warning]:
    from sklearn.exceptions import ConvergenceWarning

    warning: type[Warning] = ConvergenceWarning
    return warning


def _cut(matrix: Matrix) -> Matrix:
    return np.clip(matrix, -REACH, REACH)
