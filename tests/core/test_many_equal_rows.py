"""Tables of few categories: every row equals many trusted ones, and the work stays linear."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from auditor import calibration
from auditor.baseline import Baseline
from auditor.batch import Roles, TableBatch
from auditor.context import Context
from auditor.detectors.conflicting_labels import ConflictingLabels

KEY = bytes(range(32))
ROLES = Roles({"feature": ("a",), "label": ("y",)})


class Counted(str):
    """A text that counts how often it is looked at."""

    __slots__ = ()
    looked = 0

    def __hash__(self) -> int:
        Counted.looked += 1
        return str.__hash__(self)


def table(rows: int) -> pa.Table:
    return pa.table({"a": ["x"] * rows, "y": ["no", "yes"] * (rows // 2)})


def test_the_labels_of_equal_trusted_rows_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = calibration.Plan(
        name="t",
        site_key=KEY,
        now=dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        options={},
        resamples=0,
        detectors=(),
    )
    baseline = calibration.build(TableBatch(table(400), ROLES), plan)
    plain = Baseline.trusted_texts

    def counted(self: Baseline, column: str) -> np.ndarray:
        return np.array([Counted(text) for text in plain(self, column)], dtype=object)

    monkeypatch.setattr(Baseline, "trusted_texts", counted)
    scanned = ConflictingLabels.load(Context(site_key=KEY, baseline=baseline)).scan(
        TableBatch(table(300), ROLES)
    )
    assert len(scanned.findings) == 1  # conflicts inside the batch, none with a trusted row
    assert Counted.looked < 2_000  # for each pair it would be 120,000
