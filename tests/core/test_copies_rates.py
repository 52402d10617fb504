"""Copies that come by nature make no claims at any size of baseline and batch; planted ones do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from auditor.baseline import Baseline
from auditor.baseline_parts import key_columns
from auditor.batch import Roles, TableBatch
from auditor.context import Context, Detector
from auditor.detectors.conflicting_labels import ConflictingLabels
from auditor.detectors.exact_duplicates import ExactDuplicates
from auditor.detectors.known_rows import KnownRows
from auditor.detectors.shared_rows import SharedRows
from auditor.statistics import binomial_tail

KEY = bytes(range(32))
ROLES = Roles({"feature": ("a",), "label": ("y",), "contributor": ("c",)})
RULES: tuple[type[Detector], ...] = (ExactDuplicates, KnownRows, ConflictingLabels, SharedRows)
Items = Callable[[int, np.random.Generator], np.ndarray]
BUDGET = 0.01 / 3 / 3  # what the default policy leaves each of the three rules that act


def few_values(rows: int, rng: np.random.Generator) -> np.ndarray:
    shares = 1 / np.arange(1, 20_001) ** 1.1
    return rng.choice(20_000, rows, p=shares / shares.sum())


def rare_pairs(rows: int, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 200_000, rows)


def sent_twice(rows: int, rng: np.random.Generator) -> np.ndarray:
    items = rng.integers(0, 2**60, rows)
    again = np.flatnonzero(rng.random(rows) < 0.01)
    items[again] = items[again - 1]
    return items


def clumps(rows: int, rng: np.random.Generator) -> np.ndarray:
    items = rng.integers(0, 2**60, rows)
    for start in np.flatnonzero(rng.random(rows) < 0.003):
        items[start : start + rng.integers(2, 7)] = items[start]
    return items


def table_of(items: np.ndarray, rng: np.random.Generator) -> pa.Table:
    labels = (items % 3 == 0) ^ (rng.random(len(items)) < 0.05)
    senders = rng.integers(0, 10, len(items)).astype(str)
    return pa.table({"a": items.astype(np.int64), "y": labels, "c": senders})


def trusted(table: pa.Table) -> Baseline:
    """Keys only: what these rules need of a baseline."""
    (data,) = table.combine_chunks().to_batches()
    keys = pa.Table.from_batches([key_columns(data, ["a", "y"], ROLES, KEY)])
    return Baseline(
        digest="",
        created_at="",
        key_id="",
        seed=0,
        roles=ROLES,
        schema=table.schema,
        parts=(),
        sample=table.slice(0, 1),
        keys=keys,
        edges={},
    )


def p_value(rule: type[Detector], baseline: Baseline, table: pa.Table) -> float:
    loaded = rule.load(Context(site_key=KEY, baseline=baseline))
    found = loaded.scan(TableBatch(table, ROLES)).findings
    return min((f.p_value for f in found if f.p_value is not None), default=1.0)


@pytest.mark.parametrize("sizes", [(300, 1000), (1000, 200), (3000, 200), (3000, 1000)], ids=str)
@pytest.mark.parametrize("items", [few_values, rare_pairs, sent_twice, clumps])
def test_natural_copies_make_no_claims(items: Items, sizes: tuple[int, int]) -> None:
    if items is clumps and sizes[0] < 3000:
        pytest.skip("three clumps in a thousand rows are too few to learn their sizes from")
    rng = np.random.default_rng(4)
    draws, alarms = 12, 0
    for _ in range(draws):
        baseline = trusted(table_of(items(sizes[0], rng), rng))
        batch = table_of(items(sizes[1], rng), rng)
        alarms += any(p_value(rule, baseline, batch) <= BUDGET for rule in RULES[:3])
    assert binomial_tail(alarms, draws, 0.01 / 3) > 0.01, alarms


@pytest.mark.parametrize("items", [rare_pairs, sent_twice, clumps])
def test_planted_copies_are_claimed_all_the_same(items: Items) -> None:
    rng = np.random.default_rng(5)
    old = items(3000, rng)
    baseline, new = trusted(table_of(old, rng)), items(1000, rng)
    one_row = table_of(np.r_[new, np.full(40, new[7])], rng)
    many_rows = table_of(np.r_[new, np.repeat(new[:70], 2)], rng)
    replayed = table_of(np.r_[new, old[:120]], rng)
    flipped = table_of(np.r_[new, new[:60]], rng)
    wrong = np.r_[flipped["y"].to_numpy()[:1000], ~flipped["y"].to_numpy()[:60]]
    flipped = flipped.set_column(1, "y", pa.array(wrong))
    assert p_value(ExactDuplicates, baseline, one_row) < BUDGET
    assert p_value(ExactDuplicates, baseline, many_rows) < BUDGET
    assert p_value(KnownRows, baseline, replayed) < BUDGET
    assert p_value(ConflictingLabels, baseline, flipped) < BUDGET
    shared = table_of(np.r_[new, new[:70]], rng)
    assert p_value(SharedRows, baseline, shared) < BUDGET


def test_copies_of_a_row_that_is_common_anyway_are_no_claim() -> None:
    rng = np.random.default_rng(6)
    old, new = (rng.integers(0, 2**60, n) for n in (2000, 1000))
    old[:200], new[:100] = 7, 7
    baseline = trusted(pa.table({"a": old, "y": [True] * 2000, "c": ["x"] * 2000}))
    batch = pa.table({"a": new, "y": [True] * 1000, "c": ["x"] * 1000})
    assert p_value(ExactDuplicates, baseline, batch) > BUDGET
    assert p_value(KnownRows, baseline, batch) > BUDGET
