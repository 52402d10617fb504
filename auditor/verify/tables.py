"""Verified Parquet files as Arrow tables and batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from auditor.provenance.entries import FileEntry
from auditor.provenance.refused import printable
from auditor.verify.refused import NotVerified

#: Rows of a batch that an iterator hands out.
BATCH_ROWS: Final = 65_536
_NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"


def table_of(file: pa.NativeFile, entry: FileEntry, columns: Sequence[str] | None) -> pa.Table:
    """All rows of a file, with the columns that its folders give.

    Raises:
        NotVerified: FILE_FORMAT for what is no Parquet, ROWS for another number of rows, and what
            reading the file raises.
    """
    parquet = _parquet(file, entry)
    return _with_folders(parquet.read(columns=_inside(columns, entry)), entry, columns)


def batches_of(
    file: pa.NativeFile, entry: FileEntry, columns: Sequence[str] | None, rows: int
) -> Iterator[pa.RecordBatch]:
    """The same in batches of at most `rows` rows."""
    parquet = _parquet(file, entry)
    for batch in parquet.iter_batches(batch_size=rows, columns=_inside(columns, entry)):
        whole = _with_folders(pa.Table.from_batches([batch]), entry, columns)
        yield from whole.to_batches()


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """One table; a number that is narrower in one file takes the wider type.

    Raises:
        NotVerified: SCHEMA where two files have types that do not fit.
    """
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        text = f"The files cannot be one table: {printable(str(error), 200)}."
        raise NotVerified("SCHEMA", text) from error


def folder_values(name: str) -> dict[str, str | None]:
    """What the `key=value` folders of a name say, as the gate read it."""
    pairs = (part.split("=", 1) for part in name.split("/")[:-1] if "=" in part)
    return {unquote(k): None if v == _NO_VALUE else unquote(v) for k, v in pairs}


def _parquet(file: pa.NativeFile, entry: FileEntry) -> pq.ParquetFile:
    try:
        # Large reads, one after another: small ones would verify a block several times.
        parquet = pq.ParquetFile(file, pre_buffer=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        text = f'"{printable(entry.name)}": {printable(str(error), 200)}'
        raise NotVerified("FILE_FORMAT", text) from error
    if parquet.metadata.num_rows != entry.rows:
        found = parquet.metadata.num_rows
        text = f'"{printable(entry.name)}" has {found} rows, {entry.rows} were attested.'
        raise NotVerified("ROWS", text)
    return parquet


def _inside(columns: Sequence[str] | None, entry: FileEntry) -> list[str] | None:
    """The columns that are in the file, not in the names of its folders."""
    if columns is None:
        return None
    return [name for name in columns if name not in folder_values(entry.name)]


def _with_folders(table: pa.Table, entry: FileEntry, columns: Sequence[str] | None) -> pa.Table:
    for name, value in folder_values(entry.name).items():
        if name not in table.column_names and (columns is None or name in columns):
            said = pa.repeat(pa.scalar(value, pa.string()), table.num_rows)
            table = table.append_column(name, said)
    return table if columns is None else table.select(list(columns))
