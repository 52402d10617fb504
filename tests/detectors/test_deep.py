"""The rules of the deep profile, and AUD-L003: what they need, and that chunks change nothing."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from auditor.batch import Roles, TableBatch
from auditor.calibration import Plan, build
from auditor.context import Context, Detector
from auditor.detectors import DEEP
from auditor.detectors.target_residuals import TargetResiduals
from auditor.errors import Unavailable
from auditor.model import Outcome

pytestmark = pytest.mark.slow

CLASSES = Roles(
    {"feature": ("a", "b"), "label": ("y",), "contributor": ("who",), "embedding": ("v",)}
)
NUMBERS = Roles({"feature": ("a", "b"), "label": ("z",), "contributor": ("who",)})
FORTY = pa.array(range(40))


def rows(count: int, seed: int, bad: str = "") -> pa.Table:
    """Two classes, a target and vectors that follow from a and b; the labels of `bad` are wrong."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, count))
    who = np.array([f"c{i:02d}" for i in rng.integers(0, 16, count)])
    right = (a > 0) != (who == bad)
    return pa.table(
        {
            "a": a,
            "b": b,
            "who": who.tolist(),
            "y": np.where(right, "up", "down").tolist(),
            "z": np.where(who == bad, 9.0, a + 0.5 * b) + 0.1 * rng.normal(size=count),
            "v": np.column_stack([a, b, rng.normal(size=count)]).tolist(),
        }
    )


def context(roles: Roles) -> Context:
    plan = Plan(
        name="t", site_key=b"k" * 32, now=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), options={},
        resamples=0, detectors=(TargetResiduals,),
    )  # fmt: skip
    return Context(seed=1, baseline=build(TableBatch(rows(600, 1), roles), plan))


@pytest.fixture(scope="module", params=[*DEEP, TargetResiduals], ids=lambda d: d.rule.id)
def loaded(request: pytest.FixtureRequest) -> tuple[type[Detector], Detector, Roles]:
    roles = NUMBERS if request.param is TargetResiduals else CLASSES
    return request.param, request.param.load(context(roles)), roles


def same(one: Outcome, two: Outcome) -> None:
    assert [f.message for f in one.findings] == [f.message for f in two.findings]
    for a, b in zip(one.findings, two.findings, strict=True):
        assert a.p_value == pytest.approx(b.p_value, rel=1e-9)
        assert a.rows == b.rows


def test_chunks_and_repetition_change_nothing(
    loaded: tuple[type[Detector], Detector, Roles],
) -> None:
    _, detector, roles = loaded
    table = rows(500, 2, bad="c03")
    whole = detector.scan(TableBatch(table, roles))
    same(whole, detector.scan(TableBatch(table, roles, chunk_rows=7)))
    same(whole, detector.scan(TableBatch(table, roles)))


def test_the_bad_contributor_is_found_where_its_labels_are_wrong(
    loaded: tuple[type[Detector], Detector, Roles],
) -> None:
    kind, detector, roles = loaded
    if kind.rule.id == "AUD-N003":
        pytest.skip("wrong labels form no second group here; see tests/drills/test_deep.py")
    found = detector.scan(TableBatch(rows(500, 2, bad="c03"), roles)).findings
    named = {f.evidence.get("contributor"): f.p_value for f in found}
    assert named["c03"] < 0.002
    assert {p for name, p in named.items() if name not in (None, "c03")} == set()


def test_nothing_is_found_in_rows_like_the_trusted_ones(
    loaded: tuple[type[Detector], Detector, Roles],
) -> None:
    _, detector, roles = loaded
    found = detector.scan(TableBatch(rows(500, 3), roles)).findings
    assert [f for f in found if f.p_value is None or f.p_value <= 0.002] == []


def test_without_what_they_need_they_say_so(
    loaded: tuple[type[Detector], Detector, Roles],
) -> None:
    kind, detector, roles = loaded
    table = rows(500, 4)
    for odd in (
        TableBatch(table.take(FORTY), roles),
        TableBatch(table, replace(roles, assigned={"feature": ("a", "b")})),
        TableBatch(table.drop_columns(["a", "v"]), roles),
    ):
        with pytest.raises(Unavailable):
            detector.scan(odd)
    if kind in DEEP:
        with pytest.raises(Unavailable, match="needs a baseline"):
            kind.load(Context(seed=1))


def test_a_target_of_classes_and_a_label_of_numbers_are_for_another_rule() -> None:
    regression, classes = TargetResiduals.load(context(NUMBERS)), DEEP[0].load(context(NUMBERS))
    with pytest.raises(Unavailable, match="of classes"):
        regression.scan(TableBatch(rows(500, 5), CLASSES))
    with pytest.raises(Unavailable, match="real number"):
        classes.scan(TableBatch(rows(500, 5), NUMBERS))


def test_a_baseline_without_thresholds_is_said() -> None:
    built = context(NUMBERS)
    assert built.baseline is not None
    bare = replace(built, baseline=replace(built.baseline, thresholds={}))
    with pytest.raises(Unavailable, match="build it again"):
        TargetResiduals.load(bare).scan(TableBatch(rows(500, 5), NUMBERS))


def test_without_a_baseline_wrong_targets_are_ranked_and_nothing_is_claimed() -> None:
    table = rows(500, 6, bad="c03")
    outcome = TargetResiduals.load(Context(seed=1)).scan(TableBatch(table, NUMBERS))
    assert outcome.findings == ()
    assert outcome.ranking is not None
    worst = outcome.ranking["row"].to_pylist()[:10]
    assert [table["who"][row].as_py() for row in worst].count("c03") >= 9
