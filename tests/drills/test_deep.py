"""Drills of the rules for real-valued targets and of the deep profile; clean twins beside them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from auditor import calibration
from auditor.batch import Roles, TableBatch
from auditor.context import Context
from auditor.detectors.class_structure import ClassStructure
from auditor.detectors.collisions import Collisions
from auditor.detectors.group_influence import GroupInfluence
from auditor.detectors.row_values import RowValues
from auditor.detectors.target_residuals import TargetResiduals
from auditor.model import Effect, Finding
from auditor.redteam import ATTACKS_BY_NAME, collision, regression

pytestmark = pytest.mark.slow

BUDGET = 0.002

VECTORS = Roles({"label": ("price_band",), "embedding": ("vector",)})


@pytest.fixture(scope="module")
def activations() -> Callable[..., pa.Table]:
    """Adds made activations: a place for each class, and another one for the rows of `mask`."""
    places = np.random.default_rng(5).normal(size=(5, 16))

    def add(table: pa.Table, seed: int, mask: np.ndarray | None) -> pa.Table:
        of = {"low": 0, "medium": 1, "high": 2, "top": 3}
        codes = np.array([of[v] for v in table["price_band"].to_pylist()])
        if mask is not None:
            codes[mask] = 4
        noise = np.random.default_rng(seed).normal(size=(table.num_rows, 16))
        vectors = pa.array((places[codes] + 0.5 * noise).tolist(), pa.list_(pa.float64()))
        return table.append_column("vector", vectors)

    return add


@pytest.fixture(scope="module")
def group_context(activations: Callable, diamonds_trusted: pa.Table) -> Context:
    plan = calibration.Plan(
        name="vectors", site_key=b"k" * 32, now=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        options={}, resamples=0, detectors=(),
    )  # fmt: skip
    batch = TableBatch(activations(diamonds_trusted, 1, None), VECTORS)
    return Context(seed=1, site_key=b"k" * 32, baseline=calibration.build(batch, plan))


def group_claims(context: Context, table: pa.Table) -> list[Finding]:
    found = ClassStructure.load(context).scan(TableBatch(table, VECTORS)).findings
    return [f for f in found if f.p_value is not None and f.p_value <= BUDGET]


@pytest.mark.slow
@pytest.mark.parametrize("detector", [GroupInfluence, RowValues])
def test_contributors_who_flip_labels_do_harm(
    clean_twin: pa.Table,
    diamonds_roles: Roles,
    diamonds_trusted: pa.Table,
    drill: Callable,
    detector: type,
) -> None:
    planted = ATTACKS_BY_NAME["label-flip"](
        clean_twin, diamonds_roles, rows=120, seed=11, trusted=diamonds_trusted
    )
    found = drill(detector, planted.table)
    assert found.found(planted.mask, Effect.QUARANTINE) >= 0.9
    senders = planted.table["contributor"].to_pylist()
    bad = {senders[row] for row in np.flatnonzero(planted.mask)}
    assert {senders[row] for row in found.own} == bad


def test_rows_moved_to_another_class_are_set_aside(
    clean_twin: pa.Table, diamonds_roles: Roles, diamonds_trusted: pa.Table, drill: Callable
) -> None:
    planted = collision.plant(
        clean_twin, diamonds_roles, rows=90, seed=11, trusted=diamonds_trusted
    )
    assert drill(Collisions, planted.table).found(planted.mask, Effect.QUARANTINE) >= 0.6


def test_a_second_group_in_a_class_is_set_aside(
    activations: Callable, clean_twin: pa.Table, group_context: Context
) -> None:
    labels = np.array(clean_twin["price_band"].to_pylist())
    mask = np.zeros(clean_twin.num_rows, dtype=bool)
    mask[np.flatnonzero(labels == "low")[::8]] = True
    planted = activations(clean_twin, 2, mask)
    (only,) = group_claims(group_context, planted)
    assert only.evidence["label"] == "low"
    rows = set(only.rows["row"].to_pylist())
    bad = set(np.flatnonzero(mask).tolist())
    assert len(rows & bad) >= 0.9 * len(bad)
    assert len(rows - bad) <= 0.02 * clean_twin.num_rows


def test_in_the_clean_twin_no_class_has_a_second_group(
    activations: Callable, clean_twin: pa.Table, group_context: Context
) -> None:
    assert group_claims(group_context, activations(clean_twin, 2, None)) == []


# --- real-valued targets --------------------------------------------------------------------

FEATURES = ("cut", "color", "depth", "table", "x", "y", "z")
WEIGHT = Roles({"label": ("carat",), "feature": FEATURES, "contributor": ("contributor",)})


@pytest.fixture(scope="module")
def weight_context(diamonds_trusted: pa.Table) -> Context:
    plan = calibration.Plan(
        name="weight", site_key=b"k" * 32, now=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        options={}, resamples=0, detectors=(TargetResiduals,),
    )  # fmt: skip
    baseline = calibration.build(TableBatch(diamonds_trusted, WEIGHT), plan)
    return Context(seed=1, site_key=b"k" * 32, baseline=baseline)


def claims(context: Context, table: pa.Table) -> list[Finding]:
    found = TargetResiduals.load(context).scan(TableBatch(table, WEIGHT)).findings
    return [f for f in found if f.p_value is not None and f.p_value <= BUDGET]


def test_targets_at_the_wrong_end_are_found(weight_context: Context, clean_twin: pa.Table) -> None:
    planted = regression.plant(clean_twin, WEIGHT, rows=60, seed=11)
    rows = {row for f in claims(weight_context, planted.table) for row in f.rows["row"].to_pylist()}
    bad = set(np.flatnonzero(planted.mask).tolist())
    assert len(rows & bad) >= 0.9 * len(bad)
    assert len(rows - bad) <= 0.02 * clean_twin.num_rows


def test_in_the_clean_twin_targets_are_as_expected(
    weight_context: Context, clean_twin: pa.Table
) -> None:
    assert claims(weight_context, clean_twin) == []


def test_without_a_target_is_no_way_around(weight_context: Context, clean_twin: pa.Table) -> None:
    place = clean_twin.schema.get_field_index("carat")
    values = clean_twin["carat"].to_pylist()
    gone = pa.array([None if i < 40 else v for i, v in enumerate(values)], pa.float64())
    (only,) = claims(weight_context, clean_twin.set_column(place, "carat", gone))
    assert only.evidence["code"] == "LABEL_MISSING"
    assert pc.equal(only.rows["row"], pa.array(range(40))).to_pylist() == [True] * 40
