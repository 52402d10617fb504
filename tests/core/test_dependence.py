"""Rows whose values do not belong together score worse, alone as in a crowd."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from auditor.dependence import ALL, TORN, Dependence, cells_of, make_rows
from auditor.features import Encoder


def table(rows: int, seed: int) -> pa.Table:
    """Two columns that go together, a category that follows them, one column by itself."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=rows)
    return pa.table(
        {
            "a": a,
            "b": a + 0.2 * rng.normal(size=rows),
            "kind": np.where(a > 0, "high", "low"),
            "alone": rng.normal(size=rows),
        }
    )


NAMES = ("a", "b", "kind", "alone")
TRUSTED = table(600, 1)
ENCODER = Encoder.fit(TRUSTED, NAMES)
MODELS = {
    "combination": Dependence.fit(ENCODER.transform(TRUSTED), ENCODER, 0, made=TORN, linear=False),
    "distance": Dependence.fit(ENCODER.transform(TRUSTED), ENCODER, 0, made=ALL, linear=True),
}


def scores(model: str, data: pa.Table) -> np.ndarray:
    return MODELS[model].decision_function(ENCODER.transform(data))


def changed(data: pa.Table, column: str, values: object) -> pa.Table:
    return data.set_column(data.schema.get_field_index(column), column, pa.array(values))


@pytest.mark.parametrize("model", MODELS)
def test_torn_rows_score_worse(model: str) -> None:
    new = table(200, 2)
    torn = changed(new, "b", -new["b"].to_numpy())
    limit = np.quantile(scores(model, new), 0.95)
    far = np.abs(new["a"].to_numpy()) > 1.0
    assert np.mean(scores(model, torn)[far] > limit) > 0.8


def test_far_and_missing_values_are_distant() -> None:
    new = table(200, 3)
    limit = np.quantile(scores("distance", new), 0.95)
    far = changed(new, "alone", np.full(200, 30.0))
    missing = changed(new, "alone", pa.nulls(200, pa.float64()))
    for odd in (far, missing):
        assert np.mean(scores("distance", odd) > limit) > 0.8


@pytest.mark.parametrize("model", MODELS)
def test_a_row_scores_the_same_alone(model: str) -> None:
    new = table(50, 4)
    alone = [scores(model, new.slice(i, 1))[0] for i in range(50)]
    assert scores(model, new).tolist() == pytest.approx(alone, abs=1e-6)


def test_the_same_seed_gives_the_same_model() -> None:
    again = Dependence.fit(ENCODER.transform(TRUSTED), ENCODER, 0, made=ALL, linear=True)
    new = ENCODER.transform(table(80, 5))
    assert (
        again.decision_function(new).tolist() == MODELS["distance"].decision_function(new).tolist()
    )


@pytest.mark.parametrize("kind", ALL)
def test_made_rows_keep_one_category_each(kind: str) -> None:
    cells = cells_of(ENCODER)
    made = make_rows(ENCODER.transform(TRUSTED), cells, {kind: 0.5}, np.random.default_rng(0))
    assert made.shape == (300, ENCODER.width)
    (category,) = (own.columns for own in cells if own.category)
    assert made[:, category].sum(axis=1).tolist() == [1.0] * 300


def test_torn_rows_keep_the_values_of_each_column() -> None:
    matrix = ENCODER.transform(TRUSTED)
    made = make_rows(matrix, cells_of(ENCODER), TORN, np.random.default_rng(0))
    for column in range(matrix.shape[1]):
        assert set(made[:, column].tolist()) <= set(matrix[:, column].tolist())


def test_rows_that_are_all_equal_can_be_fitted() -> None:
    same = TRUSTED.take(pa.array([3] * 60))
    encoder = Encoder.fit(same, NAMES)
    fitted = Dependence.fit(encoder.transform(same), encoder, 0, made=ALL, linear=True)
    assert np.isfinite(fitted.decision_function(encoder.transform(TRUSTED))).all()
