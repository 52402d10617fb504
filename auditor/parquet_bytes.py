"""Reads Parquet that is in memory already: bytes that were held against a digest before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


def open_parquet_bytes(content: bytes) -> pq.ParquetFile:
    """The file; read from it with `use_threads=False`, for the reason that `table_of` has."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)


def table_of(content: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """All rows, decoded by this thread alone.

    A thread of Arrow that lets go of Python's bytes while the interpreter ends aborts the process
    (exit 134), after it did everything right. `pyarrow.parquet.read_table` starts such threads
    whatever it is told.

    Raises:
        pa.ArrowInvalid, OSError: the bytes are no Parquet file, or have not all of `columns`.
    """
    table = open_parquet_bytes(content).read(
        columns=None if columns is None else list(columns), use_threads=False
    )
    # Without threads Arrow leaves out what is not there, and says nothing.
    return table if columns is None else table.select(_known(table, columns))


def _known(table: pa.Table, columns: Sequence[str]) -> list[str]:
    import pyarrow as pa

    for name in columns:
        if name not in table.column_names:
            raise pa.ArrowInvalid(f"no column {name!r}")
    return list(columns)
