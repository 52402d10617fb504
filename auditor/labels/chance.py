"""Whether a label can be predicted at all: where it cannot, no content shows a wrong one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from auditor.batch import Roles, as_text
from auditor.features import Encoder, Matrix
from auditor.labels.model import Classes, Codes, Scores, out_of_fold
from auditor.statistics import auc, normal_tail

#: Rows that are looked at, at most; probability that noise is taken for a signal.
MOST_ROWS: Final = 5_000
ALPHA: Final = 0.01
TREES: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictable:
    """The best area under the ROC curve of one class against the rest, out of fold.

    `at_chance`: no class of no model is told apart better than noise would be.
    """

    auc: float
    at_chance: bool


def predictable(trusted: pa.Table, roles: Roles, seed: int) -> Predictable | None:
    """Fit a linear model and a forest on trusted rows; None without two classes and a feature.

    Each area is held against the null law of Mann and Whitney (1947), Bonferroni over classes and
    models.
    """
    if roles.label is None or not roles.features or pa.types.is_floating(_kind(trusted, roles)):
        return None
    rng = np.random.default_rng([seed, 43])
    count = min(MOST_ROWS, trusted.num_rows)
    rows = trusted.take(pa.array(np.sort(rng.permutation(trusted.num_rows)[:count])))
    labels = as_text(rows.column(roles.label)).to_pylist()
    classes = Classes.of(labels)
    codes = classes.codes(labels)
    if len(classes.names) < 2:
        return None
    matrix = Encoder.fit(rows, roles.features).transform(rows)
    scores = (
        out_of_fold(
            matrix, codes, len(classes.names), model="logistic", seed=seed, groups=None, folds=3
        ),
        _forest(matrix, codes, len(classes.names), seed),
    )
    return _judged(scores, codes, len(classes.names))


def _judged(scores: Sequence[Scores], codes: Codes, classes: int) -> Predictable:
    known = codes >= 0
    total = int(known.sum())
    areas = [auc(s[known, one], codes[known] == one) for s in scores for one in range(classes)]
    ones = [int((codes == one).sum()) for _ in scores for one in range(classes)]
    tails = [normal_tail(_z(a, n, total - n)) for a, n in zip(areas, ones, strict=True)]
    return Predictable(auc=max(areas), at_chance=min(tails) * len(tails) > ALPHA)


def _forest(matrix: Matrix, codes: Codes, classes: int, seed: int) -> Scores:
    """P(class | features) from the trees of a random forest that did not see the row.

    A forest sees what a linear model does not, and needs no second fit for honest scores. Rows
    that every tree saw get zeros.
    """
    from sklearn.ensemble import RandomForestClassifier

    known = np.flatnonzero(codes >= 0)
    forest = RandomForestClassifier(
        TREES, min_samples_leaf=5, oob_score=True, random_state=seed % 2**32, n_jobs=1
    )
    forest.fit(matrix[known], codes[known])
    full = np.zeros((len(codes), classes))
    found = np.nan_to_num(forest.oob_decision_function_)
    full[np.ix_(known, forest.classes_)] = found
    return full


def _kind(table: pa.Table, roles: Roles) -> pa.DataType:
    return table.schema.field(str(roles.label)).type


def _z(area: float, ones: int, zeros: int) -> float:
    """How many null standard deviations an area is above one half."""
    return float((area - 0.5) / np.sqrt((ones + zeros + 1) / (12.0 * ones * zeros)))
