"""What a peer gets to see: encoded, standardised features and labels as codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditor.features import Encoder
from bench.detection.cases import Case

Matrix = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]

FOLDS: Final = 5
#: Every random choice of a peer starts here, so that a trial can be repeated.
SEED: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The batch, and the trusted rows for those who may see them, in the same columns.

    `rows` float64[n, d] and `trusted` float64[m, d] (m = 0 for a peer that sees the batch alone),
    d >= 1. `codes` int64[n] and `trusted_codes` int64[m] number the same `classes` labels; a
    missing label is a class of its own.
    """

    rows: Matrix
    codes: Codes
    trusted: Matrix
    trusted_codes: Codes
    classes: int

    @classmethod
    def alone(cls, case: Case, table: pa.Table) -> View:
        """Scales, categories and labels learnt from the batch itself."""
        return cls._of(case, table, case.trusted.slice(0, 0), table)

    @classmethod
    def beside(cls, case: Case, table: pa.Table) -> View:
        """Scales and categories learnt from the trusted rows.

        Raises:
            ValueError: there are no trusted rows.
        """
        if not case.trusted.num_rows:
            raise ValueError("this peer is fitted on trusted rows, and there are none")
        return cls._of(case, table, case.trusted, case.trusted)

    @classmethod
    def _of(cls, case: Case, table: pa.Table, trusted: pa.Table, fitted_on: pa.Table) -> View:
        from sklearn.preprocessing import StandardScaler

        encoder = Encoder.fit(fitted_on, case.roles.features)
        scaler = StandardScaler().fit(encoder.transform(fitted_on).astype(np.float64))
        both = [
            scaler.transform(encoder.transform(part).astype(np.float64))
            for part in (trusted, table)
            if part.num_rows
        ]
        matrix = _varying(np.concatenate(both))
        codes, classes = _codes([trusted, table], str(case.roles.label))
        count = trusted.num_rows
        return cls(
            rows=matrix[count:],
            codes=codes[count:],
            trusted=matrix[:count],
            trusted_codes=codes[:count],
            classes=classes,
        )


def _varying(matrix: Matrix) -> Matrix:
    """Without constant columns, which say nothing and which some peers divide by."""
    varies = np.ptp(matrix, axis=0) > 0
    return matrix[:, varies] if varies.any() else matrix[:, :1]


def _codes(tables: list[pa.Table], label: str) -> tuple[Codes, int]:
    """Labels of all tables, in order, numbered in the order of their text."""
    texts = [t[label].cast(pa.string()).combine_chunks() for t in tables]
    joined = pa.concat_arrays(texts)
    names = pc.unique(joined)
    names = names.take(pc.sort_indices(names))
    found = pc.index_in(joined, value_set=names).to_numpy(zero_copy_only=False)
    return found.astype(np.int64), len(names)


def folds_of(codes: Codes, folds: int = FOLDS) -> Codes:
    """A fold for each row, each class spread evenly over them: int64[n].

    Unlike scikit-learn's `StratifiedKFold` it takes classes with fewer rows than folds.
    """
    rng = np.random.default_rng(SEED)
    order = rng.permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    fold = np.empty(len(codes), dtype=np.int64)
    fold[order] = np.arange(len(codes)) % folds
    return fold


def out_of_fold(matrix: Matrix, codes: Codes, classes: int) -> Matrix:
    """P(class) of each row from a logistic model that did not see it: float64[n, classes].

    A fold whose other rows are all of one class, or that has no other rows, gets what those say.
    """
    probabilities = np.full((len(matrix), classes), 1.0 / classes)
    fold = folds_of(codes)
    for held in range(FOLDS):
        inside, rest = fold == held, fold != held
        if inside.any() and rest.any():
            probabilities[inside] = _logistic(matrix[rest], codes[rest], matrix[inside], classes)
    return probabilities


def _logistic(matrix: Matrix, codes: Codes, asked: Matrix, classes: int) -> Matrix:
    from sklearn.linear_model import LogisticRegression

    seen = np.unique(codes)
    full = np.zeros((len(asked), classes))
    if len(seen) == 1:
        full[:, seen[0]] = 1.0
        return full
    model: Any = LogisticRegression(max_iter=1_000).fit(matrix, codes)
    full[:, model.classes_] = model.predict_proba(asked)
    return full
