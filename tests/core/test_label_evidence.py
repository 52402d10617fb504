"""Evidence that adds up: its mean is 1 on honest labels, and batches are sums."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from auditor.labels.evidence import TILTS, stand, weigh
from auditor.labels.residuals import Groups

MANY = 10**9
ONE = Groups.sorted(np.zeros(5, dtype=np.int64))


def drawn(rng: np.random.Generator, chances: np.ndarray) -> np.ndarray:
    codes: np.ndarray = (rng.random((len(chances), 1)) > chances.cumsum(axis=1)).sum(axis=1)
    return np.minimum(codes, chances.shape[1] - 1)


def evidence(chances: np.ndarray, codes: np.ndarray, groups: Groups) -> np.ndarray:
    totals = {one.target: one.values for one in weigh(chances, codes, groups)}
    return stand(totals, {}, fitted=MANY).logs


@pytest.mark.parametrize("classes", [2, 3])
def test_the_mean_over_all_labels_is_one(classes: int) -> None:
    chances = np.random.default_rng(classes).dirichlet(np.full(classes, 0.7), size=5)
    mean = 0.0
    for labels in product(range(classes), repeat=5):
        codes = np.array(labels)
        chance = float(np.prod(chances[np.arange(5), codes]))
        mean += chance * float(np.exp(evidence(chances, codes, ONE)[0]))
    assert mean == pytest.approx(1.0, abs=1e-6)


def test_two_batches_are_the_sum_of_each() -> None:
    rng = np.random.default_rng(3)
    chances = rng.dirichlet([1.0, 1.0, 1.0], size=10)
    codes = drawn(rng, chances)
    whole = weigh(chances, codes, Groups.sorted(np.zeros(10, dtype=np.int64)))
    parts = (weigh(chances[i : i + 5], codes[i : i + 5], ONE) for i in (0, 5))
    for one, *two in zip(whole, *parts, strict=True):
        assert np.allclose(one.values, sum(each.values for each in two))


def tilted(seed: int, rows: int, groups: int, bad: float) -> tuple[np.ndarray, ...]:
    """Sure probabilities of two classes; the first group carries wrong labels with this chance."""
    rng = np.random.default_rng(seed)
    own = rng.uniform(0.9, 0.99, rows * groups)
    codes = (rng.random(rows * groups) > own).astype(np.int64)
    wrong = (np.arange(rows * groups) < rows) & (rng.random(rows * groups) < bad)
    codes[wrong] = 1
    return np.stack([own, 1 - own], axis=1), codes, np.repeat(np.arange(groups), rows)


def sequence(seed: int, bad: float, batches: int) -> np.ndarray:
    """Log evidence after each batch: float64[batches, groups]."""
    sums: dict[int, np.ndarray] = {}
    logs = []
    for number in range(batches):
        chances, codes, groups = tilted(1000 * seed + number, 20, 12, bad)
        for one in weigh(chances, codes, Groups.sorted(groups)):
            sums[one.target] = sums.get(one.target, 0) + one.values
        logs.append(stand(sums, {}, fitted=1000).logs)
    return np.stack(logs)


def test_small_shares_add_up() -> None:
    logs = sequence(1, 0.15, 12)[:, 0]
    assert logs[0] < np.log(1000)
    assert logs[-1] > np.log(1000)


def test_honest_sequences_stay_below_the_line_at_every_batch() -> None:
    # 40 sequences of 12 honest groups: at level 1/100 each, 4.8 are expected at most.
    crossed = sum(
        int((sequence(seed, 0.0, 8) > np.log(100)).any(axis=0).sum()) for seed in range(40)
    )
    assert crossed <= 4


def test_what_all_groups_share_is_no_evidence() -> None:
    chances, codes, groups = tilted(5, 200, 12, 0.0)
    codes[np.random.default_rng(1).random(len(codes)) < 0.1] = 1
    sums = {one.target: one.values for one in weigh(chances, codes, Groups.sorted(groups))}
    assert stand(sums, {}, fitted=1000).logs.max() < np.log(100)


def test_a_spread_between_trusted_contributors_weakens_it() -> None:
    chances, codes, groups = tilted(5, 60, 12, 0.3)
    sums = {one.target: one.values for one in weigh(chances, codes, Groups.sorted(groups))}
    calm = stand(sums, {}, fitted=1000)
    wide = stand(sums, dict.fromkeys(sums, 1.0), fitted=1000)
    assert calm.logs[0] > np.log(1e3)
    assert wide.logs[0] < np.log(10)
    assert calm.tilts[0] > 0


def test_a_group_without_rows_has_none() -> None:
    values = np.zeros((2, 4 + len(TILTS)))
    chances, codes, _ = tilted(5, 60, 1, 0.3)
    (first, *_) = weigh(chances, codes, Groups.sorted(np.zeros(60, dtype=np.int64)))
    values[0] = first.values[0]
    found = stand({-1: values}, {}, fitted=1000)
    assert found.logs[1] == 0.0
    assert found.logs[0] > 0.0
