"""Kernel logistic regression: curved boundaries, and probabilities whatever the rows are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from auditor.labels import kernel
from auditor.labels.kernel import Basis, KernelLogistic
from auditor.labels.model import doubt, fit


def rings(rows: int, seed: int) -> tuple[kernel.Matrix, kernel.Codes]:
    """Class 1 lies around class 0: no line tells them apart."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2, rows)
    angle, far = rng.uniform(0.0, 2.0 * np.pi, rows), 1.0 + 2.0 * codes + rng.normal(0, 0.2, rows)
    matrix = np.stack([far * np.cos(angle), far * np.sin(angle)], axis=1)
    return matrix.astype(np.float32), codes


def test_it_knows_labels_that_no_line_separates() -> None:
    matrix, codes = rings(600, 1)
    asked, given_codes = rings(300, 2)
    right = {}
    for model in ("kernel_logistic", "logistic"):
        found = fit(matrix, codes, 2, model=model, seed=1).probabilities(asked)
        right[model] = np.mean(found.argmax(axis=1) == given_codes)
    assert right["kernel_logistic"] > 0.98
    assert right["logistic"] < 0.7


def test_a_flipped_label_in_the_middle_is_doubted() -> None:
    matrix, codes = rings(600, 3)
    asked, right = rings(300, 4)
    found = fit(matrix, codes, 2, model="kernel_logistic", seed=1).probabilities(asked)
    assert np.quantile(doubt(found, right), 0.95) < np.quantile(doubt(found, 1 - right), 0.05)


def test_without_a_curved_part_it_is_logistic_regression(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(5)
    matrix = rng.normal(size=(400, 3)).astype(np.float32)
    codes = (matrix @ [1.0, -2.0, 0.5] + rng.logistic(size=400) > 0).astype(np.int64) * 2
    codes[:40] = 1
    monkeypatch.setattr(kernel, "CURVED", 1e7)
    monkeypatch.setattr(kernel, "_PRECISION", 1e-14)
    monkeypatch.setattr(kernel, "_FLAT", 1e-9)
    ours = KernelLogistic.fit(matrix, codes, 1)
    theirs = LogisticRegression(C=1.0 / kernel.LINEAR, tol=1e-9, max_iter=1_000)
    theirs.fit(np.arcsinh(matrix), codes)
    assert ours.classes_.tolist() == [0, 1, 2]
    expected = theirs.predict_proba(np.arcsinh(matrix))
    assert ours.predict_proba(matrix) == pytest.approx(expected, abs=2e-3)


def test_the_same_seed_gives_the_same_model_and_another_other_landmarks() -> None:
    matrix, codes = rings(500, 6)
    first, again, other = (KernelLogistic.fit(matrix, codes, seed) for seed in (1, 1, 2))
    assert (first.predict_proba(matrix) == again.predict_proba(matrix)).all()
    assert (first.basis.landmarks != other.basis.landmarks).any()


def test_of_many_rows_some_are_fitted_on_and_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from auditor.labels import model

    monkeypatch.setattr(kernel, "FIT_ROWS", 300)
    monkeypatch.setattr(model, "FIT_ROWS", 300)
    matrix, codes = rings(2_000, 7)
    fitted = fit(matrix, codes, 2, model="kernel_logistic", seed=1)
    assert fitted.rows == 300
    assert fit(matrix, codes, 2, model="logistic", seed=1).rows == 2_000
    assert np.mean(fitted.probabilities(matrix).argmax(axis=1) == codes) > 0.95


def test_a_row_scores_the_same_in_any_block(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, codes = rings(300, 8)
    model = KernelLogistic.fit(matrix, codes, 1)
    whole = model.predict_proba(matrix)
    monkeypatch.setattr(kernel, "BLOCK", 7)
    assert model.predict_proba(matrix) == pytest.approx(whole, abs=1e-5)


def test_equal_rows_have_a_width() -> None:
    rng = np.random.default_rng(1)
    assert Basis.of(np.ones((5, 2), np.float32), rng).width == 1.0
    assert Basis.of(np.ones((1, 2), np.float32), rng).width == 1.0


@settings(max_examples=50, deadline=None)
@given(
    matrix=arrays.arrays(
        np.float32,
        st.tuples(st.integers(2, 40), st.integers(1, 4)),
        elements=st.floats(-10, 10, width=32),
    ),
    seed=st.integers(0, 2**32 - 1),
)
def test_probabilities_of_any_rows_are_probabilities(matrix: kernel.Matrix, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, 3, len(matrix))
    model = KernelLogistic.fit(matrix, codes, seed)
    found = model.predict_proba(matrix)
    assert found.shape == (len(matrix), len(np.unique(codes)))
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert found.sum(axis=1) == pytest.approx(np.ones(len(matrix)), abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_landmarks_that_are_almost_equal_are_no_obstacle(seed: int) -> None:
    """Of few distinct rows far from the origin, as one-hot columns of small tables give."""
    rng = np.random.default_rng(seed)
    distinct = rng.choice([-8.0, 0.1, 9.7], size=(6, 60))
    rows = distinct[rng.integers(0, 6, 500)] + rng.normal(0.0, 1e-4, (500, 60))
    matrix, codes = rows.astype(np.float32), rng.integers(0, 2, 500)
    found = fit(matrix, codes, 2, model="kernel_logistic", seed=seed).probabilities(matrix)
    assert np.isfinite(found).all()
    penalty = kernel._penalty(Basis.of(np.arcsinh(matrix), rng))
    assert np.linalg.eigvalsh(penalty).min() > 0.0
