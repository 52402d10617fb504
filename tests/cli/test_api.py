"""`auditor.audit` on everything that holds rows."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import auditor
from auditor.errors import BatchError, ConfigError


def as_pandas(table: pa.Table) -> Any:
    return table.to_pandas()


def as_polars(table: pa.Table) -> Any:
    return pytest.importorskip("polars").from_arrow(table)


def as_arrow(table: pa.Table) -> Any:
    return table


def as_path(table: pa.Table) -> Any:
    pq.write_table(table, "rows.parquet")
    return Path("rows.parquet")


def as_paths(table: pa.Table) -> Any:
    pq.write_table(table.slice(0, 100), "a.parquet")
    pq.write_table(table.slice(100), "b.parquet")
    return ["a.parquet", "b.parquet"]


@pytest.fixture
def inside(site: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(site.root)
    return site


@pytest.mark.parametrize("form", [as_pandas, as_polars, as_arrow, as_path, as_paths])
def test_any_kind_of_rows(inside: Any, form: Callable[[pa.Table], Any]) -> None:
    table = inside.copies(inside.rows(200, 6), 30)
    found = auditor.audit(form(table), config="auditor.yaml")
    assert found.verdict == "QUARANTINE"
    assert found.report.rows_quarantined == 30
    assert {f.rule for f in found.findings if f.effect == "quarantine"} == {"AUD-D001"}
    assert {o.status for o in found.outcomes} <= {"ran", "skipped"}
    assert found.to_html().lower().startswith("<!doctype html>")
    with pytest.raises(auditor.RejectedError, match="QUARANTINE: 30 extra copies"):
        found.raise_for_verdict()
    if form in (as_path, as_paths):
        with pytest.raises(ValueError, match="the input was files; see "):
            found.published()
        return
    assert found.quarantined()["id"].to_pylist() == [f"copy-{n}" for n in range(30)]
    assert found.published().to_pylist() == table.slice(0, 200).to_pylist()
    assert inside.visible("published") == []


def test_a_table_of_no_rows_publishes_none(inside: Any) -> None:
    found = auditor.audit(inside.rows(5, 1).slice(0, 0), config="auditor.yaml")
    assert found.verdict == "HOLD"
    assert found.published().num_rows == found.quarantined().num_rows == 0


def test_a_clean_table_raises_nothing(inside: Any) -> None:
    auditor.audit(inside.rows(200, 5), config="auditor.yaml").raise_for_verdict()


def test_mistakes_are_exceptions_with_the_name(bare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bare.root)
    table = bare.rows(60, 1)
    with pytest.raises(ConfigError, match="did you mean label"):
        auditor.audit(table, roles={"lable": "label"})
    with pytest.raises(BatchError, match=r"no\.parquet: no such file"):
        auditor.audit("no.parquet")
    with pytest.raises(BatchError, match="remote addresses"):
        auditor.audit(["s3://bucket/a.parquet"])
    with pytest.raises((BatchError, TypeError)):
        auditor.audit(7)
    assert not os.path.exists(".auditor/ledger.db")  # noqa: PTH110


def test_pandas_with_an_index_and_odd_types(inside: Any) -> None:
    frame = as_pandas(inside.rows(200, 5)).set_index("id")
    found = auditor.audit(frame, config="auditor.yaml")
    assert found.verdict in ("ACCEPT", "HOLD")
    if found.verdict == "HOLD":
        assert any("roles.id" in reason for reason in found.report.reasons)


@pytest.mark.parametrize("kind", ["timestamp[s]", "date64[ms]", "time32[s]"])
def test_times_that_parquet_does_not_have(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    times = {
        "timestamp[s]": pa.array([0, 1, 2], pa.timestamp("s")),
        "date64[ms]": pa.array([0, 86_400_000, 172_800_000], pa.date64()),
        "time32[s]": pa.array([0, 1, 2], pa.time32("s")),
    }
    table = pa.table({"id": ["a", "b", "c"], "when": times[kind], "v": [1.0, 2.0, 3.0]})
    found = auditor.audit(table)
    assert found.verdict == "ACCEPT", found.report.reasons
