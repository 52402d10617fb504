"""Honest contributors differ: in what they send and in how often they err. None is accused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from auditor.baseline import Baseline
from auditor.batch import Roles, TableBatch
from auditor.context import Context, Detector
from auditor.detectors.contributors import Contributors, Options
from auditor.detectors.label_consistency import LabelConsistency
from auditor.detectors.label_consistency import Options as LabelOptions
from auditor.detectors.outliers import Options as OutlierOptions
from auditor.detectors.outliers import Outliers
from auditor.statistics import binomial_tail

FEATURES = tuple("abcdef")
ROLES = Roles({"feature": FEATURES, "label": ("y",), "contributor": ("c",)})
CLASSES = 3
BUDGET = 0.01 / 5  # what the default policy leaves each family


@dataclass(frozen=True)
class Sender:
    """Shares of the classes among its rows, and how often its labels are wrong."""

    mix: np.ndarray
    noise: float


def people(count: int, rng: np.random.Generator) -> list[Sender]:
    noise = rng.choice([0.0, 0.01, 0.02, 0.04, 0.06], count)
    return [Sender(rng.dirichlet(np.full(CLASSES, 1.5)), float(n)) for n in noise]


def batch_of(who: list[Sender], rows: int, rng: np.random.Generator, prefix: str = "") -> pa.Table:
    sender = rng.choice(len(who), rows, p=rng.dirichlet(np.full(len(who), 3.0)))
    truth = np.array([rng.choice(CLASSES, p=who[i].mix) for i in sender])
    values = np.eye(CLASSES, len(FEATURES))[truth] * 2.6 + rng.normal(size=(rows, len(FEATURES)))
    wrong = rng.random(rows) < np.array([who[i].noise for i in sender])
    label = np.where(wrong, (truth + rng.integers(1, CLASSES, rows)) % CLASSES, truth)
    columns: dict[str, Any] = {name: values[:, i] for i, name in enumerate(FEATURES)}
    return pa.table(columns | {"y": label, "c": [f"{prefix}{i:02d}" for i in sender]})


@pytest.fixture(scope="module")
def context() -> Context:
    """A baseline of 2,000 rows by 25 people; every p-value is reported."""
    table = batch_of(people(25, np.random.default_rng(1)), 2000, np.random.default_rng(2))
    sender, label = Options(report_level=1.0), LabelOptions(report_level=1.0)
    outlier = OutlierOptions(report_level=1.0, trees=20)
    baseline = Baseline(
        digest="",
        created_at="",
        key_id="",
        seed=0,
        roles=ROLES,
        schema=table.schema,
        parts=(),
        sample=table,
        keys=pa.table({"contributor": table["c"]}),
        edges={},
        thresholds={
            "AUD-C001": Contributors.calibrate(table, ROLES, sender, 0),
            "AUD-L001": LabelConsistency.calibrate(table, ROLES, label, 0),
            "AUD-F001": Outliers.calibrate(table, ROLES, outlier, 0),
        },
    )
    settings = {"AUD-C001": sender, "AUD-L001": label, "AUD-F001": outlier}
    return Context(seed=3, baseline=baseline, settings=settings)


def lowest(detector: Detector, table: pa.Table) -> float:
    """The smallest p-value among the findings."""
    found = detector.scan(TableBatch(table, ROLES)).findings
    return min((f.p_value for f in found if f.p_value is not None), default=1.0)


@pytest.mark.parametrize("prefix", ["new-", ""])
@pytest.mark.parametrize("rule", [Contributors, LabelConsistency])
def test_no_honest_contributor_and_no_class_is_accused(
    context: Context, rule: type[Detector], prefix: str
) -> None:
    detector, rng = rule.load(context), np.random.default_rng(4)
    batches = [batch_of(people(15, rng), 300, rng, prefix) for _ in range(60)]
    p = np.array([lowest(detector, table) for table in batches])
    assert binomial_tail(int((p <= BUDGET).sum()), len(p), BUDGET) > 1e-3
    assert binomial_tail(int((p <= 0.05).sum()), len(p), 0.05) > 1e-3, "not even conservative"


@pytest.mark.slow
def test_honest_rows_are_no_outliers(context: Context) -> None:
    detector, rng = Outliers.load(context), np.random.default_rng(5)
    p = np.array([lowest(detector, batch_of(people(15, rng), 300, rng)) for _ in range(40)])
    assert binomial_tail(int((p <= BUDGET).sum()), len(p), BUDGET) > 1e-3
    assert binomial_tail(int((p <= 0.05).sum()), len(p), 0.05) > 1e-3


def test_a_contributor_who_flips_is_accused_among_them(context: Context) -> None:
    detector, rng = Contributors.load(context), np.random.default_rng(6)
    who = [*people(14, rng), Sender(np.full(CLASSES, 1 / CLASSES), 0.6)]
    table = batch_of(who, 1200, rng)
    guilty = next(f for f in detector.scan(TableBatch(table, ROLES)).findings
                  if f.evidence.get("contributor") == "14")  # fmt: skip
    assert guilty.p_value is not None
    assert guilty.p_value < BUDGET
    honest = [
        f.evidence["contributor"]
        for f in detector.scan(TableBatch(table, ROLES)).findings
        if "contributor" in f.evidence and f.p_value is not None and f.p_value <= BUDGET
    ]
    assert honest == ["14"]
