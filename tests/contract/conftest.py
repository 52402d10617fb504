"""A small batch in which every detector of today has something to say, and ways to compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from auditor.batch import Roles, TableBatch
from auditor.context import Context, Detector
from auditor.detectors import DETECTORS
from auditor.detectors.target_residuals import TargetResiduals
from auditor.history import HistoryStore, Past, Record
from auditor.rowhash import scheme


def changed(table: pa.Table, column: str, values: list[object]) -> pa.Table:
    place = table.schema.get_field_index(column)
    return table.set_column(place, column, pa.array(values, table.schema.field(column).type))


def flipped(table: pa.Table) -> pa.Table:
    other = {"low": "top", "medium": "top", "high": "low", "top": "low"}
    return changed(table, "price_band", [other[v] for v in table["price_band"].to_pylist()])


def far_off(table: pa.Table) -> pa.Table:
    for column in ("carat", "x"):
        table = changed(table, column, [v * 20 for v in table[column].to_pylist()])
    return table


@pytest.fixture(scope="session")
def busy_table(diamonds_clean: pa.Table, diamonds_trusted: pa.Table) -> pa.Table:
    """84 rows: 40 clean, known rows, copies, conflicting copies, far values, flipped labels.

    Three hold a hidden character, two a known-bad token."""
    clean = diamonds_clean.slice(0, 40)
    copies = clean.take(pa.array([0, 0, 0, 0, 1, 1, 1, 2]))
    conflicting = flipped(clean.slice(10, 8))
    far = far_off(diamonds_clean.slice(100, 8))
    parts = [clean, copies, conflicting, far, flipped(diamonds_clean.slice(200, 14))]
    parts.append(diamonds_trusted.slice(30, 6))
    rng = np.random.default_rng(3)
    table = pa.concat_tables(parts).combine_chunks()
    table = table.take(pa.array(rng.permutation(table.num_rows)))
    rows = table.num_rows
    table = changed(table, "row_id", [f"row-{i}" for i in range(rows)])
    table = changed(table, "contributor", [f"lab-{i % 4}" for i in range(rows)])
    cuts = table["cut"].to_pylist()
    cuts[:5] = [f"{cut}\u200b" if i < 3 else f"{cut} zq-trigger" for i, cut in enumerate(cuts[:5])]
    table = changed(table, "cut", cuts)
    # A time for each row, none twice, not in the order of the rows.
    when = (1_700_000_000 + 60 * rng.permutation(rows)) * 1_000_000
    return changed(table, "collected_at", when.tolist())


@pytest.fixture(scope="session")
def busy(busy_table: pa.Table, diamonds_roles: Roles) -> TableBatch:
    return TableBatch(busy_table, diamonds_roles)


@pytest.fixture(scope="session")
def context_of(
    diamonds_context: Context,
    diamonds_clean: pa.Table,
    diamonds_roles: Roles,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[type[Detector]], Context]:
    """The baseline and its context; for rules that need one, an earlier batch besides.

    Twelve of its rows are as far off as eight of the busy batch.
    """
    store = HistoryStore(tmp_path_factory.mktemp("history") / "history.db")
    far = far_off(diamonds_clean.slice(300, 12))
    rows = pa.concat_tables([far, diamonds_clean.slice(312, 388)])
    keyed = scheme(rows.schema, diamonds_roles.content, diamonds_context.site_key)
    record = Record(
        batch="e" * 64,
        verdict="ACCEPT",
        vouched=True,
        rows=rows.num_rows,
        scheme=keyed,
        sample=rows.select(diamonds_roles.learned.named),
    )
    store.add(0, record)
    with_earlier = replace(diamonds_context, history=Past(store, "f" * 64))
    return lambda detector: with_earlier if detector.rule.needs_earlier else diamonds_context


@pytest.fixture(scope="session")
def load(
    context_of: Callable[[type[Detector]], Context],
) -> Callable[[type[Detector]], Detector]:
    """Each detector against the baseline, loaded once: that is the expensive part."""
    loaded: dict[str, Detector] = {}

    def once(detector: type[Detector]) -> Detector:
        if detector.rule.id not in loaded:
            loaded[detector.rule.id] = detector.load(context_of(detector))
        return loaded[detector.rule.id]

    return once


#: A label of real numbers, or more rows than the busy batch has: tests/detectors scans the others.
HERE = [d for d in DETECTORS if d is not TargetResiduals]


@pytest.fixture(params=HERE, ids=[d.rule.id for d in HERE])
def detector(request: pytest.FixtureRequest) -> type[Detector]:
    found: type[Detector] = request.param
    return found
