"""Several files, several formats, hive folders: one schema, or the one that differs is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditor.readers import Ingest

Read = Callable[..., Ingest]
Table = Callable[[Ingest], pa.Table]


def put(path: Path, **columns: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def test_hive_folders_become_columns(folder: Path, read: Read, table: Table) -> None:
    put(folder / "year=2024/kind=a%20b/x.parquet", v=[1, 2])
    put(folder / "year=2025/kind=__HIVE_DEFAULT_PARTITION__/x.parquet", v=[3])
    (folder / "year=2025" / "_SUCCESS").touch()
    result = read(folder)
    assert table(result).to_pydict() == {
        "v": [1, 2, 3],
        "year": ["2024", "2024", "2025"],
        "kind": ["a b", "a b", None],
    }
    assert "column year comes from the folder" in result.files[0].notes


def test_a_hive_folder_that_one_file_lacks(folder: Path, read: Read) -> None:
    put(folder / "year=2024/x.parquet", v=[1])
    put(folder / "year=2025/x.parquet", v=[1])
    put(folder / "x.parquet", v=[1])
    (finding,) = read(folder).findings
    assert finding.evidence["code"] == "SCHEMA"
    assert finding.evidence["file"] == "x.parquet"


def test_a_column_in_the_file_and_in_the_folder(folder: Path, read: Read) -> None:
    put(folder / "year=2024/x.parquet", year=[1999])
    (finding,) = read(folder).findings
    assert finding.evidence["code"] == "SCHEMA"
    assert "in its folder" in finding.message


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"a": [1]}, "lacks b"),
        ({"a": [1], "b": ["x"], "c": [1]}, "has c in addition"),
        ({"a": ["text"], "b": ["x"]}, "column a is string, in the other files it is number"),
    ],
)
def test_the_file_that_differs_is_named_even_if_it_is_the_first(
    folder: Path, read: Read, columns: dict[str, list[object]], words: str
) -> None:
    put(folder / "0.parquet", **columns)
    put(folder / "1.parquet", a=[1], b=["x"])
    put(folder / "2.parquet", a=[2], b=["y"])
    (finding,) = read(folder).findings
    assert finding.evidence["code"] == "SCHEMA"
    assert finding.evidence["file"] == "0.parquet"
    assert words in finding.message


def test_integers_widen_to_reals_and_it_is_noted(folder: Path, read: Read, table: Table) -> None:
    put(folder / "1.parquet", a=[1])
    put(folder / "2.parquet", a=[0.5])
    put(folder / "3.parquet", a=pa.array([3], pa.int8()))
    result = read(folder)
    assert table(result)["a"].to_pylist() == [1.0, 0.5, 3.0]
    assert result.files[0].notes == ("column a: int64 is read as double",)
    assert result.files[2].notes == ("column a: int8 is read as double",)


def test_an_integer_that_a_real_cannot_hold_is_not_widened(folder: Path, read: Read) -> None:
    put(folder / "1.parquet", a=[(1 << 60) + 1])
    put(folder / "2.parquet", a=[0.5])
    (finding,) = read(folder).findings
    assert finding.evidence["code"] == "SCHEMA"
    assert finding.evidence["file"] == "1.parquet"


def test_formats_mix(folder: Path, read: Read, table: Table) -> None:
    put(folder / "1.parquet", i=[1], f=[1.5], s=["x"], nothing=pa.nulls(1))
    (folder / "2.csv").write_text("s,i,f,nothing\n7,2,3,\n")
    (folder / "3.jsonl").write_text('{"i":3,"f":1,"s":"2024-01-01","nothing":null}\n')
    assert table(read(folder)).to_pydict() == {
        "i": [1, 2, 3],
        "f": [1.5, 3.0, 1.0],
        "s": ["x", "7", "2024-01-01"],
        "nothing": [None, None, None],
    }


def test_csv_takes_part_in_widening(folder: Path, read: Read, table: Table) -> None:
    put(folder / "1.parquet", i=pa.array([1], pa.int32()), t=pa.array([0], pa.timestamp("s")))
    (folder / "2.csv").write_text("i,t\n2.5,1970-01-01T00:00:00.25\n")
    rows = table(read(folder))
    assert [str(t) for t in rows.schema.types] == ["double", "timestamp[us]"]
    assert rows["i"].to_pylist() == [1.0, 2.5]


def test_csv_that_does_not_fit_the_parquet_type(folder: Path, read: Read) -> None:
    put(folder / "1.parquet", i=[1])
    (folder / "2.csv").write_text("i\nx\n")
    (finding,) = read(folder).findings
    assert finding.evidence["code"] == "SCHEMA"
    assert finding.evidence["file"] == "2.csv"


def test_plain_types(folder: Path, read: Read, table: Table) -> None:
    """Dictionaries, large and view types, half floats, run ends, extensions: plain values."""
    texts = ["x", "y", None, "x"]
    columns = {
        "dictionary": pa.array(texts).dictionary_encode(),
        "large": pa.array(texts, pa.large_string()),
        "view": pa.array(texts, pa.string_view()),
        "half": pa.array([0.5, 1, 2, None], pa.float16()),
        "ends": pa.compute.run_end_encode(pa.array([1, 1, 2, 2])),
        "nested": pa.array([{"k": ["a"]}, None, {"k": []}, {"k": ["b"]}]),
        "big_list": pa.array([[1], None, [], [2]], pa.large_list(pa.int64())),
    }
    batch = pa.record_batch(columns)
    with pa.ipc.new_file(folder / "a.arrow", batch.schema) as writer:
        writer.write_batch(batch)
    rows = table(read(folder))
    assert [str(t) for t in rows.schema.types] == [
        *("string", "string", "string", "float", "int64"),
        "struct<k: list<item: string>>",
        "list<item: int64>",
    ]
    assert rows.to_pydict() == batch.to_pydict() | {"ends": [1, 1, 2, 2]}


@pytest.mark.parametrize("name", ["a.arrow", "a.feather", "a.arrows"])
def test_arrow_ipc(folder: Path, read: Read, table: Table, name: str) -> None:
    content = pa.table({"a": range(300_000)})
    new = pa.ipc.new_stream if name == "a.arrows" else pa.ipc.new_file
    with new(
        folder / name, content.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")
    ) as w:
        w.write_table(content)
    assert table(read(folder)).equals(content)


def test_a_parquet_file_under_another_name_is_noted(folder: Path, read: Read) -> None:
    put(folder / "a.csv", a=[1])
    result = read(folder)
    assert result.batch is not None
    assert result.files[0].format == "parquet"
    assert "whatever its name says" in result.files[0].notes[0]


def test_skipped_files_are_named(folder: Path, read: Read) -> None:
    put(folder / "a.parquet", a=[1])
    (folder / "_metadata").write_text("points elsewhere")
    (folder / ".hidden").write_text("x")
    result = read(folder)
    assert result.batch is not None
    assert result.skipped == (".hidden", "_metadata")
    assert [file.name for file in result.files] == ["a.parquet"]


def test_many_small_files(folder: Path, read: Read) -> None:
    """More than a process may hold open."""
    for number in range(600):
        (folder / f"{number:04}.csv").write_text(f"a\n{number}\n")
    result = read(folder)
    assert result.batch is not None
    assert result.batch.rows == 600
