"""One drill for each detector: the planted rows are found, in the clean twin nothing is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from auditor.batch import Roles, Shared, TableBatch
from auditor.context import Context
from auditor.detectors import EVERY
from auditor.detectors.conflicting_labels import ConflictingLabels
from auditor.detectors.contributors import Contributors
from auditor.detectors.exact_duplicates import ExactDuplicates
from auditor.detectors.hidden_text import HiddenText
from auditor.detectors.known_bad import KnownBad
from auditor.detectors.known_rows import KnownRows
from auditor.detectors.label_consistency import LabelConsistency
from auditor.detectors.low_and_slow import LowAndSlow
from auditor.detectors.outliers import Outliers
from auditor.detectors.quality import Quality
from auditor.detectors.reputation import Reputation
from auditor.detectors.shared_rows import SharedRows
from auditor.model import Effect, Evidence
from auditor.redteam import ATTACKS_BY_NAME
from auditor.redteam.campaign import same_trigger
from auditor.redteam.planting import Planted

SEEDS = [11, 12]
#: Those that have something to read here; the others have drills and clean twins in test_deep.py
#: and test_slow_triggers.py.
CLASSES = [
    pytest.param(d, marks=pytest.mark.slow if d.rule.id == "AUD-N001" else (), id=d.rule.id)
    for d in EVERY
    if d.rule.id not in ("AUD-L003", "AUD-N003", "AUD-T002")
]


@pytest.fixture
def plant(clean_twin: pa.Table, diamonds_roles: Roles, diamonds_trusted: pa.Table) -> Callable:
    def planted(attack: str, rows: int, seed: int) -> Planted:
        return ATTACKS_BY_NAME[attack](
            clean_twin, diamonds_roles, rows=rows, seed=seed, trusted=diamonds_trusted
        )

    return planted


def appended(table: pa.Table, rows: pa.Table, who: list[str]) -> tuple[pa.Table, np.ndarray]:
    """The table with more rows under new ids, contributors and times; and which those are."""
    new = {
        "row_id": [f"new-{i}" for i in range(rows.num_rows)],
        "contributor": who,
        "collected_at": [table["collected_at"][-1].as_py()] * rows.num_rows,
    }
    for name, values in new.items():
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, name, pa.array(values, rows.schema.field(name).type))
    mask = np.r_[np.zeros(table.num_rows, dtype=bool), np.ones(rows.num_rows, dtype=bool)]
    return pa.concat_tables([table, rows]), mask


@pytest.mark.parametrize("seed", SEEDS)
def test_exact_copies_are_set_aside(plant: Callable, drill: Callable, seed: int) -> None:
    planted = plant("exact-copy", 60, seed)
    found = drill(ExactDuplicates, planted.table)
    assert found.found(planted.mask, Effect.QUARANTINE) >= 0.9
    # The rows that were copied stay.
    assert len(found.own) <= 60


@pytest.mark.parametrize("seed", SEEDS)
def test_conflicting_copies_are_set_aside(plant: Callable, drill: Callable, seed: int) -> None:
    planted = plant("conflicting-copy", 50, seed)
    assert drill(ConflictingLabels, planted.table).found(planted.mask, Effect.QUARANTINE) >= 0.9


def test_trusted_rows_with_another_label_are_set_aside(
    clean_twin: pa.Table, diamonds_trusted: pa.Table, drill: Callable
) -> None:
    other = {"low": "top", "medium": "top", "high": "low", "top": "low"}
    rows = diamonds_trusted.slice(200, 30)
    place = rows.schema.get_field_index("price_band")
    labels = [other[v] for v in rows["price_band"].to_pylist()]
    table, mask = appended(
        clean_twin, rows.set_column(place, "price_band", pa.array(labels)), ["x"] * 30
    )
    assert drill(ConflictingLabels, table).found(mask, Effect.QUARANTINE) == 1.0


def test_replayed_rows_are_set_aside(
    clean_twin: pa.Table, diamonds_trusted: pa.Table, drill: Callable
) -> None:
    table, mask = appended(clean_twin, diamonds_trusted.slice(100, 40), ["lab-01"] * 40)
    found = drill(KnownRows, table)
    assert found.found(mask, Effect.QUARANTINE) == 1.0
    assert len(found.own) == 40


def test_rows_that_several_contributors_send_are_noted(
    clean_twin: pa.Table, drill: Callable
) -> None:
    names = [f"sybil-{i % 3}" for i in range(60)]
    table, mask = appended(clean_twin, clean_twin.take(pa.array(np.arange(60) // 3)), names)
    assert drill(SharedRows, table).found(mask, Effect.NOTE) >= 0.9


@pytest.mark.parametrize("seed", SEEDS)
def test_contributors_who_flip_labels_are_named(
    plant: Callable, drill: Callable, seed: int
) -> None:
    planted = plant("label-flip", 120, seed)
    found = drill(Contributors, planted.table)
    assert found.found(planted.mask, Effect.QUARANTINE) >= 0.9
    # Alone, without the share limit that sets the two contributors aside.
    rows = set(np.flatnonzero(planted.mask).tolist())
    senders = planted.table["contributor"].to_pylist()
    assert len(rows & found.own) >= 0.75 * len(rows)
    assert {senders[row] for row in found.own} == {senders[row] for row in rows}


def test_a_flood_of_new_names_is_noted(clean_twin: pa.Table, drill: Callable) -> None:
    rows = clean_twin.slice(0, 600)
    table, mask = appended(clean_twin, rows, [f"new-{i}" for i in range(600)])
    found = drill(Reputation, table)
    assert len(found.own) == 150  # what is beyond a fifth of the rows that stay
    assert found.own <= set(np.flatnonzero(mask).tolist())
    assert found.by_effect[Effect.NOTE] == found.own


def test_a_little_poison_of_one_contributor_in_each_batch_is_found(
    diamonds_clean: pa.Table, diamonds_roles: Roles, diamonds_context: Context
) -> None:
    clean = [diamonds_clean.slice(800 * i, 800) for i in range(8)]
    rng = np.random.default_rng(5)
    planted = same_trigger(
        clean, diamonds_roles, rng, counts=[4] * 8, names=["lab-08"], cells=3,
        trusted=None, attack="low-and-slow",
    )  # fmt: skip
    assert all(np.asarray(one.mask).sum() == 4 for one in planted)
    alone = Contributors.load(diamonds_context)
    for one in planted:
        found = alone.scan(TableBatch(one.table, diamonds_roles)).findings
        assert all(f.p_value > 0.002 for f in found)
    tables = [one.table for one in planted]
    assert over_batches(tables, diamonds_roles, diamonds_context) == {"lab-08"}
    assert over_batches(clean, diamonds_roles, diamonds_context) == set()


def over_batches(batches: list[pa.Table], roles: Roles, context: Context) -> set[object]:
    """Who is named in any of the batches, each judged with the evidence of those before."""
    sums: dict[tuple[str, str], Evidence] = {}
    named: set[object] = set()
    loaded = LowAndSlow.load(context)
    for table in batches:
        outcome = replace(loaded, earlier=sums, shared=Shared()).scan(TableBatch(table, roles))
        for one in outcome.updates:
            key = (one.subject, one.name)
            before = sums.get(key, replace(one, values=(0.0,) * len(one.values), batches=0))
            values = tuple(np.add(before.values, one.values).tolist())
            sums = sums | {key: replace(one, values=values, batches=before.batches + 1)}
        named |= {f.evidence["contributor"] for f in outcome.findings if f.p_value <= 0.001}
    return named


def test_many_new_names_with_one_row_each_are_one_sender(
    clean_twin: pa.Table, drill: Callable
) -> None:
    other = {"low": "top", "medium": "top", "high": "low", "top": "low"}
    rows = clean_twin.take(pa.array(np.arange(40) * 7))
    place = rows.schema.get_field_index("price_band")
    labels = [other[v] for v in rows["price_band"].to_pylist()]
    table, mask = appended(
        clean_twin,
        rows.set_column(place, "price_band", pa.array(labels)),
        [f"sybil-{i}" for i in range(40)],
    )
    found = drill(Contributors, table)
    assert found.found(mask, Effect.QUARANTINE) >= 0.9
    assert len(found.own - set(np.flatnonzero(mask).tolist())) <= 4


def test_labels_flipped_by_everybody_are_set_aside(clean_twin: pa.Table, drill: Callable) -> None:
    labels = clean_twin["price_band"].to_pylist()
    mask = np.zeros(len(labels), dtype=bool)
    mask[[i for i, label in enumerate(labels) if label == "low"][::3]] = True
    flipped = ["top" if bad else label for label, bad in zip(labels, mask, strict=True)]
    place = clean_twin.schema.get_field_index("price_band")
    table = clean_twin.set_column(place, "price_band", pa.array(flipped))
    assert drill(LabelConsistency, table).found(mask, Effect.QUARANTINE) >= 0.75


@pytest.mark.parametrize("seed", SEEDS)
def test_values_out_of_range_are_set_aside(plant: Callable, drill: Callable, seed: int) -> None:
    planted = plant("out-of-range", 30, seed)
    assert drill(Outliers, planted.table).found(planted.mask, Effect.QUARANTINE) >= 0.9


def test_values_outside_an_expectation_are_set_aside(clean_twin: pa.Table, drill: Callable) -> None:
    rows = clean_twin.slice(0, 20)
    place = rows.schema.get_field_index("carat")
    rows = rows.set_column(place, "carat", pa.array([v * 100 for v in rows["carat"].to_pylist()]))
    table, mask = appended(clean_twin, rows, ["lab-01"] * 20)
    found = drill(Quality, table)
    assert found.found(mask, Effect.QUARANTINE) == 1.0
    assert len(found.own) == 20


@pytest.mark.parametrize("character", ["\u200b", "\u202e", "\U000e0041", "\x08"])
def test_characters_that_nobody_sees_are_set_aside(
    clean_twin: pa.Table, drill: Callable, character: str
) -> None:
    table, mask = _spelt(clean_twin, lambda cut: f"{cut[:1]}{character}{cut[1:]}")
    found = drill(HiddenText, table)
    assert found.found(mask, Effect.QUARANTINE) == 1.0
    assert len(found.own) == mask.sum()


def test_letters_of_another_script_are_set_aside(clean_twin: pa.Table, drill: Callable) -> None:
    table, mask = _spelt(clean_twin, lambda cut: cut.replace("e", "\u0435").replace("a", "\u0430"))
    found = drill(HiddenText, table)
    assert found.found(mask, Effect.QUARANTINE) == 1.0
    assert len(found.own) == mask.sum()


@pytest.mark.parametrize("entry", ["ZQ-Trigger", "zq\u200b-trigger", "see http://a.evil.example/x"])
def test_what_the_list_names_is_set_aside(
    clean_twin: pa.Table, drill: Callable, entry: str
) -> None:
    table, mask = _spelt(clean_twin, lambda cut: f"{cut} {entry}")
    found = drill(KnownBad, table)
    assert found.found(mask, Effect.QUARANTINE) == 1.0
    assert len(found.own) == mask.sum()


def _spelt(table: pa.Table, spell: Callable[[str], str]) -> tuple[pa.Table, np.ndarray]:
    """The table with the column `cut` of 20 rows written in another way; and which those are."""
    mask = np.arange(table.num_rows) % 90 == 7
    values = table["cut"].cast(pa.string()).to_pylist()
    changed = [spell(v) if bad else v for v, bad in zip(values, mask, strict=True)]
    place = table.schema.get_field_index("cut")
    return table.set_column(place, "cut", pa.array(changed)), mask


@pytest.mark.parametrize("detector", CLASSES)
def test_in_the_clean_twin_nothing_is_found(
    detector: type, drill: Callable, clean_twin: pa.Table
) -> None:
    found = drill(detector, clean_twin).by_effect
    assert {effect for effect, rows in found.items() if rows} <= {Effect.NOTE}
    assert len(found[Effect.NOTE]) <= 0.1 * clean_twin.num_rows


def test_every_detector_has_a_drill() -> None:
    names = {d.__name__ for d in EVERY}
    drills = [path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py")]
    used = set(re.findall(r"^from auditor\.detectors\.\w+ import (\w+)", "".join(drills), re.M))
    assert names <= used, f"no drill for {sorted(names - used)}"


def test_another_spelling_of_a_label_is_no_way_around(
    clean_twin: pa.Table, drill: Callable
) -> None:
    labels = clean_twin["price_band"].to_pylist()
    place = clean_twin.schema.get_field_index("price_band")
    for spell in (lambda text: text + " ", lambda _: None):
        changed = [spell(text) if i < 60 else text for i, text in enumerate(labels)]
        table = clean_twin.set_column(place, "price_band", pa.array(changed, pa.string()))
        found = drill(LabelConsistency, table)
        mask = np.arange(table.num_rows) < 60
        assert found.found(mask, Effect.QUARANTINE) == 1.0
