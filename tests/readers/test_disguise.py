"""Files that are two things at once, or another thing than their name says."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditor.readers import Ingest
from auditor.readers.detect import Form
from auditor.readers.disguise import TAIL, refuse_disguise, tail_of
from auditor.readers.limits import Refused

Read = Callable[..., Ingest]
Refusal = Callable[[Ingest], tuple[object, str]]
TABLE = pa.table({"a": [1, 2, 3], "b": ["x", "y", "z"]})
PARQUET = Form("parquet", None, ".parquet")


def archive(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, content in files.items():
            made.writestr(name, content)
    return out.getvalue()


def parquet_in_a_comment() -> bytes:
    """Parquet to a reader of Parquet, an archive to one of archives: the footer is the comment."""
    plain = io.BytesIO()
    pq.write_table(TABLE, plain)
    written = plain.getvalue()
    footer = int.from_bytes(written[-8:-4], "little") + 8
    packed = bytearray(archive(payload=b"import os"))
    packed[-2:] = footer.to_bytes(2, "little")
    return written[:-footer] + bytes(packed) + written[-footer:]


def test_the_polyglot_of_this_test_is_both() -> None:
    made = parquet_in_a_comment()
    assert pq.read_table(io.BytesIO(made)).equals(TABLE)
    assert zipfile.ZipFile(io.BytesIO(made)).namelist() == ["payload"]


def test_parquet_that_is_an_archive(folder: Path, read: Read, refusal: Refusal) -> None:
    (folder / "a.parquet").write_bytes(parquet_in_a_comment())
    code, message = refusal(read(folder))
    assert code == "FILE_POLYGLOT"
    assert "zip archive at once" in message


def test_parquet_with_bytes_behind_it(folder: Path, read: Read, refusal: Refusal) -> None:
    pq.write_table(TABLE, folder / "a.parquet")
    with (folder / "a.parquet").open("ab") as file:
        file.write(archive(payload=b"x"))
    assert refusal(read(folder))[0] in {"FILE_POLYGLOT", "FILE_FORMAT"}


def test_cells_that_hold_archives_are_data(folder: Path, read: Read) -> None:
    blobs = pa.table({"blob": [archive(one=b"x" * 50), archive(two=b"y")], "n": [1, 2]})
    pq.write_table(blobs, folder / "a.parquet", compression="none", use_dictionary=False)
    assert read(folder).findings == ()


def test_a_stream_with_bytes_behind_it(folder: Path, read: Read, refusal: Refusal) -> None:
    with pa.ipc.new_stream(folder / "a.arrows", TABLE.schema) as stream:
        stream.write_table(TABLE)
    assert read(folder).findings == ()
    with (folder / "a.arrows").open("ab") as file:
        file.write(b"#!/bin/sh\n")
    code, message = refusal(read(folder))
    assert code == "FILE_POLYGLOT"
    assert "follow the end" in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x7fELF\x02\x01\x01" + bytes(60), "a program"),
        (b"MZ\x90\x00\x03" + bytes(60), "a program"),
        (b"%PDF-1.4\nx\n", "PDF"),
        (b"#!/bin/sh\necho,1\n", "a script"),
        (b"<?php system($_GET[0]); ?>\n", "a script"),
        (b"<!DOCTYPE html>\n<p>404\n", "error page"),
        (b"cos\nsystem\n(S'true'\ntR.", "never opened"),
        (b'{"a": 1}\n{"a": 2}\n', "holds JSON"),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), "an image"),
        (archive(), "empty zip"),
        (archive(a=b"x"), "zip archive"),
    ],
)
def test_other_files_under_the_name_of_a_table(
    folder: Path, read: Read, refusal: Refusal, content: bytes, said: str
) -> None:
    (folder / "a.csv").write_bytes(content)
    code, message = refusal(read(folder))
    assert code in {"FILE_FORMAT", "FILE_POLYGLOT"}
    assert said in message


def test_a_document_that_is_a_table(folder: Path, read: Read, refusal: Refusal) -> None:
    text = b"note,b\n%PDF-1.4,1\n" + b"x,1\n" * 20 + b"startxref,9\n%%EOF,1\n"
    (folder / "a.csv").write_bytes(text)
    assert refusal(read(folder))[0] == "FILE_POLYGLOT"


@pytest.mark.parametrize(
    "text",
    [
        "MZ,b\n1,2\n",
        "text,b\n%PDF-1.4 is a header,2\n",
        "text,b\n#!/bin/sh,2\n<html>,3\n",
        "GIF89a,b\n1,2\n",
        "cos,sin\n1,2\n",
    ],
)
def test_tables_about_such_files_are_tables(folder: Path, read: Read, text: str) -> None:
    (folder / "a.csv").write_text(text)
    result = read(folder)
    assert result.findings == ()
    assert result.batch is not None


@pytest.mark.parametrize("comment", [b"", b"x" * 0xFFFF])
def test_the_end_of_an_archive_is_found_behind_any_comment(comment: bytes) -> None:
    packed = bytearray(archive(a=b"x" * 10))
    packed[-2:] = len(comment).to_bytes(2, "little")
    whole = b"PAR1" + bytes(100_000) + bytes(packed) + comment
    tail = tail_of(io.BytesIO(whole), len(whole))
    assert len(tail) == TAIL
    with pytest.raises(Refused) as refused:
        refuse_disguise(PARQUET, whole[:4096], tail)
    assert refused.value.code == "FILE_POLYGLOT"


def test_the_mark_alone_is_no_archive() -> None:
    tail = bytes(1000) + b"PK\x05\x06" + bytes(18)
    refuse_disguise(PARQUET, b"PAR1", tail)
    refuse_disguise(PARQUET, b"PAR1", tail + b"PK\x05\x06")
    refuse_disguise(PARQUET, b"PAR1", b"")
