"""CSV, TSV and JSON Lines: dialect, encoding, types, compression, through the real reader."""

from __future__ import annotations

import bz2
import csv
import datetime
import gzip
import io
import json
import lzma
import math
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditor.readers import Ingest, Limits
from auditor.readers.onefile import Item
from auditor.readers.parse import Parser

Read = Callable[..., Ingest]
Table = Callable[[Ingest], pa.Table]
Refusal = Callable[[Ingest], tuple[object, str]]


def types(read: Read, folder: Path, **columns: list[str]) -> dict[str, str]:
    with (folder / "a.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    result = read(folder)
    assert result.batch is not None
    return {field.name: str(field.type) for field in result.batch.schema}


def test_types_of_columns(folder: Path, read: Read) -> None:
    assert types(
        read,
        folder,
        flag=["true", "false"],
        whole=["1", "-2"],
        real=["1.5", "nan"],
        bounds=["inf", "-inf"],
        exponent=["1e5", "2.5E-3"],
        day=["2024-01-31", "2024-02-01"],
        time=["2024-01-31T10:00:00", "2024-01-31 10:00:00.25"],
        zoned=["2024-01-31T10:00:00Z", "2024-01-31T10:00:00+02:00"],
        nano=["2024-01-31T10:00:00.123456789", "2024-01-31"],
        text=["x", "y"],
    ) == {
        "flag": "bool",
        "whole": "int64",
        "real": "double",
        "bounds": "double",
        "exponent": "double",
        "day": "date32[day]",
        "time": "timestamp[us]",
        "zoned": "timestamp[us, tz=UTC]",
        "nano": "timestamp[ns]",
        "text": "string",
    }


def test_what_a_number_would_lose_stays_text(folder: Path, read: Read) -> None:
    """Ids and telephone numbers; the long ones that an int64 holds exactly are numbers."""
    assert types(
        read,
        folder,
        zip=["01234", "12345"],
        phone=["+49301234", "+49301235"],
        hexa=["0x1F", "0x2F"],
        twenty=["12345678901234567890", "12345678901234567891"],
        eighteen=["123456789012345678", "123456789012345679"],
        long_and_real=["123456789012345678", "1.5"],
        huge=["1e400", "1"],
        zero=["0", "-1"],
        small=["0.5", "-0.25"],
    ) == {
        "zip": "string",
        "phone": "string",
        "hexa": "string",
        "twenty": "string",
        "eighteen": "int64",
        "long_and_real": "string",
        "huge": "string",
        "zero": "int64",
        "small": "double",
    }


def test_words_for_nothing_are_null_except_in_text(folder: Path, read: Read, table: Table) -> None:
    (folder / "a.csv").write_text('n,t\n1,a\nNA,NA\n,""\nnull,null\nNone,N/A\n#N/A,x\n-3,y\n')
    rows = table(read(folder))
    assert rows["n"].to_pylist() == [1, None, None, None, None, None, -3]
    assert rows["t"].to_pylist() == ["a", "NA", None, "null", "N/A", "x", "y"]


def test_blanks_around_numbers_do_not_matter(folder: Path, read: Read, table: Table) -> None:
    (folder / "a.csv").write_text("n, t\n1, a\n 2 , b\n   ,c\n")
    assert table(read(folder)).to_pydict() == {"n": [1, 2, None], " t": [" a", " b", "c"]}


def test_nan_and_infinity_arrive(folder: Path, read: Read, table: Table) -> None:
    (folder / "a.csv").write_text("x\nNaN\ninf\n-Infinity\n1\n")
    values = table(read(folder))["x"].to_pylist()
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf, 1.0]


def test_an_empty_column_is_text_and_said_so(folder: Path, read: Read) -> None:
    (folder / "a.csv").write_text("a,b\n1,\n2,\n")
    result = read(folder)
    assert result.batch is not None
    assert str(result.batch.schema.field("b").type) == "string"
    assert "column b holds no value and is read as text" in result.files[0].notes


