"""Peers that look for rows unlike the others: PyOD's ECOD and IForest, a domain classifier."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.detection.views import SEED, Codes, Matrix, Scores, View, out_of_fold


def ecod(view: View) -> Scores:
    """PyOD's ECOD on the batch, without parameters to set.

    Li, Zhao, Hu, Botta, Ionescu, Chen: ECOD (TKDE 2022).
    """
    from pyod.models.ecod import ECOD

    return np.asarray(ECOD().fit(view.rows).decision_scores_, dtype=np.float64)


def ecod_baseline(view: View) -> Scores:
    """ECOD fitted on the trusted rows. PyOD ranks new rows among the fitted and the new ones."""
    from pyod.models.ecod import ECOD

    return np.asarray(ECOD().fit(view.trusted).decision_function(view.rows), dtype=np.float64)


def iforest(view: View) -> Scores:
    """PyOD's isolation forest on the batch, defaults: 100 trees of 256 rows.

    Liu, Ting, Zhou: Isolation Forest (ICDM 2008).
    """
    return _scored(_forest(view.rows), view.rows)


def iforest_baseline(view: View) -> Scores:
    """The same forest, fitted on the trusted rows."""
    return _scored(_forest(view.trusted), view.rows)


def iforest_class(view: View) -> Scores:
    """A forest for each class of the batch: unlike the rows with the same label."""
    return _by_class(view, view.rows, view.codes)


def iforest_class_baseline(view: View) -> Scores:
    """A forest for each class of the trusted rows; a class never trusted gets that of all."""
    return _by_class(view, view.trusted, view.trusted_codes)


def domain(view: View) -> Scores:
    """P(a row is of the batch and not trusted), logistic in five folds: what is new is suspicious.

    Lopez-Paz, Oquab: Revisiting Classifier Two-Sample Tests (ICLR 2017); Rabanser, Günnemann,
    Lipton: Failing Loudly (NeurIPS 2019), which shows the most anomalous rows by this score.
    """
    both = np.concatenate([view.trusted, view.rows])
    arrived = (np.arange(len(both)) >= len(view.trusted)).astype(np.int64)
    return out_of_fold(both, arrived, 2)[len(view.trusted) :, 1]


def _by_class(view: View, fitted_on: Matrix, of: Codes) -> Scores:
    scores = np.zeros(len(view.rows))
    for code in np.unique(view.codes):
        asked = view.codes == code
        same = fitted_on[of == code]
        scores[asked] = _scored(_forest(same if len(same) else fitted_on), view.rows[asked])
    return scores


def _forest(rows: Matrix) -> Any:
    from pyod.models.iforest import IForest

    return IForest(random_state=SEED, n_jobs=1).fit(rows)


def _scored(forest: Any, rows: Matrix) -> Scores:
    return np.asarray(forest.decision_function(rows), dtype=np.float64)
