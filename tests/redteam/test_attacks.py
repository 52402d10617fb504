from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor import samples
from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.model import ATTACKS
from auditor.redteam import ATTACKS_BY_NAME, Planted
from auditor.redteam.precision import decimals

ROLES = Roles(
    {
        "id": ("row_id",),
        "feature": ("carat", "cut", "color", "clarity", "depth", "table", "x", "y", "z"),
        "label": ("price_band",),
        "contributor": ("contributor",),
        "timestamp": ("collected_at",),
    }
)
ADDING = [name for name in ATTACKS_BY_NAME if name != "label-flip"]


@pytest.fixture(scope="module")
def clean() -> pa.Table:
    return pq.read_table(samples.incoming()[0])


@pytest.fixture(scope="module")
def trusted() -> pa.Table:
    return pq.read_table(samples.trusted())


def plant(name: str, table: pa.Table, roles: Roles = ROLES, **more: Any) -> Planted:
    arguments = {"rows": 40, "seed": 3, **more}
    return ATTACKS_BY_NAME[name](table, roles, **arguments)


def poison(planted: Planted) -> pa.Table:
    return planted.table.filter(planted.mask)


@pytest.mark.parametrize("name", ATTACKS_BY_NAME)
def test_every_attack_is_deterministic_by_seed(name: str, clean: pa.Table) -> None:
    first, again, other = (plant(name, clean, seed=s) for s in (3, 3, 4))
    assert first.attack == name
    assert name in ATTACKS
    assert first.table.equals(again.table)
    assert first.mask.equals(again.mask)
    assert not first.table.equals(other.table)


@pytest.mark.parametrize("name", ATTACKS_BY_NAME)
def test_types_precision_ids_and_order_do_not_give_it_away(name: str, clean: pa.Table) -> None:
    planted = plant(name, clean)
    table = planted.table
    assert table.schema.equals(clean.schema)
    assert len(pc.unique(table["row_id"])) == table.num_rows
    assert {len(i) for i in table["row_id"].to_pylist()} == {len("stone-000000")}
    assert set(table["contributor"].to_pylist()) == set(clean["contributor"].to_pylist())
    assert set(table["price_band"].to_pylist()) == set(clean["price_band"].to_pylist())
    for column in ("carat", "depth", "table", "x", "y", "z"):
        assert decimals(table[column]) == decimals(clean[column])
    times = table["collected_at"].to_pylist()
    assert times == sorted(times)
    assert max(times) <= max(clean["collected_at"].to_pylist()) + timedelta(minutes=1)


@pytest.mark.parametrize("name", ADDING)
def test_originals_are_untouched_and_the_mask_marks_what_is_new(name: str, clean: pa.Table) -> None:
    before = clean.to_pydict()
    planted = plant(name, clean)
    assert clean.to_pydict() == before
    assert planted.mask.true_count == 40
    assert planted.mask.equals(pc.is_null(planted.origin))
    kept = planted.table.filter(pc.invert(planted.mask))
    assert kept.equals(clean)
    assert clean.take(planted.origin.drop_null()).equals(clean)


def test_label_flip_is_by_two_contributors_and_changes_labels_only(clean: pa.Table) -> None:
    planted = plant("label-flip", clean, rows=100)
    assert planted.origin.to_pylist() == list(range(clean.num_rows))
    flipped = poison(planted)
    senders = Counter(flipped["contributor"].to_pylist())
    assert len(senders) == 2
    theirs = Counter(clean["contributor"].to_pylist())
    total = sum(theirs[sender] for sender in senders)
    assert 0.6 <= flipped.num_rows / total <= 0.8
    changed = pc.not_equal(planted.table["price_band"], clean["price_band"])
    assert changed.combine_chunks().equals(planted.mask)
    assert planted.table.drop(["price_band"]).equals(clean.drop(["price_band"]))


def content(table: pa.Table) -> list[tuple[Any, ...]]:
    columns = [table[name].to_pylist() for name in (*ROLES.features, "price_band")]
    return list(zip(*columns, strict=True))


def first_seen(table: pa.Table) -> dict[tuple[Any, ...], datetime]:
    return dict(zip(content(table), table["collected_at"].to_pylist(), strict=True))


def test_exact_copies_equal_an_earlier_row(clean: pa.Table) -> None:
    copies = poison(plant("exact-copy", clean))
    originals = first_seen(clean)
    for row, when in zip(content(copies), copies["collected_at"].to_pylist(), strict=True):
        assert originals[row] < when
    times = Counter(content(copies))
    assert 1 < len(times) < copies.num_rows
    assert len(set(copies["contributor"].to_pylist())) <= 3


def test_conflicting_copies_differ_in_the_label_only(clean: pa.Table) -> None:
    copies = poison(plant("conflicting-copy", clean))
    labels = {row[:-1]: row[-1] for row in content(clean)}
    for *features, label in content(copies):
        assert labels[tuple(features)] != label


