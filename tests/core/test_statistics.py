"""Against SciPy's own distributions, brute force and published numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from auditor import statistics as s

COUNTS = st.integers(0, 60)


@given(k=COUNTS, n=COUNTS, p=st.floats(0.001, 0.999))
def test_binomial_tail_is_scipys(k: int, n: int, p: float) -> None:
    expected = scipy.stats.binom.sf(k - 1, n, p)
    assert s.binomial_tail(k, n, p) == pytest.approx(max(expected, s.P_FLOOR), rel=1e-9)


def test_binomial_tail_by_hand() -> None:
    # Three heads or more in four throws: (4 + 1) / 16.
    assert s.binomial_tail(3, 4, 0.5) == pytest.approx(5 / 16)
    assert s.binomial_tail(0, 4, 0.5) == 1.0
    assert s.binomial_tail(5, 4, 0.5) == s.P_FLOOR
    assert s.binomial_tail(1, 4, 0.0) == s.P_FLOOR
    assert s.binomial_tail(4, 4, 1.0) == 1.0


@given(k=COUNTS, mean=st.floats(0.01, 50), size=st.floats(0.5, 1000))
def test_negative_binomial_tail_is_scipys(k: int, mean: float, size: float) -> None:
    expected = scipy.stats.nbinom.sf(k - 1, size, size / (size + mean))
    assert s.negative_binomial_tail(k, mean, size) == pytest.approx(expected, rel=1e-7, abs=1e-290)


def test_negative_binomial_tail_tends_to_poisson() -> None:
    expected = scipy.stats.poisson.sf(9, 4.0)
    assert s.negative_binomial_tail(10, 4.0, 1e9) == pytest.approx(expected, rel=1e-5)


def test_a_tail_that_underflows_is_the_floor_and_never_zero() -> None:
    assert s.negative_binomial_tail(100_000, 1.0, 1e9) == s.P_FLOOR
    assert s.binomial_tail(9_000, 10_000, 0.01) == s.P_FLOOR
    assert s.normal_tail(100.0) == s.P_FLOOR


@given(z=st.floats(-8, 30))
def test_normal_tail_is_scipys(z: float) -> None:
    assert s.normal_tail(z) == pytest.approx(scipy.stats.norm.sf(z), rel=1e-9)


@given(k=st.integers(0, 40), more=st.integers(1, 400), confidence=st.floats(0.5, 0.999))
def test_rate_upper_is_the_clopper_pearson_limit(k: int, more: int, confidence: float) -> None:
    limit = s.rate_upper(k, k + more, confidence)
    # At the limit, k or fewer events have exactly the remaining probability.
    assert scipy.stats.binom.cdf(k, k + more, limit) == pytest.approx(1 - confidence, rel=1e-6)


def test_rate_upper_at_the_ends() -> None:
    # The rule of three: no event in n, 95 %: about 3 / n.
    assert s.rate_upper(0, 1000, 0.95) == pytest.approx(1 - 0.05 ** (1 / 1000))
    assert s.rate_upper(5, 5) == 1.0
    assert s.rate_upper(0, 0) == 1.0


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_published_intervals(k: int, n: int, low: float, high: float) -> None:
    assert s.wilson(k, n) == pytest.approx((low, high), abs=6e-5)


@given(n=st.integers(0, 500), data=st.data())
def test_wilson_holds_the_rate(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    low, high = s.wilson(k, n)
    assert 0.0 <= low <= high <= 1.0
    assert n == 0 or low - 1e-12 <= k / n <= high + 1e-12


def test_holm_published_example() -> None:
    # Four hypotheses: the third step is larger than the fourth, which takes its value.
    assert s.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert s.holm([]) == []
    assert s.holm([0.9, 0.8]) == [1.0, 1.0]


def by_definition(p: list[float]) -> list[float]:
    """The smallest level at which Holm's procedure rejects each hypothesis."""
    order = sorted(range(len(p)), key=p.__getitem__)
    adjusted = [min(1.0, (len(p) - i) * p[j]) for i, j in enumerate(order)]
    running = list(itertools.accumulate(adjusted, max))
    return [running[order.index(j)] for j in range(len(p))]


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_the_running_maximum_in_order(p: list[float]) -> None:
    found = s.holm(p)
    assert found == pytest.approx(by_definition(p))
    assert all(a >= b for a, b in zip(found, p, strict=True))


@given(
    events=st.integers(0, 200),
    exposure=st.integers(1, 5000),
    known=st.integers(0, 200),
    base=st.integers(200, 5000),
)
def test_excess_tail_is_monotone(events: int, exposure: int, known: int, base: int) -> None:
    here = s.excess_tail(events, exposure, known, base)
    slightly = here * (1 + 1e-9)
    assert 0.0 < here <= 1.0
    assert s.excess_tail(events + 1, exposure, known, base) <= slightly
    assert s.excess_tail(events, exposure + 1, known, base) * (1 + 1e-9) >= here
    assert s.excess_tail(events, exposure, known, base, slack=2.0) * (1 + 1e-9) >= here
    # A longer baseline with the same rate knows more: twice the expected count is worse news.
    twice = 2 * round(1.25 * (known + 0.5) * exposure / base) + 2
    longer = s.excess_tail(twice, exposure, 10 * known, 10 * base)
    assert longer <= s.excess_tail(twice, exposure, known, base) * (1 + 1e-9) + 0.05


def test_excess_tail_of_a_short_baseline_does_not_shout() -> None:
    # Nothing known in 300 rows: a first event in as many is no claim, ten are one.
    assert s.excess_tail(1, 300, 0, 300) > 0.05
    assert s.excess_tail(2, 300, 0, 300) > 0.01
    assert s.excess_tail(12, 300, 0, 300) < 1e-3


def test_excess_tail_is_honest_over_baseline_and_batch() -> None:
    # Both counts drawn from one rate: claims at 1 % must come in at most about 1 % of the draws.
    rng = np.random.default_rng(1)
    for rate, base, rows in ((1e-4, 2000, 2000), (1e-3, 500, 3000), (0.02, 300, 1000)):
        known, events = rng.binomial(base, rate, 4000), rng.binomial(rows, rate, 4000)
        pairs = zip(events.tolist(), known.tolist(), strict=True)
        claims = sum(s.excess_tail(e, rows, k, base) <= 0.01 for e, k in pairs)
        assert claims <= 4000 * 0.0125, (rate, base, rows)


def test_robust_scale() -> None:
    assert s.robust_scale(np.array([1.0, 2.0, 3.0, 4.0, 100.0])) == pytest.approx(1.4826)
    assert s.robust_scale(np.zeros(0)) == 0.0


def test_stability_index_by_hand() -> None:
    same = np.array([10.0, 20.0, 30.0])
    assert s.stability_index(same, same) == 0.0
    p, q = np.array([10.5, 30.5]) / 41, np.array([20.5, 20.5]) / 41
    expected = float(((p - q) * np.log(p / q)).sum())
    assert s.stability_index(np.array([10.0, 30.0]), np.array([20.0, 20.0])) == pytest.approx(
        expected
    )
    assert np.isfinite(s.stability_index(np.array([10.0, 0.0]), np.array([0.0, 10.0])))
    assert s.stability_index(np.zeros(2), same[:2]) == 0.0


def test_two_p_values_by_their_product() -> None:
    assert s.fisher(1.0, 1.0) == 1.0
    expected = scipy.stats.combine_pvalues([0.02, 0.3]).pvalue
    assert s.fisher(0.02, 0.3) == pytest.approx(expected)
