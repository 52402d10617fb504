"""Nothing, one row, nulls only, roles that are missing: a reason or a clean outcome, no crash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pyarrow as pa
import pytest

from auditor.batch import Roles, TableBatch
from auditor.context import Context, Detector
from auditor.errors import Unavailable

pytestmark = pytest.mark.slow

Load = Callable[[type[Detector]], Detector]


def _without_values(batch: TableBatch, column: str, *, typed: bool) -> TableBatch:
    table = batch.table
    kind = table.schema.field(column).type if typed else pa.null()
    place = table.schema.get_field_index(column)
    return replace(batch, table=table.set_column(place, column, pa.nulls(table.num_rows, kind)))


def _without_role(batch: TableBatch, role: str) -> TableBatch:
    rest = {name: columns for name, columns in batch.roles.assigned.items() if name != role}
    return replace(batch, roles=Roles(rest))


ODD = {
    "no rows": lambda b: replace(b, table=b.table.slice(0, 0)),
    "one row": lambda b: replace(b, table=b.table.slice(0, 1)),
    "one row many times": lambda b: replace(b, table=b.table.take(pa.array([3] * 60))),
    "no roles": lambda b: replace(b, roles=Roles()),
    **{
        f"nothing in {column}, {kind}": partial(_without_values, column=column, typed=typed)
        for column in ("carat", "cut", "price_band", "contributor", "collected_at")
        for kind, typed in (("typed", True), ("untyped", False))
    },
    **{
        f"no {role} role": partial(_without_role, role=role)
        for role in ("id", "feature", "label", "contributor", "timestamp")
    },
}


def assert_clean_or_unavailable(detector: Detector, batch: TableBatch) -> None:
    """Any other exception than `Unavailable` fails the test by itself."""
    try:
        outcome = detector.scan(batch)
    except Unavailable as error:
        reason = str(error)
    else:
        reason = "it ran"
        assert (outcome.rule, outcome.failed) == (detector.rule.id, None)
        named = [f.rows.column("row").to_numpy() for f in outcome.findings if f.rows is not None]
        assert all(((rows >= 0) & (rows < batch.rows)).all() for rows in named)
    assert len(reason) > 5


@pytest.mark.parametrize("name", ODD)
def test_odd_batches_against_a_baseline(
    detector: type[Detector], load: Load, busy: TableBatch, name: str
) -> None:
    assert_clean_or_unavailable(load(detector), ODD[name](busy))


@pytest.mark.parametrize("name", ODD)
def test_odd_batches_without_a_baseline(
    detector: type[Detector], busy: TableBatch, name: str, bare: Callable
) -> None:
    loaded = bare(detector)
    if loaded is None:
        pytest.skip("it needs more than a batch")
    assert_clean_or_unavailable(loaded, ODD[name](busy))


@pytest.fixture(scope="module")
def bare(diamonds_settings: dict[str, object]) -> Callable[[type[Detector]], Detector | None]:
    """Each detector without baseline and suite, None where it says that it needs them."""
    context = Context(seed=1, site_key=b"k" * 32, settings=diamonds_settings)

    def load_bare(detector: type[Detector]) -> Detector | None:
        try:
            return detector.load(context)
        except Unavailable:
            return None

    return load_bare


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


def test_findings_name_each_row_once(
    detector: type[Detector], load: Load, busy: TableBatch
) -> None:
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