def test_near_copies_are_close_inside_the_range_and_not_equal(clean: pa.Table) -> None:
    copies = poison(plant("near-copy", clean))
    originals = set(content(clean))
    assert not originals & set(content(copies))
    words = {(row[1], row[2], row[3], row[-1]) for row in content(clean)}
    assert {(row[1], row[2], row[3], row[-1]) for row in content(copies)} <= words
    for column in ("carat", "depth", "table", "x", "y", "z"):
        low, high = pc.min_max(clean[column]).as_py().values()
        values = copies[column].to_numpy()
        assert low <= values.min()
        assert values.max() <= high
    places = np.column_stack([clean[c].to_numpy() for c in ("carat", "depth", "x", "y", "z")])
    spread = places.std(axis=0)
    for row in np.column_stack([copies[c].to_numpy() for c in ("carat", "depth", "x", "y", "z")]):
        assert np.abs((places - row) / spread).max(axis=1).min() < 0.5


def test_out_of_range_is_outside_and_not_absurd(clean: pa.Table, trusted: pa.Table) -> None:
    rows = poison(plant("out-of-range", clean, trusted=trusted))
    outside = 0
    for column in ("carat", "depth", "table", "x", "y", "z"):
        top = max(pc.max(clean[column]).as_py(), pc.max(trusted[column]).as_py())
        values = rows[column].to_numpy()
        if values.max() > top:
            outside += 1
            assert values.min() >= 2.9 * top
            assert values.max() <= 10.1 * top
    assert outside == 3


def test_backdoor_is_a_new_combination_of_known_values(clean: pa.Table, trusted: pa.Table) -> None:
    planted = plant("backdoor", clean, trusted=trusted)
    rows = poison(planted)
    assert len(set(rows["price_band"].to_pylist())) == 1
    fixed = {
        name: rows[name][0].as_py() for name in ROLES.features if len(pc.unique(rows[name])) == 1
    }
    assert 2 <= len(fixed) <= 3
    for table in (clean, trusted):
        together = np.ones(table.num_rows, dtype=bool)
        for name, value in fixed.items():
            together &= pc.equal(table[name], value).to_numpy()
        assert not together.any()
    seen = pa.concat_tables([clean, trusted])
    for name, value in fixed.items():
        assert value in set(seen[name].to_pylist())


# --- other shapes of table ------------------------------------------------------------------------


def odd_table(rows: int, seed: int) -> tuple[pa.Table, Roles]:
    rng = np.random.default_rng(seed)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    gaps = rng.random(rows) < 0.2
    table = pa.table(
        {
            "id": pa.array(rng.permutation(rows), pa.int32()),
            "count": pa.array(
                [
                    None if g else int(v)
                    for g, v in zip(gaps, rng.integers(1, 90, rows), strict=True)
                ],
                pa.int16(),
            ),
            "level": pa.array(rng.normal(size=rows).astype(np.float32)),
            "kind": pa.array(rng.choice(["a", "b", "c"], rows)).dictionary_encode(),
            "flag": pa.array(rng.random(rows) < 0.5),
            "y": pa.array(np.arange(rows) % 3, pa.int8()),
            "when": pa.array(
                [start + timedelta(hours=int(h)) for h in rng.integers(0, 99, rows)],
                pa.timestamp("ms"),
            ),
        }
    )
    roles = {"id": ("id",), "feature": ("count", "level", "kind", "flag"), "label": ("y",)}
    return table, Roles({**roles, "timestamp": ("when",)})


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(ATTACKS_BY_NAME)),
    rows=st.integers(6, 80),
    wanted=st.integers(0, 30),
    seed=st.integers(0, 2**31),
)
def test_any_table_keeps_schema_rows_and_unique_ids(
    name: str, rows: int, wanted: int, seed: int
) -> None:
    table, roles = odd_table(rows, seed)
    planted = plant(name, table, roles, rows=wanted, seed=seed)
    assert planted.table.schema.equals(table.schema)
    assert len(pc.unique(planted.table["id"])) == planted.table.num_rows
    assert planted.mask.null_count == 0
    assert planted.mask.true_count <= wanted
    kept = planted.table.filter(pc.invert(planted.mask))
    old = planted.origin.filter(pc.invert(planted.mask))
    assert kept.to_pydict() == table.take(old).to_pydict()
    assert planted.mask.true_count == wanted or name in (
        "label-flip",
        "conflicting-copy",
        "backdoor",
    )
    changed = planted.table.num_rows - table.num_rows
    assert changed == (0 if name == "label-flip" else planted.mask.true_count)


@pytest.mark.parametrize("name", ATTACKS_BY_NAME)
def test_an_empty_table_is_unavailable(name: str, clean: pa.Table) -> None:
    with pytest.raises(Unavailable, match=name):
        plant(name, clean.slice(0, 0))


@pytest.mark.parametrize("name", ["label-flip", "conflicting-copy", "backdoor"])
def test_what_needs_a_label_says_so(name: str, clean: pa.Table) -> None:
    features = Roles({"feature": ROLES.features})
    with pytest.raises(Unavailable, match="needs a label role"):
        plant(name, clean, features)
    number = Roles({"feature": ("x", "y", "z"), "label": ("carat",)})
    with pytest.raises(Unavailable, match="real numbers"):
        plant(name, clean, number)
    one = clean.set_column(10, "price_band", pa.array(["low"] * clean.num_rows))
    with pytest.raises(Unavailable, match="two classes"):
        plant(name, one)


@pytest.mark.parametrize("name", ["near-copy", "out-of-range"])
def test_what_needs_numbers_says_so(name: str, clean: pa.Table) -> None:
    with pytest.raises(Unavailable, match="numeric feature"):
        plant(name, clean, Roles({"feature": ("cut", "color"), "label": ("price_band",)}))
