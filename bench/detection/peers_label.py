"""Peers that compare labels with features: cleanlab, Datalab, nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Any, Final, Literal

import numpy as np

from bench.detection.views import Scores, View, out_of_fold

#: Neighbours, as in Paudice et al.'s experiments and Datalab's default.
NEIGHBOURS: Final = 10


def _cleanlab(view: View, method: Literal["self_confidence", "normalized_margin"]) -> Scores:
    from cleanlab.rank import get_label_quality_scores

    if view.classes < 2:
        return np.zeros(len(view.rows))
    folds = out_of_fold(view.rows, view.codes, view.classes)
    quality = get_label_quality_scores(view.codes, folds, method=method)
    return 1.0 - np.asarray(quality, dtype=np.float64)


def self_confidence(view: View) -> Scores:
    """The default label quality of cleanlab: the own label's probability in five logistic folds.

    Northcutt, Jiang, Chuang: Confident Learning (JAIR 2021); `cleanlab.rank`.
    """
    return _cleanlab(view, "self_confidence")


def normalized_margin(view: View) -> Scores:
    """Its normalised margin: the own label's probability minus the best other one's.

    Northcutt, Jiang, Chuang: Confident Learning (JAIR 2021); `cleanlab.rank`.
    """
    return _cleanlab(view, "normalized_margin")


def _datalab(view: View, *issues: str) -> Scores:
    """One minus the least of the issues' scores, each in [0, 1], 0 = worst.

    Raises:
        RuntimeError: Datalab gave no score for one of them, which it says in print only.
    """
    from cleanlab import Datalab

    settings = _settings(view, issues)
    if not settings:
        return np.zeros(len(view.rows))
    lab = Datalab(data={"label": view.codes.tolist()}, label_name="label", verbosity=0)
    folds = out_of_fold(view.rows, view.codes, view.classes) if "label" in settings else None
    with redirect_stdout(StringIO()) as said:
        lab.find_issues(pred_probs=folds, features=view.rows, issue_types=settings)
    if any(f"{issue}_score" not in lab.issues for issue in settings):
        raise RuntimeError(said.getvalue().strip() or f"no score among {list(lab.issues)}")
    worst = lab.issues[[f"{issue}_score" for issue in settings]].min(axis=1)
    return 1.0 - np.asarray(worst, dtype=np.float64)


def _settings(view: View, issues: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Each issue's parameters: the defaults, fewer neighbours where there are not as many rows.

    A single class has no label issues, a single row no neighbours: those are left out.
    """
    count = min(NEIGHBOURS, len(view.rows) - 1)
    settings: dict[str, dict[str, Any]] = {}
    if "label" in issues and len(np.unique(view.codes)) > 1:
        # Its worker processes count on being forked; how many there are changes no score.
        settings["label"] = {"clean_learning_kwargs": {"find_label_issues_kwargs": {"n_jobs": 1}}}
    if count >= 1:
        settings |= {issue: {"k": count} for issue in issues if issue != "label"}
    return settings


def datalab(view: View) -> Scores:
    """Datalab's label, outlier and near-duplicate issues at once: the worst of the three scores.

    Settings as in its guide (docs.cleanlab.ai, "Datalab Issue Types"). The guide names a score for
    each issue and no way to combine them; the minimum is the choice made here, so the outlier and
    near-duplicate scores are peers by themselves as well.
    """
    return _datalab(view, "label", "outlier", "near_duplicate")


def datalab_outlier(view: View) -> Scores:
    """Datalab's outlier score: mean distance to the ten nearest rows (Kuan & Mueller 2022)."""
    return _datalab(view, "outlier")


def datalab_near_duplicate(view: View) -> Scores:
    """Datalab's near-duplicate score: distance to the nearest row, small = worst."""
    return _datalab(view, "near_duplicate")


def neighbours(view: View) -> Scores:
    """Share of the ten nearest rows of the batch with another label, the nearer the heavier.

    Paudice, Muñoz-González, Lupu: Label Sanitization against Label Flipping Poisoning Attacks
    (2018). They count votes; weights by distance break the ties that a ranking would suffer from.
    """
    from sklearn.neighbors import NearestNeighbors

    count = min(NEIGHBOURS, len(view.rows) - 1)
    if count < 1:
        return np.zeros(len(view.rows))
    distance, near = NearestNeighbors(n_neighbors=count).fit(view.rows).kneighbors()
    weight = 1.0 / (distance + 1e-9)
    other = view.codes[near] != view.codes[:, None]
    return np.asarray((weight * other).sum(axis=1) / weight.sum(axis=1), dtype=np.float64)
