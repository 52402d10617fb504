"""AUD-F001: one fold for many trusted rows, contributors by themselves, stored panels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from auditor.baseline import Baseline
from auditor.batch import Roles, TableBatch
from auditor.context import Context
from auditor.detectors.outliers import ONE_FOLD_ROWS, Options, Outliers
from auditor.errors import Unavailable

ROLES = Roles({"feature": ("a", "b"), "contributor": ("who",)})
SETTINGS = Options(trees=6)


def table(rows: int, seed: int) -> pa.Table:
    """Two columns that go together, from twenty contributors."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=rows)
    who = [f"c{i}" for i in rng.integers(0, 20, rows)]
    return pa.table({"a": a, "b": a + 0.1 * rng.normal(size=rows), "who": who})


def baseline(rows: int) -> Baseline:
    trusted = table(rows, 1)
    return Baseline(
        digest="",
        created_at="",
        key_id="",
        seed=1,
        roles=ROLES,
        schema=trusted.schema,
        parts=(),
        sample=trusted,
        keys=trusted,
        edges={},
        thresholds={"AUD-F001": Outliers.calibrate(trusted, ROLES, SETTINGS, 1)},
    )


def load(known: Baseline) -> Outliers:
    return Outliers.load(Context(seed=1, baseline=known, settings={"AUD-F001": SETTINGS}))


SMALL = baseline(300)


@pytest.mark.parametrize(("rows", "folds"), [(300, 3), (ONE_FOLD_ROWS, 1)])
def test_many_trusted_rows_need_one_fold(rows: int, folds: int) -> None:
    detector = load(SMALL if rows == 300 else baseline(rows))
    assert detector.trusted is not None
    assert len(detector.trusted) == folds
    findings = detector.scan(TableBatch(table(400, 2), ROLES)).findings
    assert all(f.p_value is not None and f.p_value > 0.002 for f in findings)


def test_a_contributor_of_torn_rows_is_named() -> None:
    batch = table(400, 3)
    own = np.array([w == "c7" for w in batch["who"].to_pylist()])
    torn = np.where(own, -batch["b"].to_numpy(), batch["b"].to_numpy())
    found = load(SMALL).scan(TableBatch(batch.set_column(1, "b", pa.array(torn)), ROLES)).findings
    named = [f for f in found if "contributor" in f.evidence and f.p_value < 0.002]
    assert [f.evidence["contributor"] for f in named] == ["c7"]
    assert set(named[0].rows["row"].to_pylist()) <= set(np.flatnonzero(own).tolist())


def test_thresholds_of_another_panel_are_refused() -> None:
    old = {**SMALL.thresholds["AUD-F001"], "panel": 1}
    with pytest.raises(Unavailable, match="build it again"):
        load(replace(SMALL, thresholds={"AUD-F001": old}))
