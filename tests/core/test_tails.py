"""Trusted quantiles and excess mass."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.statistics import binomial_tail
from auditor.tails import Reference, dispersion_between, excess_groups

RNG = np.random.default_rng(0)
SCORES = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=60).map(np.array)


@given(trusted=SCORES, new=SCORES)
def test_tails_fall_with_the_score_and_are_probabilities(
    trusted: np.ndarray, new: np.ndarray
) -> None:
    tails = Reference.of(trusted).tail(np.sort(new))
    assert ((tails > 0.0) & (tails <= 1.0)).all()
    assert (np.diff(tails) <= 1e-9).all()


@given(trusted=SCORES)
def test_a_tail_of_a_trusted_score_is_about_its_share(trusted: np.ndarray) -> None:
    tails = Reference.of(trusted).tail(trusted)
    share = np.array([(trusted >= score).mean() for score in trusted])
    # The grid steps by 2 % in the bulk, and n scores have n - 1 steps between quantiles.
    assert (np.abs(tails - share) <= 0.03 + 2.0 / len(trusted) + _ties(trusted)).all()


def _ties(trusted: np.ndarray) -> np.ndarray:
    return np.array([(trusted == score).mean() for score in trusted])


@pytest.mark.parametrize("block", [0.05, 0.3, 0.9])
@pytest.mark.parametrize("where", [0.0, 0.5, 1.0])
def test_a_score_that_many_trusted_rows_have_is_no_tail(block: float, where: float) -> None:
    """Regression: ties at a quantile counted as beyond it."""
    below = RNG.uniform(0.0, where or 1e-9, 1000)
    above = RNG.uniform(where, 1.0 if where < 1 else 1.0 + 1e-9, 1000)
    loose = np.where(RNG.random(1000) < where, below, above)
    trusted = np.concatenate([np.full(int(1000 * block / (1 - block)), where), loose])
    tail = float(Reference.of(trusted).tail(np.array([where]))[0])
    assert tail >= (trusted >= where).mean() - 0.03
    assert tail >= block - 0.03


def test_discrete_scores_do_not_make_an_excess() -> None:
    """Nine trusted rows in ten have one score; so do nine new ones in ten."""
    trusted = np.where(RNG.random(5000) < 0.9, 0.2, 0.7)
    new = np.where(RNG.random(1000) < 0.9, 0.2, 0.7)
    reference = Reference.of(trusted)
    (found,) = excess_groups(
        {"all": np.arange(1000)}, reference.tail(new), (0.9, 0.99), trusted={"all": 5000}
    )
    assert found.p_value > 0.05


def test_tails_on_uniform_scores_are_one_minus_the_score() -> None:
    reference = Reference.of(np.linspace(0, 1, 10_001))
    asked = np.array([0.0, 0.25, 0.5, 0.9, 0.985, 0.995, 0.999])
    assert reference.tail(asked) == pytest.approx(1 - asked, abs=1e-4)
    assert reference.threshold(0.95) == pytest.approx(0.95, abs=1e-3)
    assert reference.beyond(0.95) == 500


def test_worse_than_every_trusted_score_is_still_ordered() -> None:
    reference = Reference.of(np.linspace(0, 1, 1001))
    tails = reference.tail(np.array([1.1, 2.0, 10.0, 1e6]))
    assert (np.diff(tails) < 0).all()
    assert tails[0] <= 0.001


def test_without_scores_nothing_is_a_tail() -> None:
    empty = Reference.of(np.array([np.nan, np.nan]))
    assert empty.count == 0
    assert empty.tail(np.array([3.0, np.nan])).tolist() == [1.0, 1.0]
    assert empty.threshold(0.9) == np.inf
    assert Reference.of(np.arange(10.0)).tail(np.array([np.nan])).tolist() == [1.0]


def test_a_reference_survives_json() -> None:
    reference = Reference.of(RNG.normal(size=500))
    assert Reference.from_json(json.loads(json.dumps(reference.to_json()))) == reference


# --- excess mass ---------------------------------------------------------------------------


def worst(groups: dict[str, np.ndarray], tails: np.ndarray, **more: object) -> float:
    found = excess_groups(groups, tails, (0.9, 0.95, 0.99), trusted=dict.fromkeys(groups, 2000))
    return min(e.p_value for e in found)


def test_uniform_tails_give_few_false_alarms() -> None:
    """Five groups, three levels, all honest: at most about 1 % of the draws at 1 %."""
    rng = np.random.default_rng(11)
    hits = 0
    for _ in range(600):
        tails = rng.uniform(size=600)
        groups = dict(zip("abcde", np.array_split(rng.permutation(600), 5), strict=True))
        hits += worst(groups, tails) <= 0.01
    assert binomial_tail(hits, 600, 0.01) > 1e-3, hits


def test_planted_excess_is_found_in_its_group_only() -> None:
    rng = np.random.default_rng(12)
    tails = rng.uniform(size=900)
    groups = {name: np.arange(i * 300, i * 300 + 300) for i, name in enumerate("abc")}
    tails[300:360] = rng.uniform(0, 0.02, 60)
    found = {e.group: e for e in excess_groups(
        groups, tails, (0.9, 0.95, 0.99), trusted=dict.fromkeys(groups, 2000)
    )}  # fmt: skip
    assert found["b"].p_value < 1e-6
    assert min(found["a"].p_value, found["c"].p_value) > 0.01
    assert set(found["b"].rows) <= set(groups["b"].tolist())
    assert found["b"].total == 300
    assert np.isin(np.arange(300, 360), found["b"].rows).mean() > 0.8


def test_no_groups_no_claims() -> None:
    assert excess_groups({}, np.zeros(0), (0.9,), trusted={}) == []


def test_groups_that_differ_raise_the_bar() -> None:
    rng = np.random.default_rng(13)
    groups = {str(i): np.arange(i * 100, i * 100 + 100) for i in range(40)}
    rates = rng.gamma(2.0, 0.05, 40)  # mean 0.1, squared coefficient of variation 0.5
    tails = np.concatenate([
        np.where(rng.random(100) < min(r, 1.0), rng.uniform(0, 0.1, 100), rng.uniform(0.1, 1, 100))
        for r in rates
    ])  # fmt: skip
    spread = dispersion_between(groups, tails, 0.9)
    assert 0.15 < spread < 1.2
    alike = rng.uniform(size=4000)
    assert dispersion_between(groups, alike, 0.9) < 0.08
    assert dispersion_between({}, alike, 0.9) == 0.0
    strict = excess_groups(groups, tails, (0.9,), trusted=dict.fromkeys(groups, 4000))
    wary = excess_groups(
        groups, tails, (0.9,), trusted=dict.fromkeys(groups, 4000), dispersion=spread
    )
    assert min(e.p_value for e in strict) < 0.003
    assert min(e.p_value for e in wary) > 0.003
