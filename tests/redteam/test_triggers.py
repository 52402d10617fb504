"""What triggers look like, and who carries them with which label."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.redteam import (
    CAMPAIGNS,
    VARIANTS,
    Planted,
    backdoor,
    backdoor_jittered,
    backdoor_out_of_bounds,
    clean_label,
    gate_evasion,
)

NUMBERS = ("carat", "depth", "table", "x", "y", "z")


def poison(planted: Planted) -> pa.Table:
    return planted.table.filter(planted.mask)


def fixed(table: pa.Table, roles: Roles) -> Mapping[str, object]:
    """The feature cells that are the same in every row."""
    return {
        name: table[name][0].as_py() for name in roles.features if len(pc.unique(table[name])) == 1
    }


def together(table: pa.Table, cells: Mapping[str, object]) -> int:
    hits = np.ones(table.num_rows, dtype=bool)
    for name, value in cells.items():
        hits &= pc.equal(table[name], value).to_numpy()
    return int(hits.sum())


@pytest.mark.parametrize("cells", [1, 2, 3])
def test_a_backdoor_has_the_cells_that_were_asked_for(
    cells: int, clean: pa.Table, trusted: pa.Table, roles: Roles
) -> None:
    planted = backdoor.plant(
        clean, roles, rows=40, seed=3, trusted=trusted, cells=cells, place="changed"
    )
    trigger = fixed(poison(planted), roles)
    assert len(trigger) == cells
    seen = pa.concat_tables([clean, trusted])
    assert together(seen, trigger) <= (0 if cells > 1 else 5)
    assert all(value in set(seen[name].to_pylist()) for name, value in trigger.items())
    assert len(pc.unique(poison(planted)["price_band"])) == 1


def test_a_changed_backdoor_touches_its_cells_and_the_label_of_two_contributors(
    clean: pa.Table, roles: Roles
) -> None:
    planted = VARIANTS["backdoor"](clean, roles, rows=40, seed=3)
    trigger = fixed(poison(planted), roles)
    others = [n for n in clean.column_names if n not in (*trigger, "price_band")]
    assert planted.table.select(others).equals(clean.select(others))
    assert len(pc.unique(poison(planted)["contributor"])) == 2
    spread = VARIANTS["backdoor-spread"](clean, roles, rows=40, seed=3)
    assert len(pc.unique(poison(spread)["contributor"])) > 10


def test_rows_of_other_classes_are_taken_first(clean: pa.Table, roles: Roles) -> None:
    planted = VARIANTS["backdoor-spread"](clean, roles, rows=40, seed=3)
    (target,) = set(poison(planted)["price_band"].to_pylist())
    assert target not in set(clean.filter(planted.mask)["price_band"].to_pylist())


def test_common_values_are_common_one_by_one(
    clean: pa.Table, trusted: pa.Table, roles: Roles
) -> None:
    planted = VARIANTS["backdoor-common-values"](clean, roles, rows=40, seed=3, trusted=trusted)
    trigger = fixed(poison(planted), roles)
    seen = pa.concat_tables([clean, trusted])
    assert len(trigger) == 3
    assert all(together(seen, {n: v}) >= 0.02 * seen.num_rows for n, v in trigger.items())
    assert together(seen, trigger) < 0.001 * seen.num_rows


def test_out_of_bounds_is_one_value_above_everything_known(
    clean: pa.Table, trusted: pa.Table, roles: Roles
) -> None:
    for seed in range(5):
        planted = backdoor_out_of_bounds.plant(clean, roles, rows=30, seed=seed, trusted=trusted)
        ((column, value),) = fixed(poison(planted), roles).items()
        seen = pa.concat_tables([clean, trusted])
        low, high = pc.min_max(seen[column]).as_py().values()
        assert high < value <= high + 0.51 * (high - low)


def test_out_of_bounds_leaves_its_range_where_steps_are_large() -> None:
    flags = pa.table({"flag": pa.array([0, 1] * 20), "y": pa.array(["a", "a", "b", "b"] * 10)})
    roles = Roles({"feature": ("flag",), "label": ("y",)})
    planted = backdoor_out_of_bounds.plant(flags, roles, rows=5, seed=1)
    assert set(poison(planted)["flag"].to_pylist()) == {2}
    full = flags.set_column(0, "flag", pa.array([-128, 127] * 20, pa.int8()))
    with pytest.raises(Unavailable, match="room above"):
        backdoor_out_of_bounds.plant(full, roles, rows=5, seed=1)


def test_a_jittered_trigger_is_a_small_box_and_no_point(
    clean: pa.Table, trusted: pa.Table, roles: Roles
) -> None:
    planted = backdoor_jittered.plant(clean, roles, rows=60, seed=3, trusted=trusted)
    rows = poison(planted)
    widths = {n: np.ptp(rows[n].to_numpy()) / np.ptp(clean[n].to_numpy()) for n in NUMBERS}
    narrow = [name for name, width in widths.items() if width < 0.1]
    assert len(narrow) == 3
    assert all(len(pc.unique(rows[name])) > 1 for name in narrow)
    assert not fixed(rows, roles)
    inside = np.ones(clean.num_rows, dtype=bool)
    for name in narrow:
        low, high = pc.min_max(rows[name]).as_py().values()
        values = clean[name].to_numpy()
        inside &= (low <= values) & (values <= high)
    assert inside.sum() <= 2


def test_clean_label_changes_no_label_and_hits_one_class(clean: pa.Table, roles: Roles) -> None:
    planted = clean_label.plant(clean, roles, rows=40, seed=3)
    assert planted.table["price_band"].equals(clean["price_band"])
    assert len(pc.unique(poison(planted)["price_band"])) == 1
    assert 1 <= len(fixed(poison(planted), roles)) <= 3


def test_gate_evasion_spreads_over_contributors_and_labels_with_cover(
    clean: pa.Table, trusted: pa.Table, roles: Roles
) -> None:
    planted = gate_evasion.plant(clean, roles, rows=80, seed=3, trusted=trusted)
    rows, old = poison(planted), clean.filter(planted.mask)
    assert len(pc.unique(rows["contributor"])) >= 18
    assert len(pc.unique(rows["price_band"])) == 4
    kept = pc.sum(pc.equal(rows["price_band"], old["price_band"])).as_py()
    assert kept == 40
    moves = {
        (a, b)
        for a, b in zip(old["price_band"].to_pylist(), rows["price_band"].to_pylist(), strict=True)
        if a != b
    }
    assert len(moves) == 4  # each class always to the same next one


# --- over several batches -------------------------------------------------------------------------


@pytest.fixture
def batches(clean: pa.Table) -> list[pa.Table]:
    return [clean.slice(start, 450) for start in range(0, 1800, 450)]


def test_low_and_slow_is_one_trigger_in_every_batch(
    batches: list[pa.Table], trusted: pa.Table, roles: Roles
) -> None:
    planted = CAMPAIGNS["low-and-slow"](batches, roles, rows=5, seed=3, trusted=trusted)
    assert [p.mask.true_count for p in planted] == [5, 5, 5, 5]
    rows = pa.concat_tables([poison(p) for p in planted])
    trigger = fixed(rows, roles)
    assert 2 <= len(trigger) <= 3
    assert len(pc.unique(rows["price_band"])) == 1
    assert together(pa.concat_tables([*batches, trusted]), trigger) == 0


def test_farmed_reputations_turn_in_the_last_batch(batches: list[pa.Table], roles: Roles) -> None:
    planted = CAMPAIGNS["reputation-farming"](batches, roles, rows=12, seed=3)
    counts = [p.mask.true_count for p in planted]
    assert counts[:-1] == [0, 0, 0]
    assert 1 <= counts[-1] <= 12
    assert all(p.table.equals(b) for p, b in zip(planted[:-1], batches[:-1], strict=True))
    names = set(poison(planted[-1])["contributor"].to_pylist())
    assert 1 <= len(names) <= 2
    assert all(names <= set(b["contributor"].to_pylist()) for b in batches)


def test_baseline_poisoning_comes_early_with_the_later_trigger(
    batches: list[pa.Table], roles: Roles
) -> None:
    planted = CAMPAIGNS["baseline-poisoning"](batches, roles, rows=20, seed=3)
    assert [p.mask.true_count for p in planted] == [4, 4, 4, 20]
    assert fixed(poison(planted[0]), roles).items() >= fixed(poison(planted[-1]), roles).items()
    assert len(fixed(poison(planted[-1]), roles)) >= 2


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_campaigns_repeat_by_seed_and_leave_the_rest_alone(
    name: str, batches: list[pa.Table], roles: Roles
) -> None:
    first, again, other = (CAMPAIGNS[name](batches, roles, rows=9, seed=s) for s in (3, 3, 4))
    assert [p.table for p in first] == [p.table for p in again]
    assert [p.table for p in first] != [p.table for p in other]
    for planted, batch in zip(first, batches, strict=True):
        assert planted.attack == name
        keep = pc.invert(planted.mask)
        assert planted.table.filter(keep).equals(batch.filter(keep))


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_campaigns_need_rows(name: str, clean: pa.Table, roles: Roles) -> None:
    for empty in ([], [clean.slice(0, 0)]):
        with pytest.raises(Unavailable, match="needs"):
            CAMPAIGNS[name](empty, roles, rows=5, seed=1)


def test_farming_needs_a_contributor_who_is_always_there(clean: pa.Table, roles: Roles) -> None:
    names = sorted(set(clean["contributor"].to_pylist()))
    alone = [clean.filter(pc.equal(clean["contributor"], name)) for name in names[:2]]
    with pytest.raises(Unavailable, match="in every batch"):
        CAMPAIGNS["reputation-farming"](alone, roles, rows=5, seed=1)
