"""Ways past the gate that a review found; each one is closed and stays closed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from auditor.publish import write_published
from auditor.readers import ingest, resolve


def published(site: Any) -> dict[str, pa.Table]:
    (folder,) = site.visible("published")
    files = sorted(folder.rglob("*.parquet"))
    return {str(p.relative_to(folder)): pq.ParquetFile(p).read() for p in files}


def test_metadata_that_renames_columns_is_not_published(site: Any) -> None:
    table = site.rows(200, 5)
    names = table.column_names
    one, other = [f.name for f in table.schema if pa.types.is_floating(f.type)][:2]
    swapped = {one: other, other: one}
    columns = [
        {"name": swapped.get(n, n), "field_name": n, "pandas_type": "float64",
         "numpy_type": "float64", "metadata": None}
        for n in names
    ]  # fmt: skip
    told = {"index_columns": [], "column_indexes": [], "columns": columns}
    site.write("in/a.parquet", table.replace_schema_metadata({"pandas": json.dumps(told)}))
    done = site.call("gate", "in/a.parquet", "-q")
    assert done.code == 0, done.out
    (found,) = published(site).values()
    assert not found.schema.metadata
    assert found.to_pylist() == table.to_pylist()


def test_no_output_overwrites_another(site: Any) -> None:
    site.write("in/#x.parquet", site.rows(120, 5))
    site.write("in/auditor-00000.parquet", site.rows(120, 6))
    done = site.call("gate", "in", "-q")
    assert done.code == 0, done.out
    assert sum(t.num_rows for t in published(site).values()) == 240


def test_a_column_that_came_from_the_folder_is_never_lost(site: Any) -> None:
    """Straight on the writer: whatever the verdict over such a batch, the column must be there."""
    table = site.rows(40, 5)
    for value in ("0", "1"):
        for name in ("#x.parquet", "y.parquet"):
            site.write(f"in/part={value}/{name}", table)
    ingested = ingest(resolve([str(site.root / "in")]), staging=site.root / "staging")
    assert ingested.batch is not None
    out = site.root / "out"
    out.mkdir()
    written = write_published(ingested, np.zeros(0, dtype=np.int64), out)
    assert sum(entry.rows for entry in written) == 160
    names = [entry.name for entry in written]
    assert sum("/" in name for name in names) == 2, "a plain name keeps its folder"
    for name in names:
        found = pq.ParquetFile(out / name).read()
        folder = name.split("/")[0] if "/" in name else None
        assert folder in ("part=0", "part=1") or set(found["part"].to_pylist()) <= {"0", "1"}


def test_columns_named_like_ours_are_refused(site: Any) -> None:
    table = site.rows(200, 5)
    site.write("in/a.parquet", table.append_column("_auditor_reason", table[table.column_names[0]]))
    done = site.call("gate", "in/a.parquet", "-q")
    assert done.code == 11
    assert "_auditor_" in done.out


def test_a_baseline_is_built_from_what_a_run_published_only(site: Any) -> None:
    site.write("in/a.parquet", site.rows(200, 5))
    assert site.call("gate", "in/a.parquet", "-q").code == 0
    (folder,) = site.visible("published")
    pq.write_table(site.rows(200, 9), folder / "zz.parquet")
    given = ("--reviewed-by", "me", "--reason", "looked at it", "-o", "next", "-q")
    done = site.call("baseline", "build", "--from-run", "latest", *given, "--power", "skip")
    assert done.code == 2
    assert "other files than the run published" in done.err
    assert not Path(site.root / "next").exists()


def test_without_a_baseline_nothing_was_screened_for_poison(bare: Any) -> None:
    bare.write("auditor.yaml", "manifest: {unsigned: note}\n").chmod(0o600)
    bare.write("in/a.parquet", bare.rows(200, 5))
    assert bare.call("gate", "in/a.parquet", "-q").code == 0
    (folder,) = bare.visible("published")
    import base64

    envelope = json.loads((folder / "attestation.dsse.json").read_bytes())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert statement["predicate"]["verifiedLevels"] == ["AUDITOR_NO_BASELINE"]
