"""A batch in staging: normalised Parquet whose every 1 MiB block is verified before it is used."""

from __future__ import annotations

import hashlib
import io
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from auditor.batch import BatchKind, Chunk, Roles
from auditor.errors import BatchError
from auditor.readers.columnar import open_parquet, plain_schema
from auditor.readers.limits import MIB

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Size of the blocks that digests are kept for, in bytes.
BLOCK: Final = MIB


def block_digests(path: Path) -> tuple[str, ...]:
    """Lowercase hex sha256 of each 1 MiB block of a file, in order."""
    with path.open("rb", buffering=0) as file:
        return tuple(iter(lambda: _digest(file.read(BLOCK)), _digest(b"")))


def stored_schema(path: Path) -> pa.Schema:
    """The columns of a normalised file as they read back: Parquet has no seconds and no date64."""
    with open_parquet(str(path)) as parquet:
        return plain_schema(parquet.schema_arrow)


def _digest(block: bytes) -> str:
    return hashlib.sha256(block).hexdigest()


class VerifiedFile(io.RawIOBase):
    """A file that hands out a byte only from a block whose digest was right in this very buffer."""

    def __init__(self, path: Path, digests: Sequence[str]) -> None:
        """Open `path`, which must consist of the blocks with `digests`.

        Raises:
            BatchError: it cannot be opened.
        """
        super().__init__()
        self._name = path.name
        self._digests = digests
        self._at = 0
        self._kept = (-1, b"")
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise BatchError(f"{path}: cannot open the staged batch: {error.strerror}") from error
        self._size = os.fstat(self._descriptor).st_size

    def close(self) -> None:
        """Close the descriptor; more than once is fine."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Position in bytes."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As for any file."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = start + offset
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill `buffer` as far as the file goes."""
        view = memoryview(buffer).cast("B")
        total = 0
        while total < len(view) and self._at < self._size:
            block, offset = self._block(self._at // BLOCK), self._at % BLOCK
            part = memoryview(block)[offset : offset + len(view) - total]
            if not part:
                raise self._damaged()
            view[total : total + len(part)] = part
            total += len(part)
            self._at += len(part)
        return total

    def _block(self, index: int) -> bytes:
        if self._kept[0] != index:
            block = os.pread(self._descriptor, BLOCK, index * BLOCK)
            if index >= len(self._digests) or _digest(block) != self._digests[index]:
                raise self._damaged()
            self._kept = (index, block)
        return self._kept[1]

    def _damaged(self) -> BatchError:
        return BatchError(
            f"{self._name}: a block differs from its digest: the staged batch changed; audit again"
        )


@dataclass(frozen=True, slots=True)
class StagedBatch:
    """The rows of all files of a batch, in order. Picklable; see `Batch`.

    `digest` pins the received files, `blocks` the normalised file at `path`. File `files[i]`
    holds the rows from `offsets[i]` up to `offsets[i + 1]`, or to the end.
    """

    path: Path
    digest: str
    schema: pa.Schema
    rows: int
    files: tuple[str, ...]
    offsets: tuple[int, ...]
    blocks: tuple[str, ...]
    roles: Roles = field(default_factory=Roles)
    kind: BatchKind = BatchKind.TRAINING

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """See `Batch.chunks`.

        Raises:
            KeyError: no such column.
            BatchError: the staged file was changed.
        """
        names = list(columns)
        for name in names:
            self.schema.field(name)
        start = 0
        with VerifiedFile(self.path, self.blocks) as file:
            parquet = open_parquet(pa.PythonFile(file, mode="r"))
            for group in range(parquet.num_row_groups):
                count = parquet.metadata.row_group(group).num_rows
                yield Chunk(start, _group(parquet, group, names, count))
                start += count

    def locate(self, rows: Any) -> tuple[pa.StringArray, pa.Int64Array]:
        """File name and 0-based row in that file of each row (Arrow or NumPy int64)."""
        positions = rows.to_pylist() if hasattr(rows, "to_pylist") else [int(row) for row in rows]
        files = [bisect_right(self.offsets, row) - 1 for row in positions]
        names = pa.array([self.files[file] for file in files], pa.string())
        inside = [row - self.offsets[file] for row, file in zip(positions, files, strict=True)]
        return names, pa.array(inside, pa.int64())

    def with_roles(self, roles: Roles) -> StagedBatch:
        """The same rows under other roles."""
        return replace(self, roles=roles)


def _group(parquet: Any, group: int, names: list[str], rows: int) -> pa.RecordBatch:
    if not names:
        return pa.RecordBatch.from_struct_array(pa.array([{}] * rows, pa.struct([])))
    table = parquet.read_row_group(group, columns=names).select(names)
    data = table.combine_chunks().to_batches()[0]
    if data.num_rows != rows:  # more than 2 GiB in one column of a row group
        raise BatchError(f"a row group holds {rows} rows in pieces; lower limits.memory")
    return data
