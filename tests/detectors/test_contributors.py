"""AUD-C001 on small made-up batches: with and without a baseline, and with odd contributors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from auditor.baseline import Baseline
from auditor.batch import Roles, TableBatch
from auditor.context import Context
from auditor.detectors.contributors import Contributors, Options
from auditor.errors import Unavailable
from auditor.model import Finding

ROLES = Roles({"feature": ("a", "b", "c"), "label": ("y",), "contributor": ("who",)})
BUDGET = 0.002


def rows(count: int, senders: list[str] | None, seed: int, wrong: dict[str, float]) -> pa.Table:
    """Two classes apart by 3 standard deviations; `wrong`: share of flipped labels by sender."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, count)
    values = rng.normal(size=(count, 3)) + 1.75 * label[:, None]
    who = senders or [f"c{i:02d}" for i in rng.integers(0, 20, count)]
    flipped = rng.random(count) < np.array([wrong.get(name, 0.02) for name in who])
    columns = {name: values[:, i] for i, name in enumerate("abc")}
    return pa.table(columns | {"y": np.where(flipped, 1 - label, label), "who": pa.array(who)})


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    table = rows(800, None, 1, {})
    stored = Contributors.calibrate(table, ROLES, Options(), 0)
    return Baseline(
        digest="",
        created_at="",
        key_id="",
        seed=0,
        roles=ROLES,
        schema=table.schema,
        parts=(),
        sample=table,
        keys=pa.table({"contributor": table["who"]}),
        edges={},
        thresholds={"AUD-C001": stored},
    )


def scan(
    table: pa.Table, baseline: Baseline | None, options: Options | None = None
) -> tuple[Finding, ...]:
    context = Context(seed=1, baseline=baseline, settings={"AUD-C001": options or Options()})
    return Contributors.load(context).scan(TableBatch(table, ROLES)).findings


def named(found: tuple[Finding, ...]) -> set[object]:
    return {f.evidence.get("contributor") for f in found if (f.p_value or 0.0) <= BUDGET}


@pytest.mark.parametrize("trusted", [True, False])
def test_two_who_flip_are_named_and_nobody_else(baseline: Baseline, trusted: bool) -> None:
    bad = {"c03": 0.8, "c11": 0.8}
    found = scan(rows(1000, None, 2, bad), baseline if trusted else None)
    assert named(found) == set(bad)
    assert all(f.calibrated for f in found)
    assert not named(scan(rows(1000, None, 2, {}), baseline if trusted else None))


def test_a_finding_says_what_was_carried_where_what_was_expected(baseline: Baseline) -> None:
    table = rows(1000, None, 3, {})
    mine = np.array([name == "c05" for name in table["who"].to_pylist()])
    zero = table["y"].to_numpy() == 0
    labels = np.where(mine, 1, table["y"].to_numpy())
    (found,) = (
        f for f in scan(table.set_column(3, "y", pa.array(labels)), baseline)
        if (f.p_value or 0.0) <= BUDGET
    )  # fmt: skip
    assert (found.evidence["carries"], found.evidence["looks_like"]) == ("1", "0")
    assert found.rows is not None
    chosen = set(found.rows["row"].to_pylist())
    bad = set(np.flatnonzero(mine & zero).tolist())
    assert len(chosen & bad) >= 0.9 * len(bad)
    assert chosen <= set(np.flatnonzero(mine).tolist())


def test_all_rows_are_named_only_where_it_is_asked_or_nearly_all_are_wrong(
    baseline: Baseline,
) -> None:
    for share, whole, complete in (
        (0.95, "auto", True),
        (0.35, "auto", False),
        (0.35, "always", True),
        (0.8, "never", False),
    ):
        table = rows(1000, None, 4, {"c07": share})
        found = next(
            f for f in scan(table, baseline, Options(whole=whole))
            if f.evidence.get("contributor") == "c07"
        )  # fmt: skip
        assert found.evidence["all_rows"] is complete
        assert found.rows is not None
        assert (found.rows.num_rows == found.evidence["rows_in_group"]) is complete


def test_many_small_new_senders_count_as_one(baseline: Baseline) -> None:
    names = [f"c{i % 20:02d}" for i in range(600)] + [f"new-{i}" for i in range(30)]
    bad = dict.fromkeys(names[600:], 0.9)
    found = [f for f in scan(rows(630, names, 5, bad), baseline) if (f.p_value or 0.0) <= BUDGET]
    assert found
    assert all("contributors" in f.evidence for f in found)
    chosen = {row for f in found if f.rows is not None for row in f.rows["row"].to_pylist()}
    assert len([row for row in chosen if row >= 600]) >= 20
    assert len([row for row in chosen if row < 600]) <= 3
    assert not named(scan(rows(630, names, 5, {}), baseline))


def test_without_a_baseline_few_contributors_are_only_noted() -> None:
    names = [f"c{i % 4}" for i in range(600)]
    found = scan(rows(600, names, 6, {"c1": 0.5}), None)
    assert found
    assert not any(f.calibrated for f in found)


def test_one_contributor_is_held_against_the_baseline(baseline: Baseline) -> None:
    assert named(scan(rows(200, ["c01"] * 200, 7, {"c01": 0.5}), baseline)) == {"c01"}
    assert not named(scan(rows(200, ["c01"] * 200, 7, {}), baseline))


def test_rows_without_a_contributor_are_a_group(baseline: Baseline) -> None:
    table = rows(1000, None, 8, {"c09": 0.8})
    who = [None if name == "c09" else name for name in table["who"].to_pylist()]
    assert named(scan(table.set_column(4, "who", pa.array(who)), baseline)) == {"(missing)"}


def test_what_cannot_be_judged_is_unavailable(baseline: Baseline) -> None:
    table = rows(300, None, 9, {})
    nobody = table.set_column(4, "who", pa.nulls(300, pa.string()))
    with pytest.raises(Unavailable, match="no row has a value"):
        scan(nobody, baseline)
    unlabelled = table.set_column(3, "y", pa.nulls(300, pa.int64()))
    with pytest.raises(Unavailable, match="no row has a label"):
        scan(unlabelled, baseline)
    with pytest.raises(Unavailable, match="build it again"):
        scan(table, replace(baseline, thresholds={}))
