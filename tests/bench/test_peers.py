from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from auditor.batch import Roles
from auditor.statistics import auc
from bench.detection.cases import Case
from bench.detection.peers import NEED_TRUSTED, PEERS

ROWS = 40


def _table(rows: int, seed: int, labels: str = "text") -> pa.Table:
    """Two clouds with a label each."""
    rng = np.random.default_rng(seed)
    side = np.arange(rows) % 2
    names = side.astype(np.int64) if labels == "int" else np.array(["0", "1"])[side]
    return pa.table(
        {
            "x": rng.normal(4 * side, 1.0),
            "y": rng.normal(-4 * side, 1.0),
            "same": np.zeros(rows),
            "kind": np.array(["a", "b", "c"])[rng.integers(0, 3, rows)],
            "label": names,
        }
    )


def _case(trusted: pa.Table, batch: pa.Table, features: tuple[str, ...] = ()) -> Case:
    roles = Roles({"label": ("label",), "feature": features or ("x", "y", "same", "kind")})
    return Case(name="t", trusted=trusted, batch=batch, roles=roles)


def _set(table: pa.Table, column: str, values: np.ndarray) -> pa.Table:
    at = table.schema.get_field_index(column)
    return table.set_column(at, column, pa.array(values, table.schema.field(at).type))


@pytest.mark.parametrize("name", PEERS)
def test_labels_as_text_and_as_numbers_score_the_same(name: str) -> None:
    """Row 0 has a class to itself, and one column is constant: what peers trip over."""
    found = []
    for labels, rare in (("text", "7"), ("int", 7)):
        trusted, batch = _table(ROWS, 1, labels), _table(ROWS, 2, labels)
        batch = _set(batch, "label", np.array([rare, *batch["label"].to_pylist()[1:]]))
        found.append(PEERS[name](_case(trusted, batch), batch))
    assert found[0].shape == (ROWS,)
    assert np.isfinite(found[0]).all()
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize("name", PEERS)
def test_few_rows_and_one_class_are_judged(name: str) -> None:
    trusted = _table(ROWS, 1)
    for rows in (0, 1, 2, 6):
        batch = _table(rows, 2)
        assert np.isfinite(PEERS[name](_case(trusted, batch), batch)).sum() == rows
    one = _set(_table(ROWS, 2), "label", np.array(["0"] * ROWS))
    assert np.isfinite(PEERS[name](_case(trusted, one), one)).sum() == ROWS


@pytest.mark.parametrize("name", PEERS)
def test_constant_columns_alone_point_at_nobody_of_a_class(name: str) -> None:
    batch = _table(ROWS, 2)
    scores = PEERS[name](_case(_table(ROWS, 1), batch, ("same",)), batch)
    assert scores.shape == (ROWS,)
    # The folds of the logistic models and a row's place among equals differ from row to row.
    folds = {"cleanlab", "cleanlab-margin", "datalab", "domain-classifier", "knn-disagreement"}
    if name not in folds:
        for label in "01":
            assert np.ptp(scores[np.array(batch["label"].to_pylist()) == label]) == 0


@pytest.mark.parametrize(
    ("name", "planted"),
    [
        ("cleanlab", "flip"),
        ("cleanlab-margin", "flip"),
        ("datalab", "flip"),
        ("knn-disagreement", "flip"),
        ("iforest-class", "flip"),
        ("iforest-class-baseline", "flip"),
        ("spectral-signatures", "flip"),
        ("activation-clustering", "flip"),
        ("ecod", "far"),
        ("ecod-baseline", "far"),
        ("iforest", "far"),
        ("iforest-baseline", "far"),
        ("datalab-outlier", "far"),
        ("domain-classifier", "far"),
        ("datalab-near-duplicate", "copy"),
    ],
)
def test_higher_is_worse(name: str, planted: str) -> None:
    """A peer whose score were turned round would look blind and flatter ours."""
    trusted, batch = _table(120, 1), _table(120, 2)
    mask = np.zeros(120, dtype=bool)
    mask[:8] = True
    if planted == "flip":
        labels = np.array(batch["label"].to_pylist())
        labels[mask] = np.where(labels[mask] == "0", "1", "0")
        batch = _set(batch, "label", labels)
    else:
        for column in ("x", "y"):
            values = batch[column].to_numpy().copy()
            values[mask] = values[10] if planted == "copy" else values[mask] + 9.0
            batch = _set(batch, column, values)
    if planted == "copy":
        kinds = np.array(batch["kind"].to_pylist())
        kinds[mask] = kinds[10]
        batch = _set(batch, "kind", kinds)
    # Two or ten directions of a class at most: indicators of `kind` would be all that is in them.
    features = ("x", "y") if name in {"activation-clustering", "spectral-signatures"} else ()
    assert auc(PEERS[name](_case(trusted, batch, features), batch), mask) > 0.8


def test_every_peer_says_where_it_comes_from() -> None:
    assert all(peer.__doc__ and len(peer.__doc__) > 40 for peer in PEERS.values())


@pytest.mark.parametrize("name", sorted(NEED_TRUSTED))
def test_without_trusted_rows_a_peer_that_needs_them_raises(name: str) -> None:
    batch = _table(ROWS, 2)
    with pytest.raises(ValueError, match="trusted rows"):
        PEERS[name](_case(batch.slice(0, 0), batch), batch)


@pytest.mark.parametrize("name", sorted(set(PEERS) - NEED_TRUSTED))
def test_a_peer_of_the_batch_alone_does_not_see_the_trusted_rows(name: str) -> None:
    batch = _table(ROWS, 2)
    one, other = (PEERS[name](_case(_table(ROWS, seed), batch), batch) for seed in (1, 9))
    np.testing.assert_array_equal(one, other)
