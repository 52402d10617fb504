"""The normalised Parquet file: row groups of 131,072 rows, fewer where rows are big."""

from __future__ import annotations

from typing import BinaryIO, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from auditor.batch import CHUNK_ROWS
from auditor.readers.limits import MIB

#: A row group is cut early above this many decoded bytes, so that a chunk stays bounded.
_GROUP_BYTES: Final = 256 * MIB


class Normalised:
    """Writes record batches of one schema to a file descriptor; one row group is one chunk."""

    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        """Write from where `file` stands."""
        self._schema = schema
        self._writer = pq.ParquetWriter(
            pa.PythonFile(file, mode="w"),
            schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=[field.name for field in schema if pa.types.is_string(field.type)],
        )
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0
        self._bytes = 0
        self._abandoned = False

    def add(self, batch: pa.RecordBatch) -> None:
        """Take a batch of any length."""
        start = 0
        while start < batch.num_rows:
            part = batch.slice(start, CHUNK_ROWS - self._rows)
            self._waiting.append(part)
            self._rows += part.num_rows
            self._bytes += part.nbytes
            start += part.num_rows
            if self._rows == CHUNK_ROWS or self._bytes > _GROUP_BYTES:
                self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Finish the file; after an exception only let go of it."""
        if kind is None and not self._abandoned:
            self._flush()
            self._writer.close()
        else:
            self.abandon()

    def abandon(self) -> None:
        """End without the rows that wait: nobody will read this file.

        An open writer would write its footer when it is collected, into whatever follows here.
        """
        self._waiting, self._abandoned = [], True
        try:
            self._writer.close()
        except (OSError, pa.ArrowException):
            return  # no space, or no file any more: what is reported is why it was abandoned

    def _flush(self) -> None:
        if self._rows:
            table = pa.Table.from_batches(self._waiting, self._schema)
            self._writer.write_table(table, row_group_size=CHUNK_ROWS)
        self._waiting, self._rows, self._bytes = [], 0, 0
