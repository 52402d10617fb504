from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from auditor.errors import BatchError
from auditor.readers import Limits, ingest_table, takeable, to_arrow

ROWS = {"a": [1, 2], "b": ["x", None]}


class Streamed:
    """Something of a library we do not know."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return pa.table(ROWS).__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize(
    "frame",
    [
        pa.table(ROWS),
        pa.record_batch(ROWS),
        pa.table(ROWS).to_reader(),
        pd.DataFrame(ROWS),
        pl.DataFrame(ROWS),
        Streamed(),
    ],
    ids=lambda frame: type(frame).__name__,
)
def test_frames(frame: object) -> None:
    assert to_arrow(frame).select(["a", "b"]).to_pydict() == ROWS


def test_a_pandas_index_with_meaning_is_kept() -> None:
    frame = pd.DataFrame({"a": [1, 2]}, index=pd.Index(["k1", "k2"], name="key"))
    assert to_arrow(frame).to_pydict() == {"a": [1, 2], "key": ["k1", "k2"]}
    assert to_arrow(pd.DataFrame({"a": [1]})).column_names == ["a"]


def test_a_mixed_object_column_is_named() -> None:
    frame = pd.DataFrame({"fine": [1, 2], "mixed": pd.Series([1, "x"], dtype=object)})
    with pytest.raises(BatchError, match="mixed"):
        to_arrow(frame)


@pytest.mark.parametrize("thing", [None, [1, 2], "a.csv", {"a": [1]}])
def test_what_is_no_table(thing: object) -> None:
    with pytest.raises(BatchError, match="pass a DataFrame"):
        to_arrow(thing)


def read_back(column: pa.Array | pa.ChunkedArray, folder: Path) -> list[object]:
    ingested = ingest_table(pa.table({"c": column}), staging=folder / "s")
    assert ingested.findings == ()
    assert ingested.batch is not None
    return [v for chunk in ingested.batch.chunks(["c"]) for v in chunk.data.column(0).to_pylist()]


CATEGORICAL = pl.Series(["b", "a", None, "b"]).cast(pl.Categorical)
VIEWS = pa.array(["b", None, "a long text beyond the twelve bytes of a view"], pa.string_view())


LAYOUTS = [
    pa.table(CATEGORICAL.to_frame("c")).column("c"),
    pa.table(CATEGORICAL.cast(pl.Enum(["a", "b"])).to_frame("c")).column("c"),
    pa.table(CATEGORICAL.to_frame("c")).column("c").slice(1, 2),
    pa.table(pl.DataFrame({"c": CATEGORICAL.implode()})).column("c"),
    pa.table(pl.DataFrame({"c": CATEGORICAL}).to_struct("c").to_frame()).column("c"),
    VIEWS,
    pa.array([b"\x00\xff", None], pa.binary_view()),
    pa.array(["x", None], pa.large_string()),
    pa.array([b"x", None], pa.large_binary()),
    pa.array([["x"], None, ["y", None]], pa.large_list(pa.large_string())),
    pa.array([["x"], None, []], pa.list_view(pa.string_view())).slice(1),
    pa.array([[1], None], pa.large_list_view(pa.int64())),
    pa.array([{"a": "x"}, None], pa.struct([("a", pa.string_view())])),
    pa.RunEndEncodedArray.from_arrays(
        [2, 3, 5], pa.array(["a", "b", None]).dictionary_encode()
    ).slice(1, 3),
]


@pytest.mark.parametrize("column", LAYOUTS, ids=lambda column: str(column.type))
def test_every_layout_of_a_value_is_read(
    column: pa.Array | pa.ChunkedArray, tmp_path: Path
) -> None:
    assert read_back(column, tmp_path) == column.to_pylist()


@pytest.mark.parametrize("column", LAYOUTS, ids=lambda column: str(column.type))
def test_rows_can_be_taken_of_every_layout(column: pa.Array | pa.ChunkedArray) -> None:
    table = takeable(pa.table({"c": column}))
    for chosen in (pa.array([len(column) - 1, 0]), pa.array([], pa.int64())):
        taken = table.take(chosen).column("c").to_pylist()
        assert taken == [column.to_pylist()[row] for row in chosen.to_pylist()]
    mask = pa.array([row == 1 for row in range(len(column))])
    assert table.filter(mask).column("c").to_pylist() == column.to_pylist()[1:2]


def test_a_table_that_is_refused_leaves_no_open_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", noise.append)
    long = pa.table({"c": ["x" * 200]})
    refused = ingest_table(long, staging=tmp_path / "s", limits=Limits(cell_bytes=100))
    gc.collect()
    assert [f.evidence["code"] for f in refused.findings] == ["LIMIT"]
    assert noise == []


def test_reading_does_not_import_pandas() -> None:
    code = (
        "import sys, auditor.readers, auditor.roles\n"
        "heavy = {'pandas', 'polars', 'scipy', 'sklearn', 'prefect', 'duckdb'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
