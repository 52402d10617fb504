"""What holds for every attack: the same rows for a seed, the right mask, nothing in the form."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.model import ATTACKS
from auditor.redteam import ATTACKS_BY_NAME, CAMPAIGNS, OMISSIONS, VARIANTS, Planted
from auditor.redteam.precision import decimals

ROWS = 60
NUMBERS = ("carat", "depth", "table", "x", "y", "z")
WORDS = ("cut", "color", "clarity", "price_band")
#: What leaves the known range on purpose.
OUTSIDE = ("out-of-range", "backdoor-out-of-bounds", "unit-change", "unit-change-1000")
#: What adds rows; everything else changes rows of the batch.
ADDING = (
    "sybil",
    "near-copy",
    "near-copy-other-label",
    "backdoor-added",
    "out-of-range",
    "exact-copy",
    "conflicting-copy",
    "privacy-copy",
    "concentrated",
    "regression",
    "framing",
    "framing-minority",
    "framing-name",
    "denial",
)


@pytest.fixture
def roles_of(roles: Roles, regression_roles: Roles) -> dict[str, Roles]:
    return {name: regression_roles if name == "regression" else roles for name in VARIANTS}


def plant(name: str, table: pa.Table, roles: Roles, **more: Any) -> Planted:
    arguments = {"rows": ROWS, "seed": 3, **more}
    return VARIANTS[name](table, roles, **arguments)


def test_the_registry_holds_what_a_benchmark_asks_for() -> None:
    assert set(VARIANTS) >= set(ADDING) | set(OUTSIDE) | {
        "random-flip",
        "targeted-flip",
        "boundary-flip",
        "backdoor",
        "backdoor-jittered",
        "clean-label",
        "collision",
        "perturbation",
        "out-of-distribution",
        "bias",
        "gate-evasion",
    }
    assert set(CAMPAIGNS) <= set(ATTACKS)
    assert set(ATTACKS_BY_NAME) <= set(ATTACKS)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_same_seed_plants_the_same_rows(
    name: str, clean: pa.Table, trusted: pa.Table, roles_of: dict[str, Roles]
) -> None:
    first, again, other = (
        plant(name, clean, roles_of[name], seed=s, trusted=trusted) for s in (3, 3, 4)
    )
    assert first.attack in ATTACKS
    assert first.table.equals(again.table)
    assert first.mask.equals(again.mask)
    assert first.description == again.description
    assert not first.table.equals(other.table)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_mask_marks_all_that_is_different_and_nothing_else(
    name: str, clean: pa.Table, trusted: pa.Table, roles_of: dict[str, Roles]
) -> None:
    before = clean.to_pydict()
    planted = plant(name, clean, roles_of[name], trusted=trusted)
    assert clean.to_pydict() == before
    assert planted.mask.true_count == ROWS
    kept = planted.table.filter(pc.invert(planted.mask))
    assert kept.equals(clean.take(planted.origin.filter(pc.invert(planted.mask))))
    if name in ADDING:
        assert planted.mask.equals(pc.is_null(planted.origin))
        assert kept.equals(clean)
    else:
        assert planted.origin.to_pylist() == list(range(clean.num_rows))
        poison, old = planted.table.filter(planted.mask), clean.filter(planted.mask)
        assert all(a != b for a, b in zip(poison.to_pylist(), old.to_pylist(), strict=True))


@pytest.mark.parametrize("name", VARIANTS)
def test_form_does_not_give_it_away(
    name: str, clean: pa.Table, trusted: pa.Table, roles_of: dict[str, Roles]
) -> None:
    table = plant(name, clean, roles_of[name], trusted=trusted).table
    assert table.schema.equals(clean.schema)
    assert len(pc.unique(table["row_id"])) == table.num_rows
    assert {len(i) for i in table["row_id"].to_pylist()} == {len("stone-000000")}
    seen = pa.concat_tables([clean, trusted])
    for column in WORDS:
        assert set(table[column].to_pylist()) <= set(seen[column].to_pylist())
    for column in NUMBERS:
        assert decimals(table[column]) == decimals(clean[column])
    if name != "sybil":
        assert set(table["contributor"].to_pylist()) == set(clean["contributor"].to_pylist())
    times = table["collected_at"].to_pylist()
    assert times == sorted(times)


@pytest.mark.parametrize("name", [name for name in VARIANTS if name not in OUTSIDE])
def test_values_stay_inside_the_known_range(
    name: str, clean: pa.Table, trusted: pa.Table, roles_of: dict[str, Roles]
) -> None:
    planted = plant(name, clean, roles_of[name], trusted=trusted)
    poison = planted.table.filter(planted.mask)
    seen = pa.concat_tables([clean, trusted])
    for column in NUMBERS:
        low, high = pc.min_max(seen[column]).as_py().values()
        values = poison[column].to_numpy()
        assert low <= values.min()
        assert values.max() <= high


# --- other shapes of table ------------------------------------------------------------------------


def odd_table(rows: int, seed: int) -> tuple[pa.Table, Roles]:
    """Integers with gaps, float32, dictionaries, flags, no order of time, a rare contributor."""
    rng = np.random.default_rng(seed)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    counts = rng.integers(1, 90, rows).tolist()
    table = pa.table(
        {
            "id": pa.array(rng.permutation(rows), pa.int32()),
            "count": pa.array([None if rng.random() < 0.2 else c for c in counts], pa.int16()),
            "level": pa.array(rng.normal(size=rows).astype(np.float32)),
            "price": pa.array(np.round(rng.lognormal(size=rows), 2)),
            "kind": pa.array(rng.choice(["a", "b", "c"], rows)).dictionary_encode(),
            "flag": pa.array(rng.random(rows) < 0.5),
            "y": pa.array(np.arange(rows) % 3, pa.int8()),
            "by": pa.array(["rare", *rng.choice(["ann", "bo", "cy"], rows - 1)]),
            "when": pa.array(
                [start + timedelta(hours=int(h)) for h in rng.integers(0, 99, rows)],
                pa.timestamp("ms"),
            ),
        }
    )
    assigned = {
        "id": ("id",),
        "feature": ("count", "level", "price", "kind", "flag"),
        "label": ("y",),
        "contributor": ("by",),
        "timestamp": ("when",),
    }
    return table, Roles(assigned)


@settings(max_examples=120)
@given(
    name=st.sampled_from(sorted(set(VARIANTS) - {"regression"})),
    rows=st.integers(12, 80),
    wanted=st.integers(0, 30),
    seed=st.integers(0, 2**31),
)
def test_any_table_keeps_its_schema_rows_and_unique_ids(
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
    added = planted.table.num_rows - rows
    assert added == (planted.mask.true_count if name in ADDING else 0)
    if name in ADDING and name != "conflicting-copy":
        assert planted.mask.true_count == wanted
    if name.startswith("random-flip"):
        assert planted.mask.true_count == min(wanted, rows)


@settings(max_examples=30)
@given(rows=st.integers(8, 60), wanted=st.integers(0, 70), seed=st.integers(0, 2**31))
def test_omissions_take_rows_away_and_mark_none(rows: int, wanted: int, seed: int) -> None:
    table, roles = odd_table(rows, seed)
    for attack in OMISSIONS.values():
        planted = attack(table, roles, rows=wanted, seed=seed)
        assert planted.mask.true_count == 0
        gone = set(range(rows)) - set(planted.origin.to_pylist())
        assert len(gone) <= wanted
        assert planted.table.equals(table.take(planted.origin))


@pytest.mark.parametrize("name", [*VARIANTS, *OMISSIONS])
def test_an_empty_table_is_unavailable(
    name: str, clean: pa.Table, roles: Roles, regression_roles: Roles
) -> None:
    attack = (VARIANTS | OMISSIONS)[name]
    with pytest.raises(Unavailable, match="needs"):
        attack(
            clean.slice(0, 0), regression_roles if name == "regression" else roles, rows=5, seed=1
        )


LABEL_FREE = {
    "near-copy",
    "perturbation",
    "out-of-distribution",
    "out-of-distribution-spread",
    "out-of-range",
    "exact-copy",
    "unit-change",
    "unit-change-1000",
    "denial",
}


@pytest.mark.parametrize("name", sorted(set(VARIANTS) - LABEL_FREE - {"framing-minority"}))
def test_what_needs_classes_says_so(name: str, clean: pa.Table, roles: Roles) -> None:
    features = {"feature": roles.features, "contributor": ("contributor",)}
    with pytest.raises(Unavailable, match="needs a label role"):
        plant(name, clean, Roles(features))
    if name == "regression":
        with pytest.raises(Unavailable, match="label of real numbers"):
            plant(name, clean, roles)
        return
    with pytest.raises(Unavailable, match="real numbers"):
        plant(name, clean, Roles({**features, "feature": ("x", "y"), "label": ("carat",)}))
    at = clean.schema.get_field_index("price_band")
    one = clean.set_column(at, "price_band", pa.array(["low"] * clean.num_rows))
    with pytest.raises(Unavailable, match="two classes"):
        plant(name, one, roles)


@pytest.mark.parametrize("name", sorted(LABEL_FREE))
def test_what_needs_no_label_works_without(name: str, clean: pa.Table, roles: Roles) -> None:
    planted = plant(name, clean, Roles({"feature": roles.features}))
    assert planted.mask.true_count == ROWS


@pytest.mark.parametrize(
    "name", ["near-copy", "unit-change", "availability", "concentrated", "backdoor-jittered"]
)
def test_what_needs_numbers_says_so(name: str, clean: pa.Table) -> None:
    words = Roles({"feature": ("cut", "color"), "label": ("price_band",)})
    with pytest.raises(Unavailable, match="numeric feature"):
        plant(name, clean, words)


@pytest.mark.parametrize("name", ["sybil", "framing", "framing-minority", "framing-name"])
def test_what_needs_contributors_says_so(name: str, clean: pa.Table, roles: Roles) -> None:
    without = {role: names for role, names in roles.assigned.items() if role != "contributor"}
    with pytest.raises(Unavailable, match="contributor"):
        plant(name, clean, Roles(without))
