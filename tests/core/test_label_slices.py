"""Slices with too many rows of a label: planted ones are found, chance and a bad model are not."""

from __future__ import annotations

import numpy as np

from auditor.label_slices import Labelled, Slice, label_slices

SLOTS = [(f"c{i}", 6) for i in range(5)]


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