def test_mixed_types_name_the_column_and_the_line(folder: Path, read: Read) -> None:
    lines = ["a,b", *(f'{i},"x\ny"' for i in range(100)), "oops,z", "7,z"]
    (folder / "a.csv").write_text("\n".join(lines))
    result = read(folder)
    assert result.batch is not None
    assert str(result.batch.schema.field("a").type) == "string"
    assert [note for note in result.files[0].notes if "column a" in note] == [
        "column a: line 202 does not fit the int64 values above; read as text"
    ]


def test_one_type_over_all_files(folder: Path, read: Read, table: Table) -> None:
    (folder / "1.csv").write_text("i,f,s,d\n1,1,1,2024-01-01\n")
    (folder / "2.csv").write_text("i,f,s,d\n,2.5,x,2024-01-02T03:04:05\n")
    (folder / "3.csv").write_text("d,s,f,i\n,,,3\n")
    rows = table(read(folder))
    assert [str(t) for t in rows.schema.types] == ["int64", "double", "string", "timestamp[us]"]
    assert rows["i"].to_pylist() == [1, None, 3]
    assert rows["f"].to_pylist() == [1.0, 2.5, None]
    assert rows["s"].to_pylist() == ["1", "x", None]
    assert rows["d"].to_pylist()[:2] == [
        datetime.datetime(2024, 1, 1),
        datetime.datetime(2024, 1, 2, 3, 4, 5),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters(folder: Path, read: Read, table: Table, delimiter: str) -> None:
    with (folder / "a.csv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows(
            [["a", "b", "c"], ["1", "x,y;z|w\tv", "2.5"], ['say "no"', "two\nlines", ""]]
        )
    assert table(read(folder)).to_pylist() == [
        {"a": "1", "b": "x,y;z|w\tv", "c": 2.5},
        {"a": 'say "no"', "b": "two\nlines", "c": None},
    ]


def test_decimal_commas_do_not_beat_the_semicolon(folder: Path, read: Read, table: Table) -> None:
    (folder / "a.csv").write_text("a;b\n1,5;2,5\n3,5;4,5\n")
    assert table(read(folder)).column_names == ["a", "b"]


def test_single_quotes(folder: Path, read: Read, table: Table) -> None:
    (folder / "a.csv").write_text("a,b\n'x,y',1\n'z',2\n")
    assert table(read(folder)).to_pydict() == {"a": ["x,y", "z"], "b": [1, 2]}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(folder: Path, read: Read, table: Table, end: str) -> None:
    (folder / "a.csv").write_bytes(end.join(["a,b", "1,x", "2,y", ""]).encode())
    assert table(read(folder)).to_pydict() == {"a": [1, 2], "b": ["x", "y"]}


def test_blank_lines_above_the_header_and_between(folder: Path, read: Read, table: Table) -> None:
    (folder / "a.csv").write_text("\n\na,b\n\n1,2\n\n3,4\n")
    assert table(read(folder)).to_pydict() == {"a": [1, 3], "b": [2, 4]}


@pytest.mark.parametrize(
    ("encoding", "text", "note"),
    [
        ("utf-8", "ü", None),
        ("utf-8-sig", "ü", "encoding utf-8-sig"),
        ("utf-16", "ü", "encoding utf-16"),
        ("utf-16-be", "ü", "encoding utf-16"),
        ("utf-32", "ü", "encoding utf-32"),
        ("cp1252", "ü€", "encoding cp1252"),
        ("latin-1", "ü\x81", "encoding latin-1"),
    ],
)
def test_encodings(
    folder: Path, read: Read, table: Table, encoding: str, text: str, note: str | None
) -> None:
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    (folder / "a.csv").write_bytes(f"{mark}a,b\n1,{text}\n".encode(encoding))
    result = read(folder)
    assert table(result).to_pydict() == {"a": [1], "b": [text]}
    assert [n for n in result.files[0].notes if "encoding" in n] == ([note] if note else [])


def test_a_cell_of_a_megabyte_and_more(folder: Path, read: Read, table: Table) -> None:
    long = "x" * (1 << 20)
    longer = "y" * (9 << 20)
    (folder / "a.csv").write_text(f"a,b\n1,{long}\n2,{longer}\n")
    rows = table(read(folder))
    assert rows["a"].to_pylist() == [1, 2]
    assert rows["b"].to_pylist() == [long, longer]


def test_a_column_without_a_name_gets_one(folder: Path, read: Read, table: Table) -> None:
    (folder / "a.csv").write_text(",b\n1,2\n")
    assert table(read(folder)).column_names == ["column_0", "b"]


def test_columns_named_like_magic_bytes(folder: Path, read: Read, table: Table) -> None:
    for number, name in enumerate(("PAR1", "ORC", "BZh", "PARE", "%PDF")):
        target = folder.parent / f"b{number}"
        target.mkdir()
        (target / "a.csv").write_text(f"{name},b\n1,2\n")
        assert table(read(target)).column_names == [name, "b"]


def zstd(content: bytes) -> bytes:
    return pa.compress(content, codec="zstd", asbytes=True)


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", zstd)],
)
@pytest.mark.parametrize("inner", ["a.csv", "a.jsonl"])
def test_compressed_text(
    folder: Path,
    read: Read,
    table: Table,
    suffix: str,
    compress: Callable[[bytes], bytes],
    inner: str,
) -> None:
    text = "a,b\n1,x\n2,y\n" if inner == "a.csv" else '{"a":1,"b":"x"}\n{"a":2,"b":"y"}\n'
    (folder / f"{inner}{suffix}").write_bytes(compress(text.encode()))
    result = read(folder)
    assert table(result).to_pydict() == {"a": [1, 2], "b": ["x", "y"]}
    assert ", " in result.files[0].format


