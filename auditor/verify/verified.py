"""What was verified, to be read: as a table, in batches, as files, through a file system."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import pyarrow as pa

from auditor.provenance.entries import FileEntry
from auditor.provenance.refused import printable
from auditor.provenance.summary import Summary
from auditor.sample_weight import with_field
from auditor.verify import reading, tables
from auditor.verify.refused import NotVerified
from auditor.verify.roots import Root
from auditor.verify.verification import Protection

if TYPE_CHECKING:
    from pyarrow import dataset, fs

#: An attested file, open: read and seek in it as in any other.
VerifiedFile: TypeAlias = pa.NativeFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A dataset whose attestation holds; its files are verified while they are read.

    `summaries`: what the attestations say; one, or those of all batches of a frozen data set.
    `files`: the attested files, with their names below `root`.

    Every reader raises `NotVerified` where a file is not what was audited. Close it, or use it in
    a `with` block. Iterating over it, and `pandas.DataFrame`, `pyarrow.table` or
    `polars.DataFrame` of it, read all rows.
    """

    resource: str
    attestation_sha256: str
    summaries: tuple[Summary, ...]
    files: tuple[FileEntry, ...]
    rollback_protection: Protection
    root: Root

    @property
    def summary(self) -> Summary:
        """The attestation of the only batch; ValueError for a frozen data set of several."""
        (only,) = self.summaries
        return only

    @property
    def weighted(self) -> bool:
        """Whether rows have sample weights; those of a batch that has none count whole."""
        return any(summary.weights is not None for summary in self.summaries)

    def open(self, name: str | None = None) -> VerifiedFile:
        """One attested file; `name` may be left out where there is only one."""
        return self._opened(self._entry(name))

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows."""
        return tables.table_of(self.files, self._opened, columns, weighted=self.weighted)

    def batches(
        self, columns: Sequence[str] | None = None, rows: int = tables.BATCH_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """The rows of one file after another, in batches, with the types of each file."""
        for file in self.files:
            opened = self.open(file.name)
            yield from tables.batches_of(opened, file, columns, rows, weighted=self.weighted)

    def read_through(self) -> int:
        """Read every file and hold it against its digest; returns the number of bytes."""
        return sum(
            len(block)
            for file in self.files
            for block in reading.streamed(self.root.open(file.name), file)
        )

    def filesystem(self) -> fs.FileSystem:
        """The attested files as a `pyarrow` file system, for whatever can read through one."""
        from pyarrow import fs

        from auditor.verify.filesystem import VerifiedFiles

        return fs.PyFileSystem(VerifiedFiles(self.files, self.open))

    def dataset(self) -> dataset.Dataset:
        """A `pyarrow` dataset: scans read, and verify, only what they need.

        Here a row of a batch without sample weights has none: null, which stands for 1.
        """
        from pyarrow import dataset

        names = [file.name for file in self.files]
        found = dataset.dataset(
            names, format="parquet", filesystem=self.filesystem(), partitioning=_hive(names)
        )
        # Its columns are those of the first file, which may be one without weights.
        return found.replace_schema(with_field(found.schema)) if self.weighted else found

    def close(self) -> None:
        """Let go of the folder; files that are open stay open."""
        self.root.close()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self.batches()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.table().__arrow_c_stream__(requested_schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _opened(self, entry: FileEntry) -> VerifiedFile:
        return reading.opened(self.root.open(entry.name), entry)

    def _entry(self, name: str | None) -> FileEntry:
        if name is None and len(self.files) == 1:
            return self.files[0]
        for file in self.files:
            if file.name == name:
                return file
        text = f'"{printable(name or "")}" is not in the attestation.'
        if name is None:
            text = f"There are {len(self.files)} files: say which one with name=."
        raise NotVerified("FILE_UNKNOWN", text)


def _hive(names: Sequence[str]) -> Any:
    from pyarrow import dataset

    folders = {column for name in names for column in tables.folder_values(name)}
    if not folders:
        return None
    fields = [(column, pa.string()) for column in sorted(folders)]
    return dataset.partitioning(pa.schema(fields), flavor="hive")
