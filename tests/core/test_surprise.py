"""The surprise miner: a planted conjunction is named, and pure chance is not."""

from __future__ import annotations

import numpy as np
import pytest

from auditor.surprise import Conjunction, Layout, Mined, Side, mine
from auditor.surprise.claims import LEAST
from auditor.surprise.clumps import Clumps, Senders

SLOTS, WIDTH, LABELS = 8, 6, 2
LAYOUT = Layout(tuple((f"c{i}", WIDTH) for i in range(SLOTS)), LABELS)


def rows(rng: np.random.Generator, count: int, bound: float = 0.0) -> Side:
    """Independent columns; `bound` of the rows repeat column 0 in column 1."""
    codes = rng.integers(1, WIDTH, (SLOTS, count)).astype(np.int32)
    same = rng.random(count) < bound
    codes[1, same] = codes[0, same]
    labels = (rng.random(count) < 0.4).astype(np.int32)
    return Side(codes, labels, senders=rng.integers(0, 40, count).astype(np.int64))


def search(trusted: Side, batch: Side) -> Mined:
    return mine(batch, [trusted], LAYOUT)[0]


def planted(batch: Side, count: int, rng: np.random.Generator) -> np.ndarray:
    """Plant codes 2, 3, 4 in columns 2, 3, 4 of `count` rows of label 1; which rows those are."""
    where = rng.choice(np.flatnonzero(batch.labels == 1), count, replace=False)
    for column, code in ((2, 2), (3, 3), (4, 4)):
        batch.codes[column, where] = code
    assert batch.senders is not None
    batch.senders[where] = rng.integers(0, 2, count)
    mask = np.zeros(batch.rows, dtype=bool)
    mask[where] = True
    return mask


@pytest.mark.parametrize("seed", range(3))
def test_a_planted_triple_is_named_with_its_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    trusted, batch = rows(rng, 1_200), rows(rng, 2_500)
    mask = planted(batch, 125, rng)
    found = search(trusted, batch)
    best = found.conjunctions[0]
    assert best.p_value < 1e-6
    assert set(best.items) <= {(2, 2), (3, 3), (4, 4)}
    assert len(best.items) >= 2
    assert best.label in (1, None)
    assert found.scores[mask].min() > np.quantile(found.scores[~mask], 0.97)


def test_chance_alone_makes_no_claim() -> None:
    claims = 0
    for seed in range(40):
        rng = np.random.default_rng(1_000 + seed)
        found = search(rows(rng, 600, bound=0.3), rows(rng, 1_200, bound=0.3))
        claims += bool(found.conjunctions) and found.conjunctions[0].p_value < 0.01
    assert claims <= 2


def test_columns_that_always_go_together_are_no_surprise() -> None:
    rng = np.random.default_rng(5)
    found = search(rows(rng, 800, bound=1.0), rows(rng, 1_500, bound=1.0))
    assert not [c for c in found.conjunctions if c.p_value < 0.01]


def test_another_share_of_labels_is_no_surprise() -> None:
    rng = np.random.default_rng(6)
    trusted, batch = rows(rng, 1_000), rows(rng, 1_500)
    batch.labels[:] = (rng.random(1_500) < 0.9).astype(np.int32)
    assert not [c for c in search(trusted, batch).conjunctions if c.p_value < 0.01]


def test_rows_of_few_contributors_are_told_from_ordinary_groups() -> None:
    rng = np.random.default_rng(7)
    batch = rows(rng, 2_000)
    mask = planted(batch, 40, rng)
    ordinary = [(((i, a), (j, b)), 0) for i, j in LAYOUT.pairs() for a in (1, 5) for b in (1, 2, 5)]
    senders = Senders.of(ordinary, batch)
    group = ((2, 2), (3, 3), (4, 4))
    hit = Conjunction(
        items=group, label=1, observed=int(mask.sum()), expected=1.0, trusted=0.0, tail=1e-9
    )
    assert (senders.chance(hit) or 1.0) < 0.02
    assert batch.senders is not None
    batch.senders[mask] = rng.integers(0, 40, int(mask.sum()))
    assert (senders.chance(hit) or 0.0) > 0.1
    assert Senders.of(ordinary[:50], batch).chance(hit) is None


def test_without_contributors_the_same_conjunction_is_found() -> None:
    rng = np.random.default_rng(8)
    trusted, batch = rows(rng, 1_200), rows(rng, 2_500)
    planted(batch, 125, rng)
    found = search(trusted, Side(batch.codes, batch.labels))
    assert found.conjunctions[0].p_value < 1e-6


def test_a_clump_that_trusted_rows_may_hide_is_no_claim() -> None:
    clumps = Clumps.of([], rows(np.random.default_rng(0), 500))
    chances = [clumps.missed(k, 0.0, 2.0) for k in (5, 10, 20, 40, 80)]
    assert chances == sorted(chances, reverse=True)
    assert chances[0] > 0.05
    assert chances[-1] < 1e-9
    assert clumps.missed(40, 10.0, 2.0) > clumps.missed(40, 0.0, 2.0)


@pytest.mark.parametrize("level", [1e-4, 1e-3, 1e-2])
def test_size_and_senders_together_are_as_rare_as_they_say(level: float) -> None:
    """Clumps of every size, chances spread evenly: how many are told to be below a level."""
    clumps, ratio = Clumps.of([], rows(np.random.default_rng(0), 1_200)), 2.0
    chances = np.logspace(-6, 0, 2_001)
    told_below = product_below = 0.0
    for size in range(LEAST, 60):
        number = clumps.missed(size, 0.0, ratio)
        of_this_size = number - clumps.missed(size + 1, 0.0, ratio)
        told = np.array([clumps.as_rare(size, 0.0, ratio, float(u)) for u in chances])
        told_below += of_this_size * np.max(chances[told <= level], initial=0.0)
        product_below += of_this_size * min(1.0, level / number)
    assert product_below > 2.0 * level
    assert 0.2 * level < told_below <= level


def test_a_clump_where_rows_became_more_frequent_is_less_of_a_surprise() -> None:
    rng = np.random.default_rng(11)
    trusted, batch = rows(rng, 1_200), rows(rng, 2_500)
    mask = planted(batch, 60, rng)
    best = []
    for ratio in (1.0, 3.0):
        ratios = np.where(mask, ratio, 1.0)
        side = Side(batch.codes, batch.labels, senders=batch.senders, ratios=ratios)
        best.append(search(trusted, side).conjunctions[0].p_value)
    assert best[0] < best[1] / 10


def test_weights_stand_for_rows_that_are_there_more_often() -> None:
    rng = np.random.default_rng(9)
    trusted, batch = rows(rng, 1_500), rows(rng, 1_500)
    often = rng.random(1_500) < 0.5
    batch.codes[0, often] = 1
    plain = search(trusted, batch)
    weights = np.where(trusted.codes[0] == 1, 3.0, 0.5)
    weighted = search(Side(trusted.codes, trusted.labels, weights / weights.mean()), batch)
    assert plain.conjunctions[0].p_value < 1e-6
    assert not [c for c in weighted.conjunctions if c.p_value < 0.01]


def test_a_label_that_no_trusted_row_has_does_not_break_the_count() -> None:
    rng = np.random.default_rng(10)
    trusted, batch = rows(rng, 300), rows(rng, 300)
    trusted.labels[:] = 0
    assert np.isfinite(search(trusted, batch).scores).all()
