"""AUD-T002 over several batches: a trigger that no single batch holds enough of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from auditor.batch import Roles, TableBatch
from auditor.context import Context
from auditor.detectors.slow_triggers import SlowTriggers
from auditor.detectors.triggers import Triggers
from auditor.errors import Unavailable
from auditor.history import HistoryStore, Past, Record
from auditor.model import Finding, Outcome
from auditor.redteam import low_and_slow
from auditor.rowhash import scheme

BATCHES, ROWS = 6, 300
LEVEL = 0.001  # half of the trigger family's share


@pytest.fixture(scope="module")
def parts(diamonds_clean: pa.Table) -> list[pa.Table]:
    order = np.random.default_rng(5).permutation(diamonds_clean.num_rows)
    mixed = diamonds_clean.take(pa.array(order))
    return [mixed.slice(ROWS * i, ROWS) for i in range(BATCHES)]


@pytest.fixture(scope="module")
def planted(
    parts: list[pa.Table], diamonds_roles: Roles, diamonds_context: Context
) -> list[pa.Table]:
    assert diamonds_context.baseline is not None
    trusted = diamonds_context.baseline.sample
    found = low_and_slow.plant_over(parts, diamonds_roles, rows=6, seed=3, trusted=trusted)
    return [one.table for one in found]


def record(table: pa.Table, roles: Roles, digest: str, context: Context) -> Record:
    return Record(
        batch=digest,
        verdict="ACCEPT",
        vouched=False,
        rows=table.num_rows,
        scheme=scheme(table.schema, roles.content, context.site_key),
        sample=table.select(roles.learned.named),
    )


def over(place: Path, batches: Sequence[pa.Table], roles: Roles, context: Context) -> list[Outcome]:
    """Each batch judged with what those before it published."""
    store = HistoryStore(place / "history.db")
    found = []
    for number, table in enumerate(batches):
        batch = TableBatch(table, roles, digest=f"{number:064x}")
        own = replace(context, history=Past(store, batch.digest))
        detector = SlowTriggers.load(own)
        if number:
            found.append(detector.scan(batch))
        else:
            with pytest.raises(Unavailable, match="earlier batch"):
                detector.scan(batch)
        store.add(number, record(table, roles, batch.digest, context))
    return found


def within(outcome: Outcome) -> list[Finding]:
    return [f for f in outcome.findings if f.calibrated and (f.p_value or 0.0) <= LEVEL]


def test_what_is_too_little_in_each_batch_is_found_over_six(
    tmp_path: Path, planted: list[pa.Table], diamonds_roles: Roles, diamonds_context: Context
) -> None:
    for table in planted:
        alone = Triggers.load(diamonds_context).scan(TableBatch(table, diamonds_roles))
        assert not within(alone)
    last = within(over(tmp_path, planted, diamonds_roles, diamonds_context)[-1])
    assert last
    finding = last[0]
    assert finding.rows is not None
    rows = finding.rows.column("row").to_numpy()
    assert len(rows) == finding.evidence["rows_in_batch"] >= 5
    assert rows.max() < ROWS  # of this batch only
    assert len(str(finding.evidence["earlier_batches"]).split(", ")) == 5


def test_clean_batches_stay_clean(
    tmp_path: Path, parts: list[pa.Table], diamonds_roles: Roles, diamonds_context: Context
) -> None:
    for outcome in over(tmp_path, parts, diamonds_roles, diamonds_context):
        assert not within(outcome)


def test_the_same_batch_again_is_no_earlier_one(
    tmp_path: Path, planted: list[pa.Table], diamonds_roles: Roles, diamonds_context: Context
) -> None:
    store = HistoryStore(tmp_path / "history.db")
    batch = TableBatch(planted[0], diamonds_roles, digest="7" * 64)
    store.add(0, record(planted[0], diamonds_roles, batch.digest, diamonds_context))
    own = replace(diamonds_context, history=Past(store, batch.digest))
    with pytest.raises(Unavailable, match="earlier batch"):
        SlowTriggers.load(own).scan(batch)
    other = replace(diamonds_context, history=Past(store, "8" * 64))
    named = scheme(batch.schema, diamonds_roles.content, diamonds_context.site_key)
    assert other.history is not None
    assert sum(one.rows.num_rows for one in other.history.recent(named, 10_000)) == ROWS
    assert sum(one.rows.num_rows for one in other.history.recent(named, 20)) == 20


def test_batches_with_other_columns_are_not_pooled(
    tmp_path: Path, planted: list[pa.Table], diamonds_roles: Roles, diamonds_context: Context
) -> None:
    store = HistoryStore(tmp_path / "history.db")
    for number, table in enumerate(planted[:5]):
        one = record(table, diamonds_roles, f"{number:064x}", diamonds_context)
        store.add(number, replace(one, sample=one.sample.drop_columns(["cut"])))
    batch = TableBatch(planted[5], diamonds_roles, digest="9" * 64)
    own = replace(diamonds_context, history=Past(store, batch.digest))
    with pytest.raises(Unavailable, match="earlier batch"):
        SlowTriggers.load(own).scan(batch)


def test_it_needs_a_baseline_and_an_earlier_batch(
    planted: list[pa.Table], diamonds_roles: Roles, diamonds_context: Context
) -> None:
    with pytest.raises(Unavailable, match="baseline"):
        SlowTriggers.load(replace(diamonds_context, baseline=None))
    batch = TableBatch(planted[0], diamonds_roles)
    with pytest.raises(Unavailable, match="earlier batch"):
        SlowTriggers.load(diamonds_context).scan(batch)
    with pytest.raises(Unavailable, match="at least 50 rows"):
        SlowTriggers.load(diamonds_context).scan(
            TableBatch(planted[0].slice(0, 30), diamonds_roles)
        )


def test_a_batch_that_leaves_no_room_for_earlier_rows_says_so(
    planted: list[pa.Table], diamonds_roles: Roles, diamonds_context: Context
) -> None:
    assert diamonds_context.baseline is not None
    few = replace(
        diamonds_context.baseline, sample=diamonds_context.baseline.sample.slice(0, ROWS // 5)
    )
    with pytest.raises(Unavailable, match="4 rows for each trusted one"):
        SlowTriggers.load(replace(diamonds_context, baseline=few)).scan(
            TableBatch(planted[0], diamonds_roles)
        )
