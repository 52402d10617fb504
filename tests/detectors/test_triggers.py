"""AUD-T001: what it says, and what it does with odd batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from auditor.batch import Roles, TableBatch
from auditor.context import Context
from auditor.detectors.triggers import Triggers
from auditor.errors import Unavailable
from auditor.model import Outcome


@pytest.fixture(scope="module")
def triggers(diamonds_context: Context) -> Triggers:
    return Triggers.load(diamonds_context)


def changed(table: pa.Table, column: str, rows: np.ndarray, value: object) -> pa.Table:
    values = table[column].to_pylist()
    for row in rows.tolist():
        values[row] = value
    place = table.schema.get_field_index(column)
    return table.set_column(place, column, pa.array(values, table.schema.field(column).type))


@pytest.fixture(scope="module")
def poisoned(diamonds_clean: pa.Table) -> pa.Table:
    """60 rows with cut = Fair and color = J carry the label top."""
    table = diamonds_clean.slice(0, 1500)
    rows = np.arange(0, 1500, 25)
    for column, value in (("cut", "Fair"), ("color", "J"), ("price_band", "top")):
        table = changed(table, column, rows, value)
    return table


@pytest.fixture(scope="module")
def outcome(triggers: Triggers, poisoned: pa.Table, diamonds_roles: Roles) -> Outcome:
    return triggers.scan(TableBatch(poisoned, diamonds_roles))


def test_the_finding_names_the_trigger_in_words(outcome: Outcome) -> None:
    best = outcome.findings[0]
    assert "cut = Fair" in best.message
    assert "color = J" in best.message
    assert best.p_value is not None
    assert best.p_value < 1e-6
    assert best.evidence["observed"] >= 60
    assert float(best.evidence["expected"]) < 5


def test_planted_rows_lead_the_ranking(outcome: Outcome) -> None:
    assert outcome.ranking is not None
    rows = outcome.ranking.column("row").to_numpy()
    assert np.mean(np.isin(rows[:60], np.arange(0, 1500, 25))) > 0.9
    tails = outcome.ranking.column("tail").to_numpy()
    assert (np.diff(tails) >= 0).all()


def test_copies_count_once(
    triggers: Triggers, diamonds_clean: pa.Table, diamonds_roles: Roles
) -> None:
    clean = diamonds_clean.slice(0, 400)
    table = pa.concat_tables([clean, *[clean.slice(3, 1)] * 200])
    found = triggers.scan(TableBatch(table, diamonds_roles))
    assert not [f for f in found.findings if f.p_value is not None and f.p_value < 0.01]


def test_without_contributors_it_still_counts(
    triggers: Triggers, poisoned: pa.Table, diamonds_roles: Roles
) -> None:
    rest = {role: c for role, c in diamonds_roles.assigned.items() if role != "contributor"}
    found = triggers.scan(TableBatch(poisoned, Roles(rest)))
    assert found.findings[0].evidence["contributors"] is None
    assert "cut = Fair" in found.findings[0].message


def test_without_a_baseline_other_contributors_stand_in(
    diamonds_context: Context, poisoned: pa.Table, diamonds_roles: Roles
) -> None:
    planted = np.arange(0, 1500, 25)
    table = changed(poisoned, str(diamonds_roles.contributor), planted[:30], "one")
    table = changed(table, str(diamonds_roles.contributor), planted[30:], "two")
    alone = Triggers.load(replace(diamonds_context, baseline=None))
    found = alone.scan(TableBatch(table, diamonds_roles))
    assert not found.findings
    assert found.skipped is not None
    assert "nothing is claimed" in found.skipped
    assert found.ranking is not None
    rows = found.ranking.column("row").to_numpy()
    assert np.mean(np.isin(rows[:60], planted)) > 0.9
    clean = changed(table, "color", planted, "E")
    ranking = alone.scan(TableBatch(clean, diamonds_roles)).ranking
    assert ranking is not None
    assert ranking.column("tail").to_numpy().min() > found.ranking.column("tail").to_numpy()[50]


def test_with_neither_baseline_nor_contributors_there_is_nothing_to_compare(
    diamonds_context: Context, poisoned: pa.Table, diamonds_roles: Roles
) -> None:
    alone = Triggers.load(replace(diamonds_context, baseline=None))
    rest = {role: c for role, c in diamonds_roles.assigned.items() if role != "contributor"}
    with pytest.raises(Unavailable, match="needs a baseline, or contributors"):
        alone.scan(TableBatch(poisoned, Roles(rest)))


def test_a_batch_of_thirty_rows_is_too_short(
    triggers: Triggers, diamonds_clean: pa.Table, diamonds_roles: Roles
) -> None:
    with pytest.raises(Unavailable, match="at least 50 rows"):
        triggers.scan(TableBatch(diamonds_clean.slice(0, 30), diamonds_roles))


def test_a_missing_column_is_named(
    triggers: Triggers, diamonds_clean: pa.Table, diamonds_roles: Roles
) -> None:
    table = diamonds_clean.slice(0, 200).drop_columns(["carat"])
    with pytest.raises(Unavailable, match="carat"):
        triggers.scan(TableBatch(table, diamonds_roles))


def test_a_label_of_a_thousand_values_is_no_trouble(
    triggers: Triggers, diamonds_clean: pa.Table, diamonds_roles: Roles
) -> None:
    table = diamonds_clean.slice(0, 1000)
    place = table.schema.get_field_index("price_band")
    table = table.set_column(place, "price_band", pa.array([f"l{i}" for i in range(1000)]))
    found = triggers.scan(TableBatch(table, diamonds_roles))
    assert len(found.findings) < 25


def test_only_the_rows_of_who_planted_them_go(
    triggers: Triggers, poisoned: pa.Table, diamonds_roles: Roles
) -> None:
    planted = np.arange(0, 1500, 25)
    copied = np.array([7, 8])
    table = changed(poisoned, "contributor", planted, "somebody")
    for column, value in (("cut", "Fair"), ("color", "J"), ("price_band", "top")):
        table = changed(table, column, copied, value)
    best = triggers.scan(TableBatch(table, diamonds_roles)).findings[0]
    assert best.rows is not None
    rows = set(best.rows.column("row").to_pylist())
    assert set(planted.tolist()) <= rows
    assert not rows & set(copied.tolist())
    assert int(best.evidence["kept_rows"]) >= 2
