"""AUD-C004 over several batches: found by what adds up, and by nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from auditor.baseline import Baseline
from auditor.batch import Roles, TableBatch
from auditor.context import Context, subject_of
from auditor.detectors.contributors import Contributors
from auditor.detectors.low_and_slow import LowAndSlow, Options
from auditor.errors import Unavailable
from auditor.model import Evidence, Finding, Outcome

ROLES = Roles({"feature": ("a", "b", "c"), "label": ("y",), "contributor": ("who",)})
LEVEL = 0.001  # half of the contributor family's share
NAMES = [f"c{i:02d}" for i in range(16)]


def rows(seed: int, wrong: dict[str, float], count: int = 320) -> pa.Table:
    """Two classes apart by 3.5 standard deviations; `wrong`: share of flipped labels by sender."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, count)
    values = rng.normal(size=(count, 3)) + 2.0 * label[:, None]
    who = [NAMES[i] for i in rng.integers(0, len(NAMES), count)]
    flipped = rng.random(count) < np.array([wrong.get(name, 0.01) for name in who])
    columns = {name: values[:, i] for i, name in enumerate("abc")}
    return pa.table(columns | {"y": np.where(flipped, 1 - label, label), "who": pa.array(who)})


def a_little(table: pa.Table, name: str) -> pa.Table:
    """Two labels of one contributor changed: too few to be named in a batch."""
    labels = table["y"].to_numpy().copy()
    mine = np.flatnonzero(np.array(table["who"].to_pylist()) == name)[:2]
    labels[mine] = 1 - labels[mine]
    return table.set_column(3, "y", pa.array(labels))


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    table = rows(1, {}, 800)
    stored = LowAndSlow.calibrate(table, ROLES, Options(), 0)
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
        thresholds={"AUD-C004": stored, "AUD-C001": stored},
    )


Sums = dict[tuple[str, str], Evidence]


def added(sums: Sums, outcome: Outcome) -> Sums:
    """What the shell does with the updates of a batch that was published."""
    found = dict(sums)
    for one in outcome.updates:
        assert isinstance(one, Evidence)
        key = (subject_of(one.subject), one.name)
        before = found.get(key)
        values = np.array(one.values) + (np.array(before.values) if before else 0)
        found[key] = Evidence(
            subject=key[0],
            name=key[1],
            values=tuple(values.tolist()),
            batches=before.batches + 1 if before else 1,
        )
    return found


def context(baseline: Baseline, sums: Sums, **more: bool) -> Context:
    return Context(seed=1, baseline=baseline, cumulative={"AUD-C004": sums}, **more)


def over(baseline: Baseline, batches: Sequence[pa.Table]) -> list[set[object]]:
    """Who is named in each batch within the error budget."""
    sums: Sums = {}
    found = []
    for table in batches:
        outcome = LowAndSlow.load(context(baseline, sums)).scan(TableBatch(table, ROLES))
        found.append(named(outcome.findings))
        sums = added(sums, outcome)
    return found


def named(findings: Sequence[Finding]) -> set[object]:
    return {f.evidence.get("contributor") for f in findings if (f.p_value or 0.0) <= LEVEL}


def test_what_is_too_little_in_each_batch_is_found_over_ten(baseline: Baseline) -> None:
    batches = [a_little(rows(100 + number, {}), "c05") for number in range(10)]
    for table in batches:
        alone = Contributors.load(context(baseline, {})).scan(TableBatch(table, ROLES))
        assert not named(alone.findings)
    found = over(baseline, batches)
    assert found[-1] == {"c05"}
    assert set().union(*found) == {"c05"}


def test_the_clean_twin_names_nobody(baseline: Baseline) -> None:
    assert over(baseline, [rows(100 + number, {}) for number in range(10)]) == [set()] * 10


def test_a_finding_names_rows_that_are_likely_wrong(baseline: Baseline) -> None:
    sums: Sums = {}
    for number in range(10):
        batch = TableBatch(a_little(rows(100 + number, {}), "c05"), ROLES)
        outcome = LowAndSlow.load(context(baseline, sums)).scan(batch)
        sums = added(sums, outcome)
    (found,) = (f for f in outcome.findings if (f.p_value or 0.0) <= LEVEL)
    assert found.rows is not None
    positions = found.rows.column("row").to_pylist()
    assert {batch.table["who"][row].as_py() for row in positions} == {"c05"}
    assert len(positions) <= 8
    assert found.evidence["batches"] == 10
    assert "over 10 batches" in found.message


def test_one_batch_alone_is_left_to_the_other_rule(baseline: Baseline) -> None:
    table = TableBatch(rows(7, {"c05": 0.9}), ROLES)
    first = LowAndSlow.load(context(baseline, {})).scan(table)
    assert first.findings == ()
    second = LowAndSlow.load(context(baseline, added({}, first))).scan(
        TableBatch(rows(8, {"c05": 0.9}), ROLES)
    )
    assert named(second.findings) == {"c05"}


def test_the_same_batch_again_adds_nothing(baseline: Baseline) -> None:
    batch = TableBatch(rows(7, {"c05": 0.5}), ROLES)
    sums = added({}, LowAndSlow.load(context(baseline, {})).scan(batch))
    sums = added(
        sums, LowAndSlow.load(context(baseline, sums)).scan(TableBatch(rows(8, {}), ROLES))
    )
    again = LowAndSlow.load(context(baseline, sums, again=True)).scan(batch)
    assert again.updates == ()
    twice = LowAndSlow.load(context(baseline, sums)).scan(batch)
    own = {f.evidence["contributor"]: f.p_value for f in again.findings}
    assert all(f.p_value <= own.get(f.evidence["contributor"], 1.0) for f in twice.findings)
    assert twice.updates != ()


def test_good_batches_outweigh_an_old_suspicion(baseline: Baseline) -> None:
    bad = [rows(100 + number, {"c05": 0.2}) for number in range(5)]
    found = over(baseline, [*bad, *(rows(300 + number, {}) for number in range(12))])
    assert any(found)
    assert found[-1] == set()


def test_rows_without_a_name_are_nobody(baseline: Baseline) -> None:
    table = rows(9, {})
    who = [None if name == "c03" else name for name in table["who"].to_pylist()]
    table = table.set_column(4, "who", pa.array(who))
    updates = LowAndSlow.load(context(baseline, {})).scan(TableBatch(table, ROLES)).updates
    assert {u.subject for u in updates if isinstance(u, Evidence)} == set(NAMES) - {"c03"}


def test_it_needs_a_baseline_with_thresholds(baseline: Baseline) -> None:
    from dataclasses import replace

    with pytest.raises(Unavailable, match="needs a baseline"):
        LowAndSlow.load(Context())
    with pytest.raises(Unavailable, match="build it again"):
        LowAndSlow.load(Context(baseline=replace(baseline, thresholds={})))
