"""Two-sample statistics against SciPy's, and the tails of permutations."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from auditor.statistics import (
    auc,
    benjamini_hochberg,
    chi_squared_tail,
    kolmogorov_tail,
    midranks,
    permutation_tail,
)

RNG = np.random.default_rng(1)


@pytest.mark.parametrize("seed", range(5))
def test_false_discovery_rates_are_scipys(seed: int) -> None:
    p = np.random.default_rng(seed).random(20) ** 3
    assert benjamini_hochberg(p.tolist()) == pytest.approx(scipy.stats.false_discovery_control(p))


def test_no_test_has_no_rate() -> None:
    assert benjamini_hochberg([]) == []


def test_chi_squared_is_scipys_where_counts_are_large() -> None:
    one, two = np.array([40.0, 60.0, 30.0]), np.array([70.0, 50.0, 20.0])
    expected = scipy.stats.chi2_contingency([one, two], correction=False).pvalue
    assert chi_squared_tail(one, two) == pytest.approx(expected)


def test_small_bins_are_taken_together() -> None:
    one = np.array([100.0, 100.0, 1.0, 0.0, 1.0])
    two = np.array([100.0, 100.0, 0.0, 1.0, 0.0])
    assert chi_squared_tail(one, two) > 0.5


@pytest.mark.parametrize("two", [np.zeros(3), np.array([9.0, 0.0, 0.0])])
def test_nothing_to_compare_is_no_difference(two: np.ndarray) -> None:
    assert chi_squared_tail(np.array([9.0, 0.0, 0.0]), two) == 1.0
    assert kolmogorov_tail(np.array([9.0, 0.0, 0.0]), two) == 1.0


def test_kolmogorov_smirnov_is_close_to_scipys() -> None:
    one, two = RNG.normal(size=300), RNG.normal(0.25, size=400)
    edges = np.sort(np.r_[one, two, np.inf])
    counts = [np.histogram(v, edges)[0].astype(float) for v in (one, two)]
    expected = scipy.stats.ks_2samp(one, two, method="asymp").pvalue
    assert kolmogorov_tail(*counts) == pytest.approx(expected, rel=0.2)


def test_ranks_and_areas_are_scipys() -> None:
    scores, side = RNG.integers(0, 6, 80).astype(float), RNG.random(80) < 0.4
    assert midranks(scores).tolist() == scipy.stats.rankdata(scores).tolist()
    u = scipy.stats.mannwhitneyu(scores[side], scores[~side]).statistic
    assert auc(scores, side) == pytest.approx(u / (side.sum() * (~side).sum()))
    assert auc(scores, np.ones(80, dtype=bool)) == 0.5


def test_within_the_permutations_the_tail_is_counted() -> None:
    assert permutation_tail(90.0, np.arange(100.0)) == 11 / 101
    assert permutation_tail(0.0, np.zeros(99)) == 1.0


@pytest.mark.parametrize("shape", [0.8, 4.0, 400.0])
def test_beyond_them_it_follows_the_law(shape: float) -> None:
    law = scipy.stats.gamma(shape)
    null = law.ppf((np.arange(999) + 0.5) / 999)
    for p in (1e-3, 1e-4, 1e-5):
        found = permutation_tail(float(law.isf(p)), null)
        assert p / 5 < found < 5 * p
