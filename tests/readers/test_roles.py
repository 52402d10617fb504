from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pytest

from auditor.batch import KNOWN_ROLES, Roles, TableBatch
from auditor.column_statistics import describe
from auditor.errors import ConfigError
from auditor.roles import Trusted, infer_roles, recorded

ROWS = 400
RANDOM = np.random.default_rng(0)


def roles_of(columns: dict[str, object], **overrides: object) -> dict[str, tuple[str, ...]]:
    batch = TableBatch(pa.table(columns), Roles())
    roles, records = infer_roles(batch.schema, describe(batch), overrides)
    assert sorted(name for record in records for name in record.columns) == sorted(columns)
    assert all(record.reason for record in records)
    told = recorded(records).assigned.items()
    assert {role: set(names) for role, names in told} == {
        role: set(names) for role, names in roles.assigned.items()
    }
    return dict(roles.assigned)


def typical() -> dict[str, object]:
    start = datetime.datetime(2024, 1, 1)
    return {
        "row_id": [f"r{i}" for i in range(ROWS)],
        "user_id": [f"u{i % 7}" for i in range(ROWS)],
        "annotator": [f"a{i % 3}" for i in range(ROWS)],
        "source": ["web", "app"] * (ROWS // 2),
        "created_at": [str(start + datetime.timedelta(hours=i)) for i in range(ROWS)],
        "age": RANDOM.integers(18, 90, ROWS),
        "city": [f"city {i % 30}" for i in range(ROWS)],
        "member": [True, False] * (ROWS // 2),
        "review": [f"number {i} was a very long story about nothing at all" for i in range(ROWS)],
        "token": [f"{i:08x}" for i in range(ROWS)],
        "tags": [["a"]] * ROWS,
        "nothing": pa.nulls(ROWS, pa.string()),
        "label": [0, 1] * (ROWS // 2),
    }


def test_a_typical_table() -> None:
    assert roles_of(typical()) == {
        "id": ("row_id",),
        "contributor": ("user_id",),
        "annotator": ("annotator",),
        "source": ("source",),
        "timestamp": ("created_at",),
        "feature": ("age", "city", "member"),
        "text": ("review",),
        "ignored": ("token", "tags", "nothing"),
        "label": ("label",),
    }


@pytest.mark.parametrize("name", ["label", "Label", "target", "class", "y", "outcome"])
def test_names_of_labels(name: str) -> None:
    assert roles_of({"a": [1, 2], name: [0, 1]})["label"] == (name,)


def test_an_exact_label_beats_an_ending_and_an_ending_is_enough() -> None:
    columns = {"passenger_class": [1, 2], "label": [0, 1], "x": [1.0, 2.0]}
    assert roles_of(columns)["label"] == ("label",)
    assert roles_of({"x": [1.0, 2.0], "isTarget": [0, 1]})["label"] == ("isTarget",)
    assert "label" not in roles_of({"pos_x": [1.0, 2.0], "pos_y": [1.0, 2.0]})


def test_an_id_must_be_unique() -> None:
    unique = {"order_id": range(ROWS), "x": RANDOM.normal(size=ROWS)}
    assert roles_of(unique)["id"] == ("order_id",)
    repeated = {"order_id": [i % 9 for i in range(ROWS)], "x": RANDOM.normal(size=ROWS)}
    assert roles_of(repeated)["ignored"] == ("order_id",)


def test_a_unique_user_names_rows_and_not_contributors() -> None:
    assert roles_of({"user_id": [f"u{i}" for i in range(ROWS)]}) == {"id": ("user_id",)}


def test_one_timestamp_only() -> None:
    days = [datetime.date(2024, 1, 1)] * 2
    assert roles_of({"day": days, "birthday": days}) == {
        "timestamp": ("day",),
        "ignored": ("birthday",),
    }


def test_overrides_win() -> None:
    found = roles_of(typical(), label="age", feature=["label"], ignored="city", text=())
    assert found["label"] == ("age",)
    assert found["feature"] == ("label", "member")
    assert "city" in found["ignored"]
    assert "text" not in found


def test_an_unknown_role_is_carried() -> None:
    assert "prediction" not in KNOWN_ROLES
    assert roles_of(typical(), prediction="age")["prediction"] == ("age",)


def test_lists_of_numbers_are_an_embedding_where_the_name_says_so() -> None:
    lists = [[0.5, 1.5], [2.5, 3.5]]
    found = roles_of({"text_embedding": lists, "path": lists, "embedding": [1.5, 2.5]})
    assert found["embedding"] == ("text_embedding",)
    assert found["ignored"] == ("path",)
    assert found["feature"] == ("embedding",)


@pytest.mark.parametrize(
    "name", ["user", "author", "annotator", "source", "split", "sample_weight"]
)
@pytest.mark.parametrize("cell", [{"id": 5, "name": "ann"}, ["ann"]])
def test_what_is_nested_tells_nobody_apart(name: str, cell: object) -> None:
    """JSON Lines often have `"user": {"id": ..., "name": ...}`."""
    found = roles_of({name: [cell] * 10, "x": [1.5] * 10})
    assert found == {"ignored": (name,), "feature": ("x",)}


def test_the_order_of_an_override_counts() -> None:
    assert roles_of(typical(), id=["token", "row_id"])["id"] == ("token", "row_id")


def test_a_missing_column_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"roles.label: no column 'labl'; did you mean 'label'"):
        roles_of(typical(), label="labl")
    with pytest.raises(ConfigError, match="there are row_id"):
        roles_of(typical(), label="zzzzzz")


def test_a_column_in_two_roles() -> None:
    with pytest.raises(ConfigError, match="is label already"):
        roles_of(typical(), label="age", feature=["age"])


@pytest.mark.parametrize("rows", [0, 1])
def test_hardly_any_rows(rows: int) -> None:
    columns = {name: list(values)[:rows] for name, values in typical().items() if name != "nothing"}
    schema = pa.table(typical()).drop_columns(["nothing"]).schema
    batch = TableBatch(pa.Table.from_pydict(columns, schema=schema), Roles())
    roles, _ = infer_roles(batch.schema, describe(batch), {"label": "label"})
    assert roles.label == "label"


def test_the_sample_is_spread_over_the_batch() -> None:
    table = pa.table({"a": np.repeat(np.arange(10), 1000), "n": pa.nulls(10_000, pa.int64())})
    batch = TableBatch(table, Roles(), chunk_rows=777)
    seen = describe(batch, sample_rows=100)
    assert seen["a"].rows == 100
    assert seen["a"].distinct == 10
    assert seen["n"].null_share == 1.0
    assert seen["n"].distinct_share == 0.0


def test_the_y_of_three_coordinates_is_no_label() -> None:
    table = pa.table({"x": [1.0, 2.0], "y": [1.0, 2.0], "z": [1.0, 2.0]})
    batch = TableBatch(table, Roles())
    roles, _ = infer_roles(batch.schema, describe(batch))
    assert roles.label is None
    roles, _ = infer_roles(batch.schema.remove(2), describe(TableBatch(table.drop("z"), Roles())))
    assert roles.label == "y"


# --- with the roles of a baseline ------------------------------------------------------------

BASELINE = Roles(
    {"label": ("y",), "feature": ("a", "b"), "contributor": ("who",), "ignored": ("note",)}
)
COLUMNS = ("a", "b", "y", "who", "note")


def with_baseline(*columns: str, **overrides: object) -> dict[str, tuple[str, ...]]:
    batch = TableBatch(pa.table({name: list(range(20)) for name in columns}), Roles())
    trusted = Trusted(BASELINE, frozenset(COLUMNS))
    roles, _ = infer_roles(batch.schema, describe(batch), overrides, trusted)
    return dict(roles.assigned)


def test_the_roles_of_the_baseline_hold_where_nothing_is_set() -> None:
    assert with_baseline(*COLUMNS) == dict(BASELINE.assigned)


def test_settings_override_only_the_roles_they_name() -> None:
    assert with_baseline(*COLUMNS, label=["y"]) == dict(BASELINE.assigned)
    changed = with_baseline(*COLUMNS, contributor=["note"])
    assert changed["contributor"] == ("note",)
    assert changed["label"] == ("y",)
    assert changed["feature"][:2] == ("a", "b")
    assert with_baseline(*COLUMNS, ignored=["b"])["ignored"] == ("b", "note")


def test_a_column_that_the_baseline_does_not_know_plays_no_role() -> None:
    found = with_baseline(*COLUMNS, "extra", "label")
    assert found["feature"] == ("a", "b")
    assert found["label"] == ("y",)
    assert set(found["ignored"]) == {"note", "extra", "label"}
    assert with_baseline(*COLUMNS, "extra", feature=["a", "b", "extra"])["feature"][-1] == "extra"


def test_another_column_does_not_become_the_label_of_a_missing_one() -> None:
    found = with_baseline("a", "b", "who", "note", "target")
    assert "label" not in found
    assert found["ignored"] == ("note", "target")
