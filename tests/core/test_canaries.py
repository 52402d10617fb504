"""Canaries: what is planted, in which rows, and that a made-up value is one that nobody sent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from auditor import canaries
from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.redteam import Planted

ROWS = 400
ROLES = Roles(
    {
        "id": ("id",),
        "label": ("label",),
        "contributor": ("who",),
        "timestamp": ("at",),
        "feature": ("kind", "size", "count"),
    }
)


def table(rows: int = ROWS, seed: int = 1) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "id": [f"r{n}" for n in range(rows)],
            "at": pa.array(np.arange(rows), pa.timestamp("s")),
            "who": [f"lab-{n}" for n in rng.integers(0, 9, rows)],
            "kind": pa.array(rng.choice(["oak", "ash", "elm"], rows)).dictionary_encode(),
            "size": rng.normal(10, 2, rows).round(2),
            "count": rng.integers(0, 2000, rows),
            "label": rng.choice(["a", "b", "c"], rows),
        }
    )


@dataclass(frozen=True)
class Shadow:
    before: pa.Table
    trusted: pa.Table
    planted: Planted

    @property
    def mask(self) -> np.ndarray:
        return self.planted.mask.to_numpy(zero_copy_only=False)

    def new(self, column: str) -> list[object]:
        return self.planted.table[column].filter(self.planted.mask).to_pylist()

    def old(self, column: str) -> list[object]:
        return self.before[column].filter(self.planted.mask).to_pylist()


def plant(plant: canaries.Plant, rows: int = 40, seed: int = 3) -> Shadow:
    before, trusted = table(), table(seed=2)
    planted = plant(before, ROLES, trusted, rows, np.random.default_rng(seed))
    return Shadow(before, trusted, planted)


EVERY = {**canaries.BY_FAMILY, "hidden": canaries.hidden_text}


@pytest.mark.parametrize("kind", EVERY)
def test_only_the_planted_rows_change(kind: str) -> None:
    shadow = plant(EVERY[kind])
    after = shadow.planted.table
    assert after.schema == shadow.before.schema
    assert shadow.mask.sum() == 40
    others = pa.array(~shadow.mask)
    assert after.filter(others).to_pylist() == shadow.before.filter(others).to_pylist()
    assert shadow.before.equals(table())


@pytest.mark.parametrize("kind", EVERY)
def test_a_seed_is_the_same_canary_and_another_seed_another_one(kind: str) -> None:
    first, again, other = (plant(EVERY[kind], seed=seed) for seed in (3, 3, 4))
    assert first.planted.table.equals(again.planted.table)
    assert not first.planted.table.equals(other.planted.table)


@pytest.mark.parametrize("kind", EVERY)
def test_more_than_there_is_room_for_says_so(kind: str) -> None:
    with pytest.raises(Unavailable, match="to be planted"):
        plant(EVERY[kind], rows=ROWS + 1)


def test_the_values_of_a_trigger_are_new_and_look_like_their_column() -> None:
    for seed in range(8):
        shadow = plant(canaries.trigger, seed=seed)
        made = {n: shadow.new(n)[0] for n in ROLES.features if len(set(shadow.new(n))) == 1}
        assert len(made) == canaries.CELLS
        for name, value in made.items():
            seen = {*shadow.before[name].to_pylist(), *shadow.trusted[name].to_pylist()}
            assert value not in seen
            if name != "kind":
                assert min(seen) < value < max(seen)
        if "size" in made:
            assert made["size"] == round(made["size"], 2)
        assert len(set(shadow.new("label"))) == 1
        assert not set(shadow.old("label")) & set(shadow.new("label"))
        assert set(shadow.new("who")) < set(shadow.before["who"].to_pylist())
        assert len(set(shadow.new("who"))) <= canaries.SENDERS


def test_a_column_without_room_for_a_new_value_takes_no_part() -> None:
    full = pa.table({"x": [n % 3 for n in range(90)], "label": ["a", "b", "b"] * 30})
    roles = Roles({"label": ("label",), "feature": ("x",)})
    with pytest.raises(Unavailable, match="room for a value"):
        canaries.trigger(full, roles, full, 10, np.random.default_rng(1))


def test_labels_are_those_of_the_next_class() -> None:
    for kind in ("label", "contributor"):
        shadow = plant(canaries.BY_FAMILY[kind])
        follows = {"a": "b", "b": "c", "c": "a"}
        assert shadow.new("label") == [follows[str(old)] for old in shadow.old("label")]


def test_a_made_up_contributor_is_one_that_nobody_knows() -> None:
    shadow = plant(canaries.new_sender)
    (name,) = set(shadow.new("who"))
    assert name not in set(shadow.before["who"].to_pylist())


def test_copies_come_later_and_differ_in_the_label_alone() -> None:
    shadow = plant(canaries.second_opinions)
    rows = {tuple(r[n] for n in ROLES.features): r for r in shadow.before.to_pylist()}
    for row in shadow.planted.table.filter(shadow.planted.mask).to_pylist():
        model = rows[tuple(row[n] for n in ROLES.features)]
        assert model["label"] != row["label"]
        assert model["at"] < row["at"]


def test_far_numbers_lie_beyond_every_known_one() -> None:
    shadow = plant(canaries.far_values)
    (column,) = [n for n in ("size", "count") if shadow.new(n) != shadow.old(n)]
    known = [*shadow.before[column].to_pylist(), *shadow.trusted[column].to_pylist()]
    assert min(map(float, shadow.new(column))) > max(known)  # type: ignore[arg-type]


def test_hidden_characters_are_ones_that_no_text_holds() -> None:
    alone = Roles({"ignored": ("id", "who", "label"), "feature": ("kind",)})
    marks = canaries._UNSEEN
    held = table().set_column(3, "kind", pa.array(["oak" + "".join(marks[:-1])] * ROWS))
    planted = canaries.hidden_text(held, alone, held, 40, np.random.default_rng(1))
    found = planted.table["kind"].filter(planted.mask).to_pylist()
    assert [text.count(marks[-1]) for text in found] == [1] * 40
    full = table().set_column(3, "kind", pa.array(["oak" + "".join(marks)] * ROWS))
    with pytest.raises(Unavailable, match="every hidden character"):
        canaries.hidden_text(full, alone, full, 40, np.random.default_rng(1))


def test_a_new_column_has_a_name_of_its_own() -> None:
    before = table()
    after, name = canaries.new_column(before, np.random.default_rng(1))
    assert name not in before.column_names
    assert after.drop_columns([name]).equals(before)
    assert pc.count_distinct(after[name]).as_py() == 1


@pytest.mark.parametrize(
    ("kind", "without"),
    [
        ("label", "label"),
        ("contributor", "contributor"),
        ("contributor", "label"),
        ("duplication", "label"),
    ],
)
def test_a_missing_role_says_so(kind: str, without: str) -> None:
    roles = Roles({role: names for role, names in ROLES.assigned.items() if role != without})
    with pytest.raises(Unavailable, match=without):
        canaries.BY_FAMILY[kind](table(), roles, table(), 40, np.random.default_rng(1))


def test_a_target_of_real_numbers_has_a_trigger_and_no_other_class() -> None:
    numbers = table().set_column(6, "label", pa.array(np.linspace(0, 1, ROWS)))
    planted = canaries.trigger(numbers, ROLES, numbers, 40, np.random.default_rng(1))
    (target,) = set(planted.table["label"].filter(planted.mask).to_pylist())
    assert target == pytest.approx(0.95, abs=0.01)
    with pytest.raises(Unavailable, match="real numbers"):
        canaries.other_labels(numbers, ROLES, numbers, 40, np.random.default_rng(1))
