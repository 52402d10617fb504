"""Sums of label residuals: no tail is too small, and what honest groups do is allowed for."""

from __future__ import annotations

import numpy as np
import pytest

from auditor.labels.residuals import (
    Contrast,
    Groups,
    Softening,
    contrasts,
    judge_groups,
    log_tails,
    shift,
    spread,
    wrong_share,
)
from auditor.statistics import binomial_tail

MANY = 10**9


def tail(
    contrast: Contrast, groups: Groups, between: float = 0.0, fitted: int = MANY
) -> np.ndarray:
    widths = groups.counts.astype(float) ** 2
    return np.exp(
        log_tails(groups, contrast, shifted=0.0, between=between, widths=widths, fitted=fitted)
    )


@pytest.mark.parametrize("rows", [1, 3, 10, 60, 500])
@pytest.mark.parametrize("chance", [0.001, 0.02, 0.2, 0.5])
def test_no_tail_is_smaller_than_the_exact_one(rows: int, chance: float) -> None:
    chances = np.tile([chance, 1 - chance], (rows, 1))
    for k in range(0, rows + 1, max(1, rows // 20)):
        codes = np.array([0] * k + [1] * (rows - k))
        found = next(c for c in contrasts(chances, codes) if c.target == 0)
        p = tail(found, Groups.sorted(np.zeros(rows, dtype=np.int64)))[0]
        exact = binomial_tail(k, rows, chance)
        assert p >= exact * 0.999 or exact < 1e-200
        if p < 1 and exact > 1e-200:
            assert p <= 2 * exact  # and not much larger


def test_claims_about_honest_groups_are_as_rare_as_they_say() -> None:
    rng = np.random.default_rng(1)
    chances = np.tile(0.97 * rng.dirichlet(np.full(4, 0.3), 40) + 0.03 / 4, (3000, 1))
    codes = (rng.random((len(chances), 1)) > np.cumsum(chances, axis=1)).sum(axis=1).clip(0, 3)
    groups = Groups.sorted(np.repeat(np.arange(3000), 40))
    p = judge_groups(chances, codes, groups, fitted=MANY, allowances=[(0.0, 0.0)] * 6).p_values
    for level in (0.05, 0.01, 0.002):
        assert binomial_tail(int((p <= level).sum()), len(p), level) > 1e-3
    assert (p <= 0.2).any()  # it is no constant


def test_wrong_labels_are_seen_and_the_target_is_named() -> None:
    rng = np.random.default_rng(2)
    chances = np.tile([0.9, 0.05, 0.05], (600, 1))
    codes = rng.choice(3, 600, p=[0.9, 0.05, 0.05])
    codes[:60] = rng.choice(3, 60, p=[0.55, 0.0, 0.45])
    groups = Groups.sorted(np.arange(600) // 60)
    tested = judge_groups(chances, codes, groups, fitted=MANY, allowances=[(0.0, 0.0)] * 5)
    assert tested.p_values[0] < 1e-4
    assert tested.targets[0] == 2
    assert (tested.p_values[1:] > 0.002).all()


def test_a_spread_and_a_short_baseline_weaken_a_claim() -> None:
    chances, groups = np.tile([0.9, 0.1], (50, 1)), Groups.sorted(np.zeros(50, dtype=np.int64))
    found = next(contrasts(chances, np.array([1] * 20 + [0] * 30)))
    sure, spread_out, short = (
        tail(found, groups),
        tail(found, groups, 0.1),
        tail(found, groups, fitted=50),
    )
    assert sure[0] < 1e-6
    assert sure[0] * 100 < spread_out[0] < 1
    assert sure[0] * 10 < short[0] < 1


def test_the_spread_between_groups_is_estimated_and_bad_groups_do_not_raise_the_robust_one() -> (
    None
):
    rng = np.random.default_rng(3)
    counts = np.full(200, 50)
    residuals = rng.normal(0, np.sqrt(50 * 0.2 + 0.01 * 50**2), 200)
    variances = counts * 0.2
    assert spread(residuals, variances, counts, robust=False) == pytest.approx(0.01, rel=0.4)
    residuals[:20] += 1000
    assert spread(residuals, variances, counts, robust=True) == pytest.approx(0.01, rel=0.6)
    assert spread(residuals, variances, counts, robust=False) > 10
    assert spread(residuals[:5], variances[:5], counts[:5], robust=False) == 0.0


def test_what_all_groups_share_is_a_shift_and_less_than_expected_is_none() -> None:
    counts = np.full(9, 10)
    assert shift(np.full(9, 2.0), counts) == pytest.approx(0.2)
    assert shift(np.full(9, -2.0), counts) == 0.0
    assert shift(np.full(3, 2.0), counts[:3]) == 0.0


def test_softening_finds_how_sure_a_model_may_be() -> None:
    rng = np.random.default_rng(4)
    honest = rng.dirichlet([0.5, 0.5, 0.5], 4000)
    codes = (rng.random((4000, 1)) > np.cumsum(honest, axis=1)).sum(axis=1).clip(0, 2)
    sharp = honest**2 / (honest**2).sum(axis=1, keepdims=True)
    found = Softening.fit(sharp, codes)
    assert found.temperature == 2.0
    assert np.abs(found.apply(sharp) - honest).mean() < 0.02
    few = Softening.fit(np.tile([1.0, 0.0], (30, 1)), np.zeros(30, dtype=np.int64))
    assert few.apply(np.array([[1.0, 0.0]]))[0, 1] >= 0.5 / 31


def test_the_share_of_wrong_labels_and_which_rows_they_are() -> None:
    share, wrong = wrong_share(np.array([50.0] * 30 + [0.01] * 70))
    assert share == pytest.approx(0.3, abs=0.02)
    assert (wrong[:30] > 0.9).all()
    assert (wrong[30:] < 0.1).all()
    assert wrong_share(np.full(20, 0.01))[0] < 0.02
