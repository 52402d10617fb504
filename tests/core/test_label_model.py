"""Classes, folds and doubt."""

from __future__ import annotations

import json

import numpy as np
import pytest

from auditor.errors import Unavailable
from auditor.labels.model import MEMBERS, MIN_ROWS, Classes, doubt, fit, losses, out_of_fold
from auditor.labels.references import References
from auditor.labels.trusted import calibrated_with

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


@pytest.mark.parametrize(
    "model", ["ensemble", "kernel_logistic", "logistic", "hist_gradient_boosting"]
)
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


def test_the_loss_of_a_label_by_hand() -> None:
    probabilities = np.array([[0.5, 0.5], [1.0, 0.0], [0.2, 0.8]])
    found = losses(probabilities, np.array([0, 1, -1]))
    assert found[:2] == pytest.approx([np.log(2.0), 12.0 * np.log(10.0)])
    assert np.isnan(found[2])


def test_rows_are_ranked_by_the_rarer_of_doubt_in_the_class_and_loss_among_all() -> None:
    """Rows of class 0 are never doubtful, those of class 1 often."""
    rng = np.random.default_rng(4)
    codes = np.repeat([0, 1], [30, 970])
    own = np.where(codes == 0, 0.99, rng.random(1_000))
    known = np.where(codes[:, None] == [0, 1], own[:, None], 1.0 - own[:, None])
    references = References.of(known, codes)
    asked = np.array([[0.6, 0.4], [1.0 - 1e-6, 1e-6], [0.5, 0.5]])
    tails, order = references.tails(asked, np.array([0, 1, 1]))
    assert tails[0] < 0.01  # rare for its class, and nothing special among all
    assert order[0] == tails[0]
    assert order[1] < 0.002
    assert order[2] == pytest.approx(tails[2], abs=0.05) == pytest.approx(0.5, abs=0.1)
    again = References.from_json(json.loads(json.dumps(references.to_json())))
    assert again == references
    old = {"references": references.to_json()["references"]}
    _, by_class = References.from_json(old).tails(asked, np.array([0, 1, 1]))
    assert by_class.tolist() == tails.tolist()


def test_a_pool_averages_the_log_odds_of_its_members() -> None:
    first, other = (fit(MATRIX, CODES, 2, model=one, seed=1) for one in MEMBERS)
    pool = fit(MATRIX, CODES, 2, model="ensemble", seed=1)
    odds = [np.log(m.probabilities(MATRIX)).clip(np.log(1e-7)) for m in (first, other, pool)]
    steps = [logs[:, 1] - logs[:, 0] for logs in odds]
    assert steps[2] == pytest.approx((steps[0] + steps[1]) / 2.0, abs=1e-3)


def test_thresholds_of_another_model_are_not_used() -> None:
    assert calibrated_with({"model": "ensemble"}, "ensemble") == {"model": "ensemble"}
    for stored in (None, {}, {"classes": []}, {"model": "logistic"}):
        with pytest.raises(Unavailable, match="build it again"):
            calibrated_with(stored, "ensemble")
