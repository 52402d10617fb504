"""The domain model: honest p-values, weights that follow the batch, combinations left alone."""

from __future__ import annotations

import numpy as np
import pytest

from auditor.domain import ENOUGH, fit_domain
from auditor.features import Matrix
from auditor.statistics import binomial_tail

MIX = np.random.default_rng(0).normal(size=(3, 5))


def rows(count: int, seed: int, *, shift: float = 0.0) -> Matrix:
    """Correlated columns, the last one of two values; `shift` moves the first column."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, 3)) @ MIX * 0.4
    values += rng.normal(size=(count, 5))
    values[:, 0] += shift
    values[:, 4] = values[:, 4] > 0
    return values.astype(np.float32)


def same_law(count: int, seed: int) -> tuple[Matrix, Matrix]:
    both = rows(2 * count, seed)
    return both[:count], both[count:]


def test_alike_sides_are_rarely_told_apart() -> None:
    found = [fit_domain(*same_law(60, seed), seed=seed).p_value for seed in range(60)]
    assert binomial_tail(sum(p <= 0.05 for p in found), 60, 0.05) > 1e-3
    assert sum(p > 0.5 for p in found) >= 15


def test_a_shift_is_told_and_its_column_named() -> None:
    told = fit_domain(rows(300, 1), rows(300, 2, shift=1.5), seed=0)
    assert told.p_value < 1e-6
    assert told.auc > 0.7
    assert int(np.argmax(told.moved)) == 0


def test_weights_follow_the_batch() -> None:
    trusted = rows(1500, 3)
    told = fit_domain(trusted, rows(1500, 4, shift=1.0), seed=0)
    assert told.weights.mean() == pytest.approx(1.0)
    assert told.weights.min() > 0.0
    high = trusted[:, 0] > np.median(trusted[:, 0])
    assert told.weights[high].mean() > 1.3 * told.weights[~high].mean()
    assert 500 < told.effective < 1490


def test_ratios_of_rows_are_those_that_weigh_trusted_ones() -> None:
    trusted = rows(300, 3)
    told = fit_domain(trusted, rows(300, 4, shift=1.0), seed=0)
    assert told.ratios(trusted) == pytest.approx(told.weights)
    assert told.ratios(trusted).mean() == pytest.approx(1.0)


def test_a_combination_of_ordinary_values_is_not_explained_away() -> None:
    """Additive: where only the combination is new, no trusted row gains much weight."""
    rng = np.random.default_rng(5)
    sides = rng.integers(0, 2, size=(2, 600, 2)).astype(np.float32)
    sides[1, :300, 1] = sides[1, :300, 0]  # more often alike, each column as it was
    told = fit_domain(sides[0], sides[1], seed=0)
    assert np.abs(told.weights - 1.0).max() < 0.15


def test_the_order_of_rows_does_not_matter() -> None:
    trusted, batch = rows(120, 6), rows(150, 7, shift=0.5)
    order = np.random.default_rng(8).permutation(len(batch))
    one, two = fit_domain(trusted, batch, seed=3), fit_domain(trusted, batch[order], seed=3)
    assert one.p_value == pytest.approx(two.p_value, rel=1e-9)
    assert one.weights == pytest.approx(two.weights, rel=1e-6)


@pytest.mark.parametrize(
    ("trusted", "batch"),
    [
        (rows(ENOUGH - 1, 1), rows(100, 2, shift=9.0)),
        (rows(100, 1), rows(0, 2)),
        (np.ones((80, 3), dtype=np.float32), np.ones((80, 3), dtype=np.float32)),
        (np.ones((80, 0), dtype=np.float32), np.ones((80, 0), dtype=np.float32)),
    ],
    ids=["few trusted", "no batch", "constant", "no column"],
)
def test_nothing_to_tell_gives_even_weights(trusted: Matrix, batch: Matrix) -> None:
    told = fit_domain(trusted, batch, seed=0)
    assert (told.p_value, told.auc, told.effective) == (1.0, 0.5, len(trusted))
    assert told.weights.tolist() == [1.0] * len(trusted)


def test_far_values_do_not_carry_a_row_away() -> None:
    batch = rows(200, 9)
    batch[:50] = 1e6
    told = fit_domain(rows(200, 10), batch, seed=0)
    assert np.isfinite(told.weights).all()
    assert told.weights.max() <= 20.0**2
