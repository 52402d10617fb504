"""Classes, folds and doubt."""

from __future__ import annotations

import numpy as np
import pytest

from auditor.labels.model import MIN_ROWS, Classes, doubt, fit, out_of_fold

RNG = np.random.default_rng(0)
CODES = np.repeat([0, 1], 60)
MATRIX = (RNG.normal(size=(120, 3)) + 3 * CODES[:, None]).astype(np.float32)


def test_classes_need_rows_and_come_in_order() -> None:
    labels = ["b"] * 20 + ["a"] * 20 + ["rare"] * (MIN_ROWS - 1) + ["most"] * 30 + [None] * 50
    classes = Classes.of(labels)
    assert classes.names == ("most", "a", "b")
    assert classes.codes(["a", None, "rare", "most", "new"]).tolist() == [1, -1, -1, 0, -1]


def test_labels_that_differ_by_a_trailing_nul_are_two() -> None:
    assert set(Classes.of(["a"] * 10 + ["a\0"] * 10).names) == {"a", "a\0"}


def test_doubt_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.2, 0.5, 0.3], [0.3, 0.3, 0.4]])
    assert doubt(probabilities, np.array([0, 0, -1]))[:2] == pytest.approx([0.1, 0.65])
    assert np.isnan(doubt(probabilities, np.array([0, 0, -1]))[2])


@pytest.mark.parametrize("model", ["logistic", "hist_gradient_boosting"])
def test_a_flipped_label_is_doubted(model: str) -> None:
    fitted = fit(MATRIX, CODES, 3, model=model, seed=2**40)
    probabilities = fitted.probabilities(MATRIX)
    assert probabilities.shape == (120, 3)
    assert (probabilities[:, 2] == 0).all()  # a class that was never seen
    right, wrong = doubt(probabilities, CODES), doubt(probabilities, 1 - CODES)
    assert np.median(wrong) > 0.9 > 0.1 > np.median(right)


def test_nobody_is_judged_by_a_model_that_saw_its_group() -> None:
    """A sender whose rows alone carry a tell cannot teach the model what it says."""
    tell = np.zeros((120, 1), dtype=np.float32)
    codes, groups = CODES.copy(), np.array([f"g{i % 6}" for i in range(120)])
    mine = groups == "g0"
    tell[mine] = 5.0
    codes[mine] = 1 - CODES[mine]
    matrix = np.hstack([MATRIX * 0.3, tell * codes[:, None]]).astype(np.float32)
    kept = out_of_fold(matrix, codes, 2, model="logistic", seed=1, groups=groups.tolist())
    leaked = out_of_fold(matrix, codes, 2, model="logistic", seed=1, groups=None)
    assert doubt(kept, codes)[mine].mean() > doubt(leaked, codes)[mine].mean() + 0.1


def test_a_class_that_one_sender_has_alone_does_not_stop_the_folds() -> None:
    groups = ["only" if c else f"g{i % 5}" for i, c in enumerate(CODES)]
    found = out_of_fold(MATRIX, CODES, 2, model="logistic", seed=1, groups=groups)
    assert found.sum(axis=1) == pytest.approx(np.ones(120))


def test_rows_without_a_class_get_nothing() -> None:
    codes = np.where(np.arange(120) % 10 == 0, -1, CODES)
    found = out_of_fold(MATRIX, codes, 2, model="logistic", seed=1, groups=None)
    assert (found[codes < 0] == 0).all()
    assert found[codes >= 0].sum(axis=1) == pytest.approx(np.ones((codes >= 0).sum()))
