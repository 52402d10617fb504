"""Verified Parquet files as Arrow tables and batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from auditor.provenance.entries import FileEntry
from auditor.provenance.refused import printable
from auditor.sample_weight import COLUMN, completed
from auditor.verify.refused import NotVerified

#: Rows of a batch that an iterator hands out.
BATCH_ROWS: Final = 65_536
#: Bytes of a file below which to read its footer once more costs more than it saves.
_LONG: Final = 32 * 1024 * 1024
_NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"

#: Opens an attested file; every byte that is read of it was verified.
Open = Callable[[FileEntry], pa.NativeFile]


@dataclass(frozen=True, slots=True)
class _Share:
    """The share `number` of `count` of the row groups of a file."""

    file: FileEntry
    number: int
    count: int

    def of(self, groups: int) -> range:
        """Which of so many row groups."""
        return range(groups * self.number // self.count, groups * (self.number + 1) // self.count)


def table_of(
    files: Sequence[FileEntry],
    opened: Open,
    columns: Sequence[str] | None,
    *,
    weighted: bool = False,
) -> pa.Table:
    """All rows of some files, with the columns that their folders give.

    `weighted`: rows of files without sample weights get 1.

    Raises:
        NotVerified: FILE_FORMAT for what is no Parquet, ROWS for another number of rows, SCHEMA for
            files that cannot be one table, and what reading a file raises.
    """
    shares = [share for file in files for share in _shares(file)]
    # Side by side, so that one row group is hashed while another is decoded. Threads of this call
    # alone: a pool that outlives it would not outlive a fork.
    with ThreadPoolExecutor(pa.cpu_count()) as pool:
        waiting = [pool.submit(_rows_of, share, opened, columns, weighted) for share in shares]
        try:
            return _joined([table for one in waiting for table in one.result()])
        finally:
            pool.shutdown(cancel_futures=True)  # after a refusal nothing more is read


def _shares(file: FileEntry) -> Iterator[_Share]:
    """A long file in as many shares as there are processors."""
    count = pa.cpu_count() if file.size > _LONG else 1
    return (_Share(file, number, count) for number in range(count))


def _rows_of(
    share: _Share, opened: Open, columns: Sequence[str] | None, weighted: bool
) -> list[pa.Table]:
    """The rows of some row groups; each is let go of as bytes before the next is read."""
    with opened(share.file) as file:
        parquet, wanted = _parquet(file, share.file), _inside(columns, share.file)
        tables = [parquet.read_row_group(g, wanted) for g in share.of(parquet.num_row_groups)]
        if not parquet.num_row_groups:
            tables = [parquet.read(wanted)]
    return [_completed(table, share.file, columns, weighted) for table in tables]


def batches_of(
    file: pa.NativeFile,
    entry: FileEntry,
    columns: Sequence[str] | None,
    rows: int,
    *,
    weighted: bool = False,
) -> Iterator[pa.RecordBatch]:
    """The same in batches of at most `rows` rows."""
    parquet, wanted = _parquet(file, entry), _inside(columns, entry)
    # One row group after another: the bytes of all that are asked for at once stay in memory.
    for group in range(parquet.num_row_groups):
        for batch in parquet.iter_batches(rows, [group], wanted):
            whole = _completed(pa.Table.from_batches([batch]), entry, columns, weighted)
            yield from whole.to_batches()


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
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


def _completed(
    table: pa.Table, entry: FileEntry, columns: Sequence[str] | None, weighted: bool
) -> pa.Table:
    """With what the file itself does not hold: values of its folders, weights of 1."""
    if weighted and (columns is None or COLUMN in columns):
        table = completed(table)
    for name, value in folder_values(entry.name).items():
        if name not in table.column_names and (columns is None or name in columns):
            said = pa.repeat(pa.scalar(value, pa.string()), table.num_rows)
            table = table.append_column(name, said)
    return table if columns is None else table.select(list(columns))