def test_lz4(folder: Path, read: Read, table: Table) -> None:
    with pa.output_stream(folder / "a.csv.lz4", compression="lz4") as out:
        out.write(b"a,b\n1,x\n")
    assert table(read(folder)).to_pydict() == {"a": [1], "b": ["x"]}


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", zstd)],
)
def test_truncated_compression(
    folder: Path, read: Read, refusal: Refusal, suffix: str, compress: Callable[[bytes], bytes]
) -> None:
    rows = "".join(f"{i},{i * 7919 % 10007}\n" for i in range(50_000))
    (folder / f"a.csv{suffix}").write_bytes(compress(f"a,b\n{rows}".encode())[:-20])
    assert refusal(read(folder))[0] == "FILE_FORMAT"


def test_several_gzip_members_are_one_text(folder: Path, read: Read, table: Table) -> None:
    (folder / "a.csv.gz").write_bytes(gzip.compress(b"a\n1\n") + gzip.compress(b"2\n"))
    assert table(read(folder)).to_pydict() == {"a": [1, 2]}


def test_parquet_inside_gzip_is_refused(folder: Path, read: Read, refusal: Refusal) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": [1]}), sink)
    (folder / "a.parquet.gz").write_bytes(gzip.compress(sink.getvalue()))
    code, message = refusal(read(folder))
    assert code == "FILE_FORMAT"
    assert "decompress it first" in message


# --- JSON Lines -----------------------------------------------------------------------------


def test_json_lines(folder: Path, read: Read, table: Table) -> None:
    lines = [
        '{"a": 1, "t": "x", "n": {"k": [1]}}',
        "",
        '{"a": 2.5, "n": {"m": "z"}}',
        '{"t": null}',
    ]
    (folder / "a.jsonl").write_text("\n".join(lines))
    rows = table(read(folder))
    assert rows["a"].to_pylist() == [1.0, 2.5, None]
    assert rows["t"].to_pylist() == ["x", None, None]
    assert rows["n"].to_pylist() == [{"k": [1], "m": None}, {"k": None, "m": "z"}, None]


