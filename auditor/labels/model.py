"""Label probabilities from encoded features: fitted on trusted rows, or out-of-fold."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from auditor.features import Matrix
from auditor.labels.kernel import FIT_ROWS, KernelLogistic
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
#: One member of a pool alone cannot be surer than this that a label is wrong.
CERTAIN: Final = 1e-7

#: What a classifier can be; an ensemble pools the members below.
Model = Literal["ensemble", "kernel_logistic", "logistic", "hist_gradient_boosting"]
MEMBERS: Final = ("kernel_logistic", "hist_gradient_boosting")


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
    """A classifier over the codes of `Classes`, and how many rows are behind it."""

    classifier: Any
    classes: int
    rows: int

    def probabilities(self, matrix: Matrix) -> Scores:
        """P(class | features): float64[n, classes]; classes it never saw get 0."""
        full = np.zeros((len(matrix), self.classes))
        if len(matrix):
            full[:, self.classifier.classes_] = self.classifier.predict_proba(_cut(matrix))
        return full


def fit(matrix: Matrix, codes: Codes, classes: int, *, model: str, seed: int) -> LabelModel:
    """Fit on rows with a known class (codes >= 0)."""
    known = codes >= 0
    count = int(known.sum())
    with threads(1):  # these sums are short: several threads mostly wait for each other
        classifier = _fitted(_cut(matrix[known]), codes[known], model, seed)
    kernels = model in ("ensemble", "kernel_logistic")
    return LabelModel(classifier, classes, min(count, FIT_ROWS) if kernels else count)


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


@dataclass(frozen=True)
class OpinionPool:
    """Classifiers of the same classes, their log-probabilities averaged.

    The logarithmic opinion pool of Genest and Zidek (Statist. Sci. 1986): where members err in
    different places, each doubts what the other is sure of.
    """

    members: tuple[Any, ...]

    @property
    def classes_(self) -> Codes:
        """The codes of the classes: int64[k]."""
        return np.asarray(self.members[0].classes_)

    def predict_proba(self, rows: Matrix) -> Scores:
        """P(class | features): float64[n, k]."""
        logs = np.zeros((len(rows), len(self.classes_)))
        for member in self.members:
            logs += np.log(np.maximum(member.predict_proba(rows), CERTAIN)) / len(self.members)
        mass = np.exp(logs - logs.max(axis=1, keepdims=True))
        return np.asarray(mass / mass.sum(axis=1, keepdims=True))


def _fitted(rows: Matrix, codes: Codes, model: str, seed: int) -> Any:
    if model == "ensemble":
        return OpinionPool(tuple(_fitted(rows, codes, one, seed) for one in MEMBERS))
    if model == "kernel_logistic":
        return KernelLogistic.fit(rows, codes, seed)
    classifier = _classifier(model, seed % 2**32)  # scikit-learn takes no larger one
    with warnings.catch_warnings():
        # Not converged after max_iter is a slightly worse model, not a wrong one.
        warnings.filterwarnings("ignore", category=_convergence_warning())
        return classifier.fit(rows, codes)


def _classifier(model: str, seed: int) -> Any:
    if model == "hist_gradient_boosting":
        from sklearn.ensemble import HistGradientBoostingClassifier

        # Few small trees: there are hundreds of trusted rows, and a million to be scored.
        return HistGradientBoostingClassifier(
            max_iter=25,
            learning_rate=0.2,
            max_leaf_nodes=8,
            min_samples_leaf=10,
            l2_regularization=1.0,
            early_stopping=False,
            random_state=seed,
        )
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=200, random_state=seed)


def _convergence_warning() -> type[Warning]:
    from sklearn.exceptions import ConvergenceWarning

    warning: type[Warning] = ConvergenceWarning
    return warning


def _cut(matrix: Matrix) -> Matrix:
    return np.clip(matrix, -REACH, REACH)
