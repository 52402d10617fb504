"""Shapley values, influence, nearest classes, groups against chance, second groups."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pyarrow as pa
import pytest

from auditor.errors import Unavailable
from auditor.group_null import Grouped, grouped, positions, sums_standing_out
from auditor.labels.model import Classes
from auditor.neighbours import class_ratios
from auditor.shapley import knn_shapley
from auditor.sides import Sides, vectors
from auditor.signatures import bounded, clustered, scan, spectral, whitening_of
from auditor.small_model import fit_small, influence

LEVEL = 0.002


def two_classes(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features with a constant column, and codes."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2, rows)
    values = rng.normal(size=(rows, 3)) + 1.2 * codes[:, None]
    return np.column_stack([values, np.ones(rows)]), codes


# --- values of rows -------------------------------------------------------------------------


@pytest.mark.parametrize("neighbours", [1, 2, 3, 9])
def test_shapley_values_are_those_of_all_orders(neighbours: int) -> None:
    rng = np.random.default_rng(neighbours)
    rows, codes = rng.normal(size=(5, 2)), rng.integers(0, 2, 5)
    trusted, known = rng.normal(size=(3, 2)), rng.integers(0, 2, 3)
    k = min(neighbours, 5)

    def worth(some: tuple[int, ...]) -> float:
        total = 0.0
        for at, label in zip(trusted, known, strict=True):
            near = sorted(some, key=lambda i: float(((rows[i] - at) ** 2).sum()))[:k]
            total += sum(codes[i] == label for i in near) / k
        return total / len(known)

    values = np.zeros(5)
    for order in itertools.permutations(range(5)):
        for i in range(5):
            values[order[i]] += worth(order[: i + 1]) - worth(order[:i])
    found = knn_shapley(rows, codes, trusted, known, neighbours=neighbours)
    assert found == pytest.approx(values / math.factorial(5), abs=1e-12)


def test_influence_is_what_a_refit_without_the_rows_does() -> None:
    matrix, codes = two_classes(300, 1)
    codes[:20] = 1 - codes[:20]
    trusted, known = two_classes(300, 2)
    both = Sides(Classes(("a", "b")), np.arange(300), codes, matrix, np.arange(300), known, trusted)
    full = fit_small(matrix, codes, 2, ridge=1 / 300)
    harm = influence(full, both)
    loss = full.loss(trusted, known)
    rng, falls, sums = np.random.default_rng(3), [], []
    for _ in range(12):
        gone = rng.random(300) < 0.03
        without = fit_small(matrix[~gone], codes[~gone], 2, ridge=1 / 300, start=full.weights)
        falls.append(loss - without.loss(trusted, known))
        sums.append(harm[gone].sum())
    assert np.corrcoef(falls, sums)[0, 1] > 0.95
    assert np.polyfit(sums, falls, 1)[0] == pytest.approx(1.0, abs=0.3)
    assert harm[:20].mean() > 0 > harm[20:].mean()


def test_a_row_among_another_class_has_a_large_ratio_and_is_not_its_own_neighbour() -> None:
    matrix, codes = two_classes(200, 4)
    matrix[:, :3] += 3 * codes[:, None]
    own = class_ratios(matrix, codes, matrix, codes, neighbours=3, same=True)
    assert np.quantile(own, 0.99) < 0
    moved = class_ratios(matrix, 1 - codes, matrix, codes, neighbours=3)
    assert moved.min() > 0
    with_itself = class_ratios(matrix, codes, matrix, codes, neighbours=1)
    assert (with_itself < own.min()).all()
    few = class_ratios(matrix, codes, matrix[:2], codes[:2], neighbours=3)
    assert np.isnan(few).all()


# --- groups against chance ------------------------------------------------------------------


def some_groups(rng: np.random.Generator, count: int, rows: int) -> Grouped:
    return Grouped([f"g{i}" for i in range(count)], rng.integers(0, count, rows))


@pytest.mark.parametrize("differ", [0.0, 0.5])
def test_honest_groups_do_not_stand_out(differ: float) -> None:
    """Also where they differ among themselves; the rows' scores are skewed."""
    low = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        groups = some_groups(rng, 20, 600)
        scores = rng.exponential(size=600) + differ * rng.normal(size=20)[groups.of]
        low += int((sums_standing_out(scores, groups, seed) * 20 <= 0.05).any())
    assert low <= 8  # 3 expected; 9 or more have a chance of 0.3 %


