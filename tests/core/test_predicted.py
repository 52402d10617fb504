"""Every row has one item, whatever a model says of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.labels.predicted import Likeliest, Margins, Predicted


def chances(rows: int, labels: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(labels, 0.3), rows)


@given(rows=st.integers(1, 60), labels=st.integers(2, 6), seed=st.integers(0, 99))
def test_codes_are_items_and_a_row_has_the_same_one_alone(
    rows: int, labels: int, seed: int
) -> None:
    said = chances(rows, labels, seed)
    names = [f"c{label}" for label in range(labels)]
    cuts: list[Predicted] = [Margins.fit(chances(300, labels, 1)), Likeliest.of(names)]
    for cut in cuts:
        codes = cut.codes(said)
        assert codes.dtype == np.int32
        assert codes.min() >= 0
        assert codes.max() < len(cut.names)
        assert codes.tolist() == [int(cut.codes(said[i : i + 1])[0]) for i in range(rows)]


def test_the_likeliest_label_is_named() -> None:
    cut = Likeliest.of(["down", "up"])
    said = [cut.names[code] for code in cut.codes(np.array([[0.9, 0.1], [0.2, 0.8]]))]
    assert said == ["likeliest label 'down'", "likeliest label 'up'"]


@pytest.mark.parametrize("labels", [2, 5])
def test_margins_hold_their_shares_of_trusted_rows(labels: int) -> None:
    trusted = chances(2_000, labels, 2)
    shares = np.bincount(Margins.fit(trusted).codes(trusted)) / 2_000
    assert np.allclose(shares, [0.03, 0.03, 0.06, 0.13, 0.25, 0.5], atol=0.01)
