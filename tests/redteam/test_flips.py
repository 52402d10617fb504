"""What flips do to labels: whose, where, to which class."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from auditor.batch import Roles
from auditor.features import Encoder
from auditor.redteam import Planted, bias, boundary_flip, random_flip, targeted_flip
from auditor.redteam.pure_noise import FEATURES, ROLES, WRONG, pure_noise


def poison(planted: Planted) -> pa.Table:
    return planted.table.filter(planted.mask)


def labels(table: pa.Table) -> list[str]:
    found: list[str] = table["price_band"].to_pylist()
    return found


def changes(planted: Planted, clean: pa.Table) -> set[tuple[str, str]]:
    return set(zip(labels(clean.filter(planted.mask)), labels(poison(planted)), strict=True))


@pytest.mark.parametrize(
    "plant", [random_flip.plant, targeted_flip.plant, boundary_flip.plant, bias.plant]
)
def test_flips_change_labels_and_nothing_else(plant, clean: pa.Table, roles: Roles) -> None:
    planted = plant(clean, roles, rows=50, seed=1)
    assert planted.table.drop(["price_band"]).equals(clean.drop(["price_band"]))
    changed = pc.not_equal(planted.table["price_band"], clean["price_band"])
    assert changed.combine_chunks().equals(planted.mask)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_random_flips_come_from_as_many_contributors_as_asked(
    count: int, clean: pa.Table, roles: Roles
) -> None:
    planted = random_flip.plant(clean, roles, rows=50, seed=1, contributors=count)
    senders = Counter(poison(planted)["contributor"].to_pylist())
    assert len(senders) == count
    everybody = random_flip.plant(clean, roles, rows=200, seed=1, contributors=None)
    assert len(set(poison(everybody)["contributor"].to_pylist())) > 20


def test_random_flips_take_more_contributors_where_two_have_too_few_rows(
    clean: pa.Table, roles: Roles
) -> None:
    most = max(Counter(clean["contributor"].to_pylist()).values())
    planted = random_flip.plant(clean, roles, rows=3 * most, seed=1, contributors=2)
    assert planted.mask.true_count == 3 * most
    assert len(set(poison(planted)["contributor"].to_pylist())) > 2


def test_random_flips_go_to_every_other_class(clean: pa.Table, roles: Roles) -> None:
    planted = random_flip.plant(clean, roles, rows=600, seed=1, contributors=None)
    pairs = Counter(zip(labels(clean.filter(planted.mask)), labels(poison(planted)), strict=True))
    assert len(pairs) == 4 * 3
    assert max(pairs.values()) < 2.5 * min(pairs.values())


def test_a_targeted_flip_is_one_class_to_one_other_in_one_place(
    clean: pa.Table, roles: Roles
) -> None:
    planted = targeted_flip.plant(clean, roles, rows=40, seed=2)
    ((before, after),) = changes(planted, clean)
    assert before != after
    matrix = np.clip(Encoder.fit(clean, roles.features).transform(clean), -5, 5)
    centre = int(planted.description.partition("around row ")[2].split()[0])
    away = np.linalg.norm(matrix - matrix[centre], axis=1)
    same = np.array(labels(clean)) == before
    assert away[np.asarray(planted.mask)].max() <= np.sort(away[same])[79]


def test_density_is_the_share_of_the_region_that_is_flipped(clean: pa.Table, roles: Roles) -> None:
    all_of_it = targeted_flip.plant(clean, roles, rows=40, seed=2, density=1.0)
    a_tenth = targeted_flip.plant(clean, roles, rows=40, seed=2, density=0.1)
    assert all_of_it.description.startswith("40 of 40 rows")
    assert a_tenth.description.startswith("40 of 400 rows")


def test_a_slice_is_one_category_or_one_interval(clean: pa.Table, roles: Roles) -> None:
    told = set()
    for seed in range(12):
        planted = targeted_flip.plant(clean, roles, rows=20, seed=seed, region="slice")
        rows, where = poison(planted), planted.description.partition(" with ")[2]
        assert len(changes(planted, clean)) == 1
        column = where.split()[0]
        if " from " in where:
            low, high = (float(where.split()[i]) for i in (2, 4))
            values = rows[column].to_numpy()
            assert low - 1e-3 <= values.min() <= values.max() <= high + 1e-3
        else:
            assert len(pc.unique(rows[column])) == 1
        told.add(" from " in where)
    assert told == {True, False}


def test_boundary_flips_have_small_margins_and_go_to_the_runner_up(
    clean: pa.Table, trusted: pa.Table, roles: Roles
) -> None:
    planted = boundary_flip.plant(clean, roles, rows=40, seed=1, trusted=trusted)
    every = sorted(set(labels(clean)))
    rng = np.random.default_rng(0)
    scores, codes = boundary_flip.scored(clean, roles, trusted, every, rng, "boundary-flip")
    top = np.sort(scores, axis=1)
    margin = top[:, -1] - top[:, -2]
    mask = np.asarray(planted.mask)
    assert np.median(margin[mask]) < np.quantile(margin, 0.1)
    after = np.array([every.index(label) for label in labels(poison(planted))])
    best = np.argsort(scores[mask], axis=1)[:, -2:]
    assert np.mean((after[:, None] == best).any(axis=1)) > 0.9
    assert np.mean((codes[mask][:, None] == best).any(axis=1)) > 0.9


def test_bias_moves_the_rate_of_a_group_and_no_total(clean: pa.Table, roles: Roles) -> None:
    with_slice = Roles({**roles.assigned, "slice": ("cut",)})
    planted = bias.plant(clean, with_slice, rows=100, seed=1)
    assert Counter(labels(planted.table)) == Counter(labels(clean))
    group = planted.description.partition("cut = ")[2].split("'")[1]
    inside = pc.equal(clean["cut"], group)
    before, after = (Counter(labels(t.filter(inside))) for t in (clean, planted.table))
    moved = sorted(after[label] - before[label] for label in before)
    assert (moved[0], moved[-1]) == (-50, 50)
    assert sum(count != 0 for count in moved) == 2


def test_bias_finds_a_group_among_numbers(clean: pa.Table) -> None:
    numbers = Roles({"feature": ("x", "y"), "label": ("price_band",)})
    planted = bias.plant(clean, numbers, rows=20, seed=1)
    assert planted.mask.true_count == 20
    assert " above " in planted.description


def test_pure_noise_holds_no_signal_and_ten_wrong_labels() -> None:
    planted = pure_noise(2000, seed=4)
    assert planted.mask.true_count == WRONG
    assert planted.table.equals(pure_noise(2000, seed=4).table)
    assert not planted.table.equals(pure_noise(2000, seed=5).table)
    y = planted.table[str(ROLES.label)].to_numpy() - 0.5
    assert 0.45 < (y > 0).mean() < 0.55
    assert len(ROLES.features) == FEATURES
    for name in ROLES.features:
        assert abs(np.corrcoef(planted.table[name].to_numpy(), y)[0, 1]) < 4.5 / np.sqrt(2000)
    assert pure_noise(4, seed=1).mask.true_count == 4
    assert pure_noise(0, seed=1).table.num_rows == 0