def test_a_bad_group_stands_out_and_no_other() -> None:
    rng = np.random.default_rng(1)
    groups = some_groups(rng, 20, 600)
    scores = rng.exponential(size=600) + 0.2 * rng.normal(size=20)[groups.of]
    scores[groups.of == 4] += 4.0
    tails = 20 * sums_standing_out(scores, groups, 1)
    assert tails[4] < LEVEL
    assert (np.delete(tails, 4) > LEVEL).all()


def test_what_all_groups_share_is_no_claim() -> None:
    rng = np.random.default_rng(2)
    groups, scores = some_groups(rng, 20, 600), rng.normal(size=600)
    assert sums_standing_out(scores + 50.0, groups, 1) == pytest.approx(
        sums_standing_out(scores, groups, 1), rel=1e-6
    )


def test_small_and_nameless_groups_are_left_out() -> None:
    values = [f"g{i % 9}" for i in range(90)] + ["small", None]
    found = grouped(values, 3)
    assert found.names == [f"g{i}" for i in range(9)]
    assert found.of[-2:].tolist() == [-1, -1]
    assert found.counts.tolist() == [10] * 9
    with pytest.raises(Unavailable, match="needs at least 8 groups"):
        grouped(values, 11)
    assert {k: v.tolist() for k, v in positions(["b", "a", None, "b"], 2).items()} == {"b": [0, 3]}


# --- second groups --------------------------------------------------------------------------


def blobs(share: float, apart: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    second = np.arange(300) < 300 * share
    rows = rng.normal(size=(300, 8))
    rows[second, 0] += apart
    return rows, second


def test_two_groups_are_clearer_than_one_and_their_rows_are_told() -> None:
    trusted, _ = blobs(0.0, 0.0, 1)
    white = whitening_of(trusted, np.zeros(300, dtype=np.int64))
    one, _ = blobs(0.0, 0.0, 2)
    two, second = blobs(0.1, 8.0, 3)
    for single, double, rows in (
        (spectral(one, trusted), spectral(two, trusted), two),
        (clustered(one), clustered(two), two),
        (scan(one @ white), scan(two @ white), two @ white),
    ):
        assert double.value > 1.5 * single.value
        assert double.second(rows)[second].mean() > 0.95
        assert double.second(rows)[~second].mean() < 0.05


def test_one_far_row_is_no_group() -> None:
    trusted, _ = blobs(0.0, 0.0, 1)
    rows, _ = blobs(0.0, 0.0, 2)
    far = rows.copy()
    far[0, 0] = 1e4
    assert scan(far).value == 0.0
    assert clustered(far).value == 0.0
    near = bounded(far, trusted)
    assert spectral(near, trusted).value < 1.2 * spectral(bounded(rows, trusted), trusted).value


# --- embeddings -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind", "said"),
    [
        ([[1.0, 2.0], [1.0]], pa.list_(pa.float64()), "different lengths"),
        ([[1.0, 2.0], None], pa.list_(pa.float64()), "misses some"),
        ([[], []], pa.list_(pa.float64()), "different lengths"),
        ([[1.0, None], [1.0, 2.0]], pa.list_(pa.float64()), "not finite"),
        ([[1.0, math.inf], [1.0, 2.0]], pa.list_(pa.float32()), "not finite"),
        ([["a"], ["b"]], pa.list_(pa.string()), "not of numbers"),
        ([1.0, 2.0], pa.float64(), "not lists"),
    ],
)
def test_embeddings_that_cannot_be_read_are_said(
    values: list, kind: pa.DataType, said: str
) -> None:
    with pytest.raises(Unavailable, match=said):
        vectors(pa.chunked_array([pa.array(values, kind)]))


def test_embeddings_are_read_row_by_row() -> None:
    column = pa.chunked_array([pa.array([[9.0, 9.0], [1.0, 2.0]]).slice(1), pa.array([[3.0, 4.0]])])
    assert vectors(column).tolist() == [[1.0, 2.0], [3.0, 4.0]]