def test_json_types_hold_over_blocks_and_files(folder: Path, read: Read, table: Table) -> None:
    """Integers first, a real one megabytes later; text that looks like time, then does not."""
    many = [{"a": i, "w": "2024-01-01", "pad": "x" * 100} for i in range(60_000)]
    lines = [*many, {"a": 0.5, "w": "soon", "pad": ""}]
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "b.jsonl").write_text(json.dumps({"a": 1, "w": "2024-01-01", "pad": ""}))
    rows = table(read(folder))
    assert [str(t) for t in rows.schema.types] == ["double", "string", "string"]
    assert rows["a"].to_pylist()[-2:] == [0.5, 1.0]
    assert rows["w"].to_pylist()[-2:] == ["soon", "2024-01-01"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a":1}\n\n{"a":"x"}\n', "line 3"),
        ('{"a":1}\n{"a":\n', "line 2"),
        ('[{"a":1}]\n', "an array"),
        ('{"a":1}\n5\n', "line 2"),
        ('{"a":1,"a":2}\n', "twice"),
        ("{}\n{}\n", "no column"),
    ],
)
def test_broken_json_lines(
    folder: Path, read: Read, refusal: Refusal, text: str, words: str
) -> None:
    (folder / "a.jsonl").write_text(text)
    code, message = refusal(read(folder))
    assert code in {"FILE_FORMAT", "SCHEMA"}
    assert words in message


def test_a_type_that_changes_far_down_is_named_by_line(
    folder: Path, read: Read, refusal: Refusal
) -> None:
    lines = [json.dumps({"a": i, "pad": "x" * 100}) for i in range(60_000)]
    (folder / "a.jsonl").write_text("\n".join([*lines, '{"a": "oops", "pad": ""}']))
    code, message = refusal(read(folder))
    assert code == "FILE_FORMAT"
    assert "60001" in message


def test_json_that_is_not_utf8(folder: Path, read: Read, refusal: Refusal) -> None:
    (folder / "a.jsonl").write_bytes(b'{"a":"\xff"}\n')
    assert refusal(read(folder))[0] == "FILE_FORMAT"


# --- round trip -----------------------------------------------------------------------------

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
NAMES = st.lists(st.from_regex(r"[a-z]{1,6}", fullmatch=True), min_size=1, max_size=4, unique=True)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_csv_round_trip(data: st.DataObject) -> None:
    """What Python's csv writes comes back cell by cell; text that a column forces is exact."""
    names = data.draw(NAMES)
    width = len(names)
    rows = data.draw(st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=8))
    rows = [row for row in rows if any(row)]  # a row of one empty cell is a blank line
    rows.append(["forces text, \N{SNOWMAN}"] * width)
    with tempfile.TemporaryDirectory() as made:
        path, output = Path(made) / "a.csv", Path(made) / "out.parquet"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([names, *rows])
        content = path.read_bytes()
        item = Item(0, "a.csv", len(content), lambda: io.BytesIO(content))
        with output.open("w+b") as file:
            parsed = Parser([item], Limits(), lambda *_: None).run(file, set_aside=False)
        assert parsed.refused == {}
        read = pq.read_table(output, memory_map=False)
    assert [list(row.values()) for row in read.to_pylist()] == [
        [cell or None for cell in row] for row in rows
    ]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=20),
    st.lists(st.one_of(st.none(), st.floats()), min_size=1, max_size=20),
)
def test_numbers_round_trip(whole: list[int | None], real: list[float | None]) -> None:
    """Integers and reals as Python prints them are numbers again, bit by bit."""
    rows = list(zip(whole, real, strict=False))
    lines = ["w,r,t", *(f"{_cell(w)},{_cell(r)},x" for w, r in rows)]
    content = "\n".join(lines).encode()
    item = Item(0, "a.csv", len(content), lambda: io.BytesIO(content))
    with tempfile.TemporaryFile() as output:
        parsed = Parser([item], Limits(), lambda *_: None).run(output, set_aside=False)
        assert parsed.refused == {}
        output.seek(0)
        read = pq.read_table(pa.PythonFile(output, mode="r"))
    assert read["w"].to_pylist() == [w for w, _ in rows]
    if any(r is not None for _, r in rows):
        assert [repr(r) for r in read["r"].to_pylist()] == [repr(r) for _, r in rows]


def _cell(value: float | None) -> str:
    return "" if value is None else repr(value)
