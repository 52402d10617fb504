"""Slices with too many rows of a label: planted ones are found, chance and a bad model are not."""

from __future__ import annotations

import numpy as np

from auditor.labels.slices import REGIONS, Cut, Labelled, Slice, label_slices

SLOTS = [Cut(f"c{i}", 6) for i in range(5)]


def side(rng: np.random.Generator, rows: int, bias: float = 0.0) -> Labelled:
    """Labels that follow their probabilities; in slice (0, 1) the model is wrong by `bias`."""
    codes = rng.integers(1, 6, (5, rows)).astype(np.int32)
    chance = rng.uniform(0.1, 0.6, rows)
    real = np.clip(chance + bias * (codes[0] == 1), 0, 1)
    carried = (rng.random(rows) < real).astype(float)
    return labelled(codes, chance, carried)


def labelled(codes: np.ndarray, chance: np.ndarray, carried: np.ndarray) -> Labelled:
    chances = np.stack([1 - chance, chance], axis=1)
    labels = np.stack([1 - carried, carried], axis=1)
    return Labelled(codes, labels - chances, chances * (1 - chances))


def flipped(clean: Labelled, rng: np.random.Generator, count: int) -> Labelled:
    """`count` rows of the slice c2 = 3 and c3 = 4 get the label 1."""
    chance = np.where(clean.residuals[:, 1] > 0, 1 - clean.residuals[:, 1], -clean.residuals[:, 1])
    carried = (clean.residuals[:, 1] > 0).astype(float)
    inside = np.flatnonzero((clean.codes[2] == 3) & (clean.codes[3] == 4) & (carried == 0))
    carried[rng.choice(inside, count, replace=False)] = 1.0
    return labelled(clean.codes, chance, carried)


def claims(found: tuple[Slice, ...], level: float = 0.002) -> list[Slice]:
    return [hit for hit in found if hit.p_value < level]


def test_flips_of_a_slice_are_named() -> None:
    rng = np.random.default_rng(1)
    trusted, clean = side(rng, 1_500), side(rng, 3_000)
    found = claims(label_slices(flipped(clean, rng, 60), trusted, SLOTS))
    assert found[0].items == ((2, 3), (3, 4))
    assert found[0].label == 1
    assert 40 <= found[0].excess <= 85


def test_chance_makes_no_claim() -> None:
    rng = np.random.default_rng(2)
    alarms = sum(
        bool(claims(label_slices(side(rng, 1_500), side(rng, 700), SLOTS), 0.01)) for _ in range(60)
    )
    assert alarms <= 3


def test_where_the_model_is_wrong_about_both_sides_there_is_no_claim() -> None:
    rng = np.random.default_rng(3)
    found = label_slices(side(rng, 3_000, bias=0.3), side(rng, 1_500, bias=0.3), SLOTS)
    assert not claims(found)
    assert claims(label_slices(side(rng, 3_000, bias=0.3), side(rng, 1_500), SLOTS))


def test_small_slices_are_not_judged() -> None:
    rng = np.random.default_rng(4)
    assert label_slices(side(rng, 15), side(rng, 15), SLOTS) == ()


def test_one_cause_is_one_slice() -> None:
    rng = np.random.default_rng(5)
    trusted, clean = side(rng, 1_500), side(rng, 3_000)
    found = claims(label_slices(flipped(clean, rng, 50), trusted, SLOTS))
    assert len(found) == 1


def sure(rng: np.random.Generator, rows: int, flips: int = 0) -> Labelled:
    """A model that is nearly certain: the variance of a slice is far below that of a normal law."""
    codes = rng.integers(1, 6, (5, rows)).astype(np.int32)
    chance = rng.uniform(0.001, 0.02, rows)
    carried = (rng.random(rows) < chance).astype(float)
    inside = np.flatnonzero((codes[2] == 3) & (codes[3] == 4) & (carried == 0))
    carried[rng.choice(inside, flips, replace=False)] = 1.0
    return labelled(codes, chance, carried)


def test_few_flips_against_a_sure_model_are_named() -> None:
    rng = np.random.default_rng(4)
    found = claims(label_slices(sure(rng, 1_000, flips=25), sure(rng, 1_000), SLOTS))
    assert found[0].items == ((2, 3), (3, 4))
    assert found[0].label == 1


def test_a_sure_model_makes_no_claim_by_chance() -> None:
    rng = np.random.default_rng(5)
    alarms = sum(
        bool(claims(label_slices(sure(rng, 1_000), sure(rng, 700), SLOTS), 0.01)) for _ in range(60)
    )
    assert alarms <= 2


def test_an_attack_on_one_region_does_not_hide_itself_in_the_spread() -> None:
    """Slices of columns overlap: flips of one region move most of them a little."""
    rng = np.random.default_rng(6)
    regions = [*SLOTS, Cut("", 30, REGIONS)]

    def with_region(one: Labelled, of: np.ndarray) -> Labelled:
        return Labelled(np.vstack([one.codes, of[None]]), one.residuals, one.variances)

    trusted, clean = side(rng, 1_500), side(rng, 2_000)
    mine, theirs = (rng.integers(0, 30, n).astype(np.int32) for n in (2_000, 1_500))
    carried = (clean.residuals[:, 1] > 0).astype(float)
    chance = carried - clean.residuals[:, 1]
    inside = np.flatnonzero((mine == 7) & (carried == 0))
    carried[inside] = 1.0
    poisoned = with_region(labelled(clean.codes, chance, carried), mine)
    found = claims(label_slices(poisoned, with_region(trusted, theirs), regions))
    assert found[0].items == ((5, 7),)
    assert all(len(hit.items) == 1 or (5, 7) not in hit.items for hit in found)
