"""Baselines: built the same way each time, written whole, refused once edited."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditor import calibration
from auditor.baseline import Baseline
from auditor.baseline_changes import changes
from auditor.batch import Roles, TableBatch
from auditor.calibration import Plan
from auditor.context import Context
from auditor.detectors import DETECTORS
from auditor.detectors.known_rows import KnownRows
from auditor.detectors.outliers import Options
from auditor.errors import BaselineError
from auditor.screening import judging

KEY = bytes(range(32))
NOW = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
ROLES = Roles(
    {"feature": ("a", "b", "flag"), "label": ("y",), "timestamp": ("t",), "source": ("from",)}
)


def table_of(rows: int = 150, seed: int = 0) -> pa.Table:
    """Of every kind that Parquet stores in another way than Arrow holds it."""
    rng = np.random.default_rng(seed)
    some = rng.random(rows) < 0.2
    return pa.table(
        {
            "a": pa.array(np.where(some, np.nan, rng.normal(size=rows)), from_pandas=True),
            "b": pa.array([f"v{i}" for i in rng.integers(0, 4, rows)]).dictionary_encode(),
            "flag": pa.array(rng.random(rows) < 0.5, mask=some),
            "y": rng.integers(0, 2, rows),
            "t": pa.array(rng.permutation(rows), pa.timestamp("s", "UTC"), mask=some),
            "day": pa.array(rng.integers(0, 99, rows), pa.int32(), mask=some).cast(pa.date32()),
            "list": pa.array([[1] if s else None for s in some], pa.list_(pa.int64())),
            "from": rng.choice(["web", "app"], rows),
        }
    )


def plan(**changes: Any) -> Plan:
    given = {
        "name": "trusted",
        "site_key": KEY,
        "now": NOW,
        "options": {"AUD-F001": Options(trees=4)},
        "resamples": 0,
    }
    return Plan(**(given | changes))


def build(table: pa.Table | None = None, **changes: Any) -> Baseline:
    return calibration.build(TableBatch(table or table_of(), ROLES), plan(**changes))


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return build()


@pytest.fixture
def folder(baseline: Baseline, tmp_path: Path) -> Path:
    return calibration.write(baseline, tmp_path / "baseline")


def test_what_is_written_is_read(baseline: Baseline, folder: Path) -> None:
    back = calibration.read(folder)
    assert back.digest == baseline.digest
    assert back.rows == 150
    for name in ("created_at", "key_id", "seed", "roles", "parts", "edges", "clean"):
        assert getattr(back, name) == getattr(baseline, name), name
    ours, theirs = (json.dumps(b.thresholds, sort_keys=True) for b in (baseline, back))
    assert ours == theirs
    assert back.keys.equals(baseline.keys)
    assert back.sample.equals(baseline.sample)
    assert back.schema == baseline.schema
    found = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.*"))
    assert [name for name in found if "/" not in name] == ["baseline.json", "sample.parquet"]
    assert sorted(name.rsplit("/", 1)[-1] for name in found if "/" in name) == [
        *["rows.parquet"] * 2,
        *["sample.parquet"] * 2,
    ]


def test_what_is_read_can_be_written_again(folder: Path, tmp_path: Path) -> None:
    first = calibration.read(folder)
    copy = calibration.read(calibration.write(first, tmp_path / "copy"))
    assert copy.digest == first.digest


def test_rows_are_recognised_after_reading(folder: Path) -> None:
    context = Context(site_key=KEY, baseline=calibration.read(folder))
    outcome = KnownRows.load(context).scan(TableBatch(table_of().slice(20, 40), ROLES))
    assert outcome.findings[0].rows is not None
    assert outcome.findings[0].rows.num_rows == 40
    fresh = KnownRows.load(context).scan(TableBatch(table_of(seed=5), ROLES))
    assert sum(f.rows.num_rows for f in fresh.findings if f.rows is not None) < 60


def test_the_same_rows_and_plan_give_the_same_digest(baseline: Baseline) -> None:
    assert build().digest == baseline.digest
    assert build(name="other").digest != baseline.digest
    assert build(site_key=b"k" * 32).digest != baseline.digest
    assert build(table_of(seed=1)).digest != baseline.digest


def test_chunks_do_not_change_a_baseline(baseline: Baseline) -> None:
    parts = TableBatch(table_of(), ROLES, chunk_rows=7)
    assert calibration.build(parts, plan()).digest == baseline.digest


# --- edited, damaged, in the way -----------------------------------------------------------


def edit_header(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "baseline.json"
    header = json.loads(path.read_text())
    change(header)
    path.write_text(json.dumps(header))


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h["clean"].update(batches=999),
        lambda h: h["thresholds"].clear(),
        lambda h: h["roles"].update(label=["a"]),
        lambda h: h["parts"][0].update(rows=1),
        lambda h: h.update(seed=1),
        lambda h: h.update(digest="0" * 64),
        lambda h: h.pop("digest"),
        lambda h: h.update(extra=1),
    ],
)
def test_an_edited_header_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    edit_header(folder, change)
    with pytest.raises(BaselineError, match="digest"):
        calibration.read(folder)


def one_of(folder: Path, name: str) -> Path:
    """The first file of a pattern below the baseline."""
    return sorted(folder.glob(name))[0]


@pytest.mark.parametrize("name", ["sample.parquet", "parts/*/rows.parquet"])
def test_an_edited_table_is_refused(folder: Path, name: str) -> None:
    path = one_of(folder, name)
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    with pytest.raises(BaselineError, match="digest"):
        calibration.read(folder)


def test_an_edited_sample_of_a_part_is_refused_when_it_is_used(folder: Path) -> None:
    path = one_of(folder, "parts/*/sample.parquet")
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(BaselineError, match="digest"):
        calibration.reduced(read := calibration.read(folder), read.pieces, plan())


@pytest.mark.parametrize("name", ["sample.parquet", "parts/*/rows.parquet", "baseline.json"])
@pytest.mark.parametrize("content", [None, b"", b"PAR1 nonsense", b"[1, 2]"])
def test_a_damaged_file_is_refused(folder: Path, name: str, content: bytes | None) -> None:
    if content is None:
        one_of(folder, name).unlink()
    else:
        one_of(folder, name).write_bytes(content)
    with pytest.raises(BaselineError):
        calibration.read(folder)


@pytest.mark.parametrize(
    ("version", "said"),
    [(99, "use the auditor that wrote it"), (1, "build it again"), ("2", "build it again")],
)
def test_another_version_is_refused(folder: Path, version: object, said: str) -> None:
    edit_header(folder, lambda h: h.update(version=version))
    with pytest.raises(BaselineError, match=said):
        calibration.read(folder)


def test_a_missing_baseline_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match="auditor baseline build"):
        calibration.read(tmp_path / "nowhere")


def test_a_folder_in_use_is_refused(baseline: Baseline, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match="immutable"):
        calibration.write(baseline, folder)
    (tmp_path / "file").write_text("x")
    with pytest.raises(BaselineError):
        calibration.write(baseline, tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert calibration.read(calibration.write(baseline, tmp_path / "empty")).rows == 150
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


# --- building ------------------------------------------------------------------------------


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(BaselineError, match="99"):
        build(table_of(99))


def test_parts_are_one_a_source_and_add_up(baseline: Baseline) -> None:
    assert [part.name for part in baseline.parts] == ["trusted/app", "trusted/web"]
    counts = table_of()["y"].value_counts().to_pylist()
    assert baseline.labels == {str(c["values"]): c["counts"] for c in counts}
    for column in ("a", "b", "flag", "y"):
        assert baseline.histogram(column).sum() == 150
    with pytest.raises(BaselineError, match="nothing"):
        baseline.histogram("nothing")


def test_the_sample_is_bounded_in_time_order_and_keeps_rare_labels() -> None:
    table = table_of(3000)
    rare = np.where(np.arange(3000) < 30, 7, table["y"].to_numpy())
    table = table.set_column(3, "y", pa.array(rare))
    built = build(table, sample_rows=500)
    assert built.sample.num_rows == 500
    assert built.rows == built.keys.num_rows == 3000
    assert built.sample["y"].to_pylist().count(7) >= 25  # in proportion it would be 5
    when = built.sample["t"].cast(pa.int64()).fill_null(0).to_numpy()
    assert (np.diff(when) >= 0).all()


def test_values_near_the_end_of_the_floats_do_not_break_a_build(tmp_path: Path) -> None:
    table = table_of()
    wild = np.where(np.arange(150) % 3 == 0, 1.7e308, -1.7e308)
    wild[:3] = [np.inf, -np.inf, np.nan]
    built = build(table.set_column(0, "a", pa.array(wild)))
    assert calibration.read(calibration.write(built, tmp_path / "b")).digest == built.digest


def test_a_class_that_one_contributor_sends_does_not_break_a_build() -> None:
    table = table_of().append_column("who", pa.array([f"c{int(y)}" for y in table_of()["y"]]))
    whole = [f"c{i % 4}" if y.as_py() else "only" for i, y in enumerate(table["y"])]
    table = table.set_column(table.num_columns - 1, "who", pa.array(whole))
    roles = Roles({**ROLES.assigned, "contributor": ("who",)})
    built = calibration.build(TableBatch(table, roles), plan())
    assert "AUD-L001" in built.thresholds


def test_measured_clean_batches_are_recorded() -> None:
    clean = build(table_of(600), resamples=2).clean
    assert clean["batches"] == 2
    assert clean["batches_not_accepted"] == 0
    assert clean["rows"] == 200
    assert 0.0 <= clean["row_rate_low"] <= clean["row_rate_high"] < 0.03


# --- difference ----------------------------------------------------------------------------


def test_a_baseline_does_not_differ_from_itself(baseline: Baseline) -> None:
    found = changes(baseline, baseline)
    assert (found.labels, found.roles, found.thresholds, found.clean) == ((), (), (), ())
    assert {column.change for column in found.columns} == {"same"}
    assert {column.psi for column in found.columns} == {0.0, None}


def test_columns_labels_and_roles_that_changed_are_told(baseline: Baseline) -> None:
    (part, other) = baseline.parts
    new = replace(
        baseline,
        parts=(replace(part, rows=part.rows + 10, labels={**part.labels, "2": 10}), other),
        schema=baseline.schema.append(pa.field("new", pa.int64())),
        roles=Roles({**ROLES.assigned, "feature": ("a",)}),
    )
    found = changes(baseline, new)
    assert (found.old_rows, found.new_rows) == (150, 160)
    assert [(c.column, c.change) for c in found.columns if c.change != "same"] == [("new", "added")]
    shares = {label.label: (label.old, label.new) for label in found.labels}
    assert shares["2"] == (None, 10 / 160)
    assert shares["0"] == (baseline.labels["0"] / 150, baseline.labels["0"] / 160)
    assert [(r.role, r.new) for r in found.roles] == [("feature", ("a",))]
    back = changes(new, baseline)
    assert [c.column for c in back.columns if c.change == "removed"] == ["new"]


def test_drift_of_a_column_and_moved_thresholds_are_told(baseline: Baseline) -> None:
    table = table_of()
    far = pa.array([9.0] * 150)
    found = changes(baseline, build(table.set_column(0, "a", far)))
    psi = {column.column: column.psi for column in found.columns}
    assert psi["a"] is not None
    assert psi["a"] > 1
    assert psi["b"] == 0.0
    assert psi["t"] is None  # times are not compared
    moved = {change.rule: change for change in found.thresholds}
    assert 0 < moved["AUD-F001"].moved <= moved["AUD-F001"].numbers
    assert moved["AUD-F001"].largest is not None
    assert str(moved["AUD-F001"].where).startswith("folds.")


def test_a_rule_without_thresholds_and_other_rates_are_told(baseline: Baseline) -> None:
    clean = {**baseline.clean, "batches": 9}
    new = replace(baseline, thresholds={"AUD-L001": {}, "AUD-X": {"q": [1]}}, clean=clean)
    found = changes(replace(baseline, thresholds={"AUD-F001": {"q": [1, True]}}), new)
    told = {t.rule: (t.change, t.numbers) for t in found.thresholds}
    assert told == {
        "AUD-F001": ("removed", 1), "AUD-L001": ("added", 0), "AUD-X": ("added", 1),
    }  # fmt: skip
    assert [(c.name, c.old, c.new) for c in found.clean] == [("batches", 0, 9)]


# --- what stands in the header -------------------------------------------------------------


def test_no_id_text_time_or_name_stands_in_the_header(tmp_path: Path) -> None:
    rows = 150
    table = table_of(rows).append_column("key", pa.array([f"key-{i}" for i in range(rows)]))
    table = table.append_column("said", pa.array([f"a text of row {i}" for i in range(rows)]))
    table = table.append_column("who", pa.array([f"who-{i % 5}" for i in range(rows)]))
    table = table.append_column("token", pa.array([f"token-{i}" for i in range(rows)]))
    table = table.append_column("shop", pa.array([f"shop-{i % 3}" for i in range(rows)]))
    table = table.append_column("part", pa.array([f"part-{i % 2}" for i in range(rows)]))
    roles = Roles(
        {
            **ROLES.assigned, "id": ("key",), "text": ("said",), "contributor": ("who",),
            "ignored": ("token", "shop"), "slice": ("part",),
        }
    )  # fmt: skip
    built = calibration.build(TableBatch(table, roles), plan())
    assert sorted(built.edges) == ["a", "b", "flag", "part", "shop", "y"]
    calibration.write(built, tmp_path / "b")
    header = (tmp_path / "b" / "baseline.json").read_text()
    for secret in ("key-1", "a text of row", "who-1", "token-1"):
        assert secret not in header
    assert "shop-1" in header


def test_rules_that_are_switched_off_are_not_calibrated(tmp_path: Path) -> None:
    told: list[str] = []
    on = tuple(d for d in DETECTORS if d.rule.id != "AUD-F001")
    built = calibration.build(TableBatch(table_of(), ROLES), plan(detectors=on), told.append)
    assert "AUD-F001" not in built.thresholds
    assert built.switched_off == ("AUD-F001",)
    assert not [line for line in told if "AUD-F001" in line]
    back = calibration.read(calibration.write(built, tmp_path / "b"))
    assert (back.digest, back.switched_off) == (built.digest, ("AUD-F001",))
    # Switched on later it has nothing to judge by: required, so that the gate holds.
    assert "AUD-F001" in set(judging(back))


def test_a_header_of_before_keeps_its_digest(baseline: Baseline, folder: Path) -> None:
    assert baseline.switched_off == ()
    assert "switched_off" not in json.loads((folder / "baseline.json").read_text())
