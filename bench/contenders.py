"""Each contender: a batch in, seconds and one or two score columns out. Runs in its own process.

A score column is float[rows], higher = worse. Peers are run as their own documentation shows.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

Scores = dict[str, np.ndarray]


#: The rules of the first budget: what the peers do as well.
FEW = {"AUD-Q001", "AUD-D001", "AUD-D002", "AUD-D003", "AUD-L001", "AUD-F001"}


def ours(folder: Path, columns: list[str], only: set[str] | None = None) -> Scores:
    """`auditor gate` with a baseline: ingest, every rule, verdict, split, report."""
    import pyarrow.parquet as pq

    from auditor.config import load
    from auditor.detectors import DETECTORS
    from auditor.model import Mode
    from auditor.pipeline import audit
    from auditor.readers import resolve
    from auditor.run import Job

    settings = load(folder / "auditor.yaml", {}, strict_permissions=False)
    chosen = tuple(d for d in DETECTORS if only is None or d.rule.id in only)
    sources = resolve([str(folder / "batch.parquet")])
    result = audit(Job(settings=settings, mode=Mode.GATE, sources=sources, detectors=chosen))
    suspects = pq.read_table(result.folder / "suspects.parquet")
    score = np.zeros(result.report.rows_in)
    score[suspects.column("row").to_numpy()] = suspects.column("suspicion").to_numpy()
    del columns
    return {"flips": score, "outliers": score}


def ours_few(folder: Path, columns: list[str]) -> Scores:
    """The same with duplicates, label consistency and outliers only."""
    return ours(folder, columns, FEW)


def datalab(folder: Path, columns: list[str]) -> Scores:
    """Datalab (cleanlab): label, outlier and near-duplicate issues, with logistic folds."""
    from cleanlab import Datalab
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.preprocessing import StandardScaler

    frame = _frame(folder)
    features = StandardScaler().fit_transform(frame[columns])
    model = LogisticRegression(max_iter=200)
    folds = cross_val_predict(model, features, frame["label"], cv=5, method="predict_proba")
    lab = Datalab(data={"label": frame["label"].to_list()}, label_name="label", verbosity=0)
    lab.find_issues(
        pred_probs=folds,
        features=features,
        issue_types={"label": {}, "outlier": {}, "near_duplicate": {}},
    )
    return {
        "flips": 1.0 - lab.get_issues("label")["label_score"].to_numpy(),
        "outliers": 1.0 - lab.get_issues("outlier")["outlier_score"].to_numpy(),
    }


def by_hand(folder: Path, columns: list[str]) -> Scores:
    """What a team writes itself: logistic folds, PyOD ECOD, pandas duplicates, GX in pandas."""
    import great_expectations as gx
    from pyod.models.ecod import ECOD
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.preprocessing import StandardScaler

    frame = _frame(folder)
    features = StandardScaler().fit_transform(frame[columns])
    codes = frame["label"].astype("category").cat.codes.to_numpy()
    model = LogisticRegression(max_iter=200)
    folds = cross_val_predict(model, features, codes, cv=5, method="predict_proba")
    outliers = ECOD().fit(features).decision_scores_
    frame.duplicated(subset=[*columns, "label"]).sum()
    context = gx.get_context(mode="ephemeral")
    asset = context.data_sources.add_pandas("p").add_dataframe_asset("a")
    batch = asset.add_batch_definition_whole_dataframe("b").get_batch({"dataframe": frame})
    for name in columns:
        batch.validate(gx.expectations.ExpectColumnValuesToNotBeNull(column=name))
    batch.validate(
        gx.expectations.ExpectColumnValuesToBeInSet(column="label", value_set=list("abc"))
    )
    return {"flips": 1.0 - folds[np.arange(len(codes)), codes], "outliers": outliers}


CONTENDERS: dict[str, Callable[[Path, list[str]], Scores]] = {
    "auditor gate": ours,
    "auditor gate, what peers do": ours_few,
    "cleanlab Datalab": datalab,
    "ECOD + duplicates + GX by hand": by_hand,
}


def run(name: str, folder: Path, columns: list[str]) -> None:
    """Run one contender in this process; write its scores and what it took into `folder`."""
    import resource

    warnings.filterwarnings("ignore")
    os.environ["DO_NOT_TRACK"] = "1"
    started = time.perf_counter()
    scores = CONTENDERS[name](folder, columns)
    seconds = time.perf_counter() - started
    own = resource.getrusage(resource.RUSAGE_SELF)
    child = resource.getrusage(resource.RUSAGE_CHILDREN)
    np.savez(
        folder / "result.npz",
        seconds=seconds,
        cpu=own.ru_utime + own.ru_stime + child.ru_utime + child.ru_stime,
        peak=max(own.ru_maxrss, child.ru_maxrss) / 1024,
        **scores,
    )


def _frame(folder: Path):
    import pandas as pd

    return pd.read_parquet(folder / "batch.parquet")
