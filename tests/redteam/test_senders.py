"""Who sends the poison, and what that does to those who did not."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from auditor.batch import Roles
from auditor.redteam import (
    OMISSIONS,
    VARIANTS,
    Planted,
    denial,
    framing,
    near_copies,
    omission,
    privacy_copy,
    sybil,
)
from auditor.redteam.senders import choose, some

CONTENT = ("carat", "cut", "color", "clarity", "depth", "table", "x", "y", "z")


def poison(planted: Planted) -> pa.Table:
    return planted.table.filter(planted.mask)


def content(table: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*(table[name].to_pylist() for name in CONTENT), strict=True))


def senders(table: pa.Table) -> Counter[str]:
    return Counter(table["contributor"].to_pylist())


def test_sybils_have_new_names_that_look_like_the_others(clean: pa.Table, roles: Roles) -> None:
    rows = poison(sybil.plant(clean, roles, rows=80, seed=1, names=4))
    known, new = set(senders(clean)), set(senders(rows))
    assert len(new) == 4
    assert not new & known
    assert {len(name) for name in new} <= {len(name) for name in known}


def test_sybils_send_variations_of_few_rows_with_one_wrong_label(
    clean: pa.Table, roles: Roles
) -> None:
    rows = poison(sybil.plant(clean, roles, rows=80, seed=1, per_template=8))
    (label,) = set(rows["price_band"].to_pylist())
    words = ("cut", "color", "clarity")
    assert len({tuple(r.values()) for r in rows.select(words).to_pylist()}) <= 10
    assert not set(content(rows)) & set(content(clean))
    honest = clean.filter(pc.not_equal(clean["price_band"], label))
    places = np.column_stack([honest[c].to_numpy() for c in ("carat", "x", "y")])
    for row in np.column_stack([rows[c].to_numpy() for c in ("carat", "x", "y")]):
        assert (np.abs(places - row) / places.std(axis=0)).max(axis=1).min() < 0.5


def test_near_copies_of_a_row_share_one_other_label(clean: pa.Table, roles: Roles) -> None:
    own = poison(near_copies.plant(clean, roles, rows=60, seed=1))
    other = poison(near_copies.plant(clean, roles, rows=60, seed=1, label="other"))
    differ = pc.not_equal(own["price_band"], other["price_band"])
    assert pc.all(differ).as_py()
    assert own.drop(["price_band"]).equals(other.drop(["price_band"]))


@pytest.mark.parametrize("copies", [5, 30])
def test_the_number_of_copies_is_that_of_a_template(
    copies: int, clean: pa.Table, roles: Roles
) -> None:
    planted = near_copies.plant(clean, roles, rows=60, seed=1, copies=copies, contributors=1)
    assert f"copies of {60 // copies} rows" in planted.description
    assert len(senders(poison(planted))) == 1


def test_privacy_copies_repeat_one_record_under_one_wrong_label(
    clean: pa.Table, roles: Roles
) -> None:
    rows = poison(privacy_copy.plant(clean, roles, rows=32, seed=1, copies=16))
    labels = dict(zip(content(clean), clean["price_band"].to_pylist(), strict=True))
    times = Counter(content(rows))
    assert sorted(times.values()) == [16, 16]
    wrong = set(zip(content(rows), rows["price_band"].to_pylist(), strict=True))
    assert len(wrong) == 2
    assert all(labels[row] != label for row, label in wrong)


def test_framed_rows_are_the_victims_with_another_label(clean: pa.Table, roles: Roles) -> None:
    planted = framing.plant(clean, roles, rows=30, seed=1)
    rows = poison(planted)
    (attacker,) = senders(rows)
    owner = dict(zip(content(clean), clean["contributor"].to_pylist(), strict=True))
    labels = dict(zip(content(clean), clean["price_band"].to_pylist(), strict=True))
    (victim,) = {owner[row] for row in content(rows)}
    assert attacker != victim
    assert all(
        labels[row] != label
        for row, label in zip(content(rows), rows["price_band"].to_pylist(), strict=True)
    )


def test_a_minority_is_framed_by_near_copies(clean: pa.Table, roles: Roles) -> None:
    planted = framing.plant(clean, roles, rows=30, seed=1, kind="minority")
    (attacker,) = senders(poison(planted))
    victim = senders(clean).most_common()[-1]
    assert senders(clean)[attacker] >= victim[1]
    framed = planted.description.partition("rows of ")[2].split("'")[1]
    assert senders(clean)[framed] == victim[1]
    assert not set(content(poison(planted))) & set(content(clean))


def test_a_stolen_name_sends_rows_of_others(clean: pa.Table, roles: Roles) -> None:
    rows = poison(framing.plant(clean, roles, rows=30, seed=1, kind="name"))
    (victim,) = senders(rows)
    owner = dict(zip(content(clean), clean["contributor"].to_pylist(), strict=True))
    assert victim not in {owner[row] for row in content(rows)}


def test_denial_is_junk_of_one_contributor_partly_twice(clean: pa.Table, roles: Roles) -> None:
    planted = denial.plant(clean, roles, rows=1200, seed=1)
    rows = poison(planted)
    assert rows.num_rows == 1200
    assert len(senders(rows)) == 1
    assert len(set(content(rows))) <= 800
    assert not set(content(rows)) & set(content(clean))


@pytest.mark.parametrize(
    ("name", "column"), [("omission", "price_band"), ("omission-contributor", "contributor")]
)
def test_what_is_left_out_shares_a_value(
    name: str, column: str, clean: pa.Table, roles: Roles
) -> None:
    planted = OMISSIONS[name](clean, roles, rows=40, seed=1)
    gone = sorted(set(range(clean.num_rows)) - set(planted.origin.to_pylist()))
    lost = clean.take(pa.array(gone))[column].to_pylist()
    assert len(gone) == 40
    assert len(set(lost)) == 1
    assert repr(lost[0]) in planted.description
    assert planted.mask.true_count == 0


def test_a_slice_that_is_left_out_is_the_slice_role_where_there_is_one(
    clean: pa.Table, roles: Roles
) -> None:
    for seed in range(4):
        with_slice = Roles({**roles.assigned, "slice": ("cut",)})
        planted = omission.plant(clean, with_slice, rows=20, seed=seed, what="slice")
        assert " with cut = " in planted.description


def test_choosing_takes_allowed_rows_only(clean: pa.Table, roles: Roles) -> None:
    allowed = np.arange(0, clean.num_rows, 3)
    for contributors in (None, 1, 3, 500):
        rng = np.random.default_rng(1)
        chosen = choose(clean, roles, allowed, 25, contributors, rng)
        assert len(chosen.rows) == 25
        assert set(chosen.rows.tolist()) <= set(allowed.tolist())
        assert np.all(np.diff(chosen.rows) > 0)
        theirs = set(clean.take(pa.array(chosen.rows))["contributor"].to_pylist())
        assert contributors is None or theirs <= set(chosen.names)


def test_new_rows_of_everybody_follow_the_shares_of_the_batch(
    clean: pa.Table, roles: Roles
) -> None:
    rng = np.random.default_rng(1)
    assert Counter(some(clean, roles, None, rng)) == senders(clean)
    assert len(set(some(clean, roles, 4, rng))) == 4
    assert some(clean, Roles({}), 4, rng) == ()


def test_variants_are_functions_that_another_process_can_load() -> None:
    import pickle  # noqa: TID251 -- what a pool of processes does; nothing is loaded from a file

    for name, attack in VARIANTS.items():
        loaded = pickle.loads(pickle.dumps(attack))
        if isinstance(attack, partial):
            assert (loaded.func, loaded.keywords) == (attack.func, attack.keywords), name
        else:
            assert loaded is attack, name
