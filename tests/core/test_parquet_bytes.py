"""Parquet in memory is read without threads of Arrow, which may abort a process that ends."""

from __future__ import annotations

import io
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditor.parquet_bytes import table_of

#: Prints how many threads there were before and after one read of the bytes on stdin.
_SCRIPT = """
import os, sys
import pyarrow as pa, pyarrow.parquet as pq
content = sys.stdin.buffer.read()
def tasks(): return len(os.listdir("/proc/self/task"))
before = tasks()
if sys.argv[1] == "ours":
    from auditor.parquet_bytes import table_of
    rows = table_of(content).num_rows
else:
    rows = pq.read_table(pa.BufferReader(content), pre_buffer=False).num_rows
print(rows, tasks() - before)
"""


def content(rows: int = 5000) -> bytes:
    sink = io.BytesIO()
    table = pa.table({"a": list(range(rows)), "b": ["x"] * rows})
    pq.write_table(table, sink, row_group_size=500)
    return sink.getvalue()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
@pytest.mark.parametrize(("reader", "starts_some"), [("ours", False), ("arrow", True)])
def test_no_thread_is_started(reader: str, starts_some: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, reader], input=content(), capture_output=True, check=True
    )
    rows, threads = map(int, done.stdout.split())
    assert rows == 5000
    assert (threads > 0) is starts_some


def test_columns() -> None:
    assert table_of(content(), ["b"]).column_names == ["b"]
    assert table_of(content(), ["b", "a"]).column_names == ["b", "a"]
    with pytest.raises(pa.ArrowInvalid, match="no column 'c'"):
        table_of(content(), ["a", "c"])
    with pytest.raises(pa.ArrowInvalid):
        table_of(b"no Parquet")
