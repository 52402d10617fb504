"""Nothing, one row, nulls only, roles that are missing: a reason or a clean outcome, no crash."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest

from auditor.batch import Roles, TableBatch
from auditor.context import Context, Detector
from auditor.errors import Unavailable
from auditor.model import Outcome

Load = Callable[[type[Detector]], Detector]


def scan(detector: Detector, batch: TableBatch) -> Outcome | None:
    """None where the detector says that it cannot run, with a reason that names something."""
    try:
        outcome = detector.scan(batch)
    except Unavailable as reason:
        assert len(str(reason)) > 5
        return None
    assert outcome.failed is None
    assert outcome.rule == detector.rule.id
    named = [f.rows.column("row").to_numpy() for f in outcome.findings if f.rows is not None]
    assert all(((rows >= 0) & (rows < batch.rows)).all() for rows in named)
    return outcome


def without_values(table: pa.Table, column: str, *, typed: bool) -> pa.Table:
    kind = table.schema.field(column).type if typed else pa.null()
    place = table.schema.get_field_index(column)
    return table.set_column(place, column, pa.nulls(table.num_rows, kind))


def odd_batches(busy: TableBatch) -> Iterator[tuple[str, TableBatch]]:
    table, roles = busy.table, busy.roles
    yield "no rows", TableBatch(table.slice(0, 0), roles)
    yield "one row", TableBatch(table.slice(0, 1), roles)
    yield "the same row", TableBatch(table.take(pa.array([3] * 60)), roles)
    for role in ("feature", "label", "contributor", "timestamp"):
        column = roles.columns(role)[0]
        yield f"nulls in {role}", TableBatch(without_values(table, column, typed=True), roles)
        yield f"no type in {role}", TableBatch(without_values(table, column, typed=False), roles)
    for role in roles.assigned:
        rest = Roles({name: columns for name, columns in roles.assigned.items() if name != role})
        yield f"no {role} role", TableBatch(table, rest)
    yield "no roles", TableBatch(table, Roles())


def test_odd_batches_against_a_baseline(
    detector: type[Detector], load: Load, busy: TableBatch
) -> None:
    for name, batch in odd_batches(busy):
        try:
            scan(load(detector), batch)
        except Exception as error:
            pytest.fail(f"{name}: {type(error).__name__}: {error}")


def test_odd_batches_without_a_baseline(
    detector: type[Detector], busy: TableBatch, diamonds_context: Context
) -> None:
    bare = Context(seed=1, site_key=b"k" * 32, settings=diamonds_context.settings)
    try:
        loaded = detector.load(bare)
    except Unavailable:
        return
    for name, batch in odd_batches(busy):
        try:
            outcome = scan(loaded, batch)
        except Exception as error:
            pytest.fail(f"{name}: {type(error).__name__}: {error}")
        if outcome is not None:
            assert not [f for f in outcome.findings if f.calibrated and f.p_value == 0.0]


def test_the_batch_and_the_baseline_are_left_as_they_were(
    detector: type[Detector], load: Load, busy: TableBatch, diamonds_context: Context
) -> None:
    baseline = diamonds_context.baseline
    assert baseline is not None
    tables = (busy.table, baseline.sample, baseline.keys)
    before = [_bytes(table) for table in tables]
    load(detector).scan(busy)
    assert [_bytes(table) for table in tables] == before


def _bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


def test_findings_name_each_row_once(detector: type[Detector], load: Load, busy: TableBatch) -> None:
    outcome = load(detector).scan(busy)
    for table in [f.rows for f in outcome.findings if f.rows is not None] + [outcome.ranking]:
        if table is not None:
            rows = table.column("row").to_pylist()
            assert len(rows) == len(set(rows))


def test_suspicions_and_p_values_are_probabilities(
    detector: type[Detector], load: Load, busy: TableBatch
) -> None:
    for finding in load(detector).scan(busy).findings:
        assert finding.p_value is None or 0.0 < finding.p_value <= 1.0
        if finding.rows is not None and finding.rows.num_rows:
            worst = finding.rows.column("suspicion").to_numpy()
            assert worst.min() >= 0.0
            assert worst.max() <= 1.0
