"""Is this row, or this file, in what a run received, published or set aside? Shell.

Rows are compared by their content under keys of the site (see `auditor.rowhash`): a copy under a
new id is found. A row is found by its id only where the run published it, set it aside, or named it
as suspicious: what a refused batch held besides is not kept anywhere.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from auditor.afterwards.logged_runs import LoggedRun, named_file
from auditor.afterwards.quarantined import Aside
from auditor.batch import OWN, Roles, as_text
from auditor.errors import LedgerError
from auditor.history import Written
from auditor.history.sync import published as history_record
from auditor.ledger import Entry
from auditor.parquet_bytes import open_parquet_bytes
from auditor.readers import Limits, StagedBatch, ingest, resolve
from auditor.report_records import Report
from auditor.roles import recorded
from auditor.rowhash import KeyIndex, Words, batch_keys, row_keys, scheme

_SUSPECTS: Final = "suspects.parquet"
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A run that came to an end: its last entry, its report, and what it left.

    `logged`, `published` (its folder) and `aside` are those of a run that published.
    """

    entry: Entry
    folder: Path
    report: Report
    logged: LoggedRun | None = None
    published: Path | None = None
    aside: Aside | None = None

    @property
    def roles(self) -> Roles:
        """Who played which role in this run."""
        return recorded(self.report.roles)


class Wanted(Protocol):
    """What is looked for."""

    def found_in(self, run: Seen) -> Iterator[str]:
        """What of it a run has, in words; raises `LedgerError` for files that were changed."""
        ...


@dataclass(frozen=True, slots=True)
class ByDigest:
    """Bytes: a file as received or as published, a batch, a set, an attestation, a manifest."""

    digests: frozenset[str]

    def found_in(self, run: Seen) -> Iterator[str]:
        """See `Wanted`."""
        report = run.report
        if report.batch_digest in self.digests:
            yield "the whole batch as it was received"
        for file in report.files:
            if file.sha256 in self.digests:
                yield f"the file {file.name} as it was received"
        for words, digest in (
            ("the manifest that came with it", report.provenance.get("manifest_sha256")),
            ("the rows that it published", report.published_digest),
            ("the rows that it set aside", report.set_digest),
        ):
            if digest in self.digests:
                yield words
        if run.aside is not None and run.aside.rows_sha256 & self.digests:
            yield "the file of the rows that it set aside"
        if self.digests & set(run.entry.event.refs[:2]):
            yield "its attestation or report"
        for output in run.logged.summary.files if run.logged else ():
            if output.sha256 in self.digests:
                yield f"the file {output.name} that it published"


@dataclass(slots=True)
class ByRows:
    """The rows of a file, whatever their ids. `unknown`: runs that they cannot be compared with."""

    batch: StagedBatch
    site_key: bytes
    unknown: list[str] = field(default_factory=list)
    _keys: dict[tuple[str, ...], Words] = field(default_factory=dict)

    def found_in(self, run: Seen) -> Iterator[str]:
        """See `Wanted`."""
        columns = run.roles.content
        if run.logged is None or not columns:
            return
        if missing := set(columns) - set(self.batch.schema.names):
            if missing <= _in_folders(run.report):  # a file of such a batch lacks them
                what = ", ".join(sorted(missing))
                text = f"{run.folder.name}: folders say its {what}; rows were not compared"
                self.unknown.append(text)
            return
        named = history_record(run.entry)
        record = Written(run.folder, named).read() if named else None
        if record is None:
            raise LedgerError(f"{run.folder}: the record of what it published is not there")
        if record.scheme != scheme(self.batch.schema, columns, self.site_key):
            text = f"{run.folder.name}: has these columns with other types; rows were not compared"
            self.unknown.append(text)
            return
        yield from self._said(record.keys, columns, "published")
        if run.aside is not None and run.aside.has_rows():
            table = run.aside.table().select(list(columns)).combine_chunks()
            keys = row_keys(table.to_batches()[0], columns, self.site_key)
            yield from self._said(keys, columns, "set aside")

    def _said(self, known: Words, columns: tuple[str, ...], what: str) -> Iterator[str]:
        if columns not in self._keys:
            self._keys[columns] = batch_keys(self.batch, columns, self.site_key)
        held = int((KeyIndex(known).counts(self._keys[columns]) > 0).sum())
        if held:
            yield f"{held} of {self.batch.rows} rows are among those that it {what}"


@dataclass(frozen=True, slots=True)
class ById:
    """A row by the id that its sender gave it."""

    id: str

    def found_in(self, run: Seen) -> Iterator[str]:
        """See `Wanted`."""
        columns = run.roles.columns("id")
        if run.logged is not None and run.published is not None:
            for file in run.logged.summary.files:
                content = named_file(run.published / file.name, {file.sha256})
                places = self._places(open_parquet_bytes(content), columns)
                yield from (f"row {place} of the published {file.name}" for place in places)
        kept = run.aside is not None and run.aside.has_rows()
        if run.aside is not None and kept:
            yield from self._set_aside(run.aside.table(), columns)
        yield from self._suspected(run.folder / _SUSPECTS, kept)

    def _places(self, parquet: pq.ParquetFile, columns: Sequence[str]) -> list[int]:
        wanted = [name for name in columns if name in parquet.schema_arrow.names]
        found: list[int] = []
        start = 0
        for part in parquet.iter_batches(columns=wanted, use_threads=False) if wanted else ():
            hits = self._hits(part.column(0))
            found += [start + place for place in hits]
            start += part.num_rows
        return found[:_SHOWN]

    def _hits(self, column: pa.Array) -> list[int]:
        same = pc.equal(as_text(column), pa.scalar(self.id))
        return [int(place) for place in pc.indices_nonzero(pc.fill_null(same, False)).to_pylist()]

    def _set_aside(self, table: pa.Table, columns: Sequence[str]) -> Iterator[str]:
        told = table.select([f"{OWN}{name}" for name in ("file", "row", "rules", "reason")])
        for name in [each for each in columns if each in table.column_names][:1]:
            for place in self._hits(table.column(name).combine_chunks())[:_SHOWN]:
                line = told.slice(place, 1).to_pylist()[0]
                where = f"row {line[f'{OWN}row']} of {line[f'{OWN}file']}"
                yield f"{where}, set aside: {line[f'{OWN}rules']} {line[f'{OWN}reason']}"

    def _suspected(self, path: Path, kept: bool) -> Iterator[str]:
        """What a rule named; rows that were set aside too, where they are kept no more."""
        if not path.is_file():
            return
        try:
            table = pq.read_table(path, filters=[("id", "=", self.id)], pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise LedgerError(f"{path}: cannot be read ({error})") from error
        for line in table.slice(0, _SHOWN).to_pylist():
            if not (line["quarantined"] and kept):
                yield f"row {line['row']} of {line['file']}, suspicious: {line['reason']}"


def _in_folders(report: Report) -> set[str]:
    """Columns that `key=value` folders of the batch gave."""
    parts = (part for file in report.files for part in file.name.split("/")[:-1])
    return {part.split("=", 1)[0] for part in parts if "=" in part}


def rows_of(
    path: Path, site_key: bytes, limits: Limits, use: Callable[[ByRows | None], None]
) -> None:
    """Read a file as the gate reads one, and hand over its rows; None where it holds none.

    The rows are there until `use` returns. Raises `BatchError` for what cannot be opened.
    """
    with tempfile.TemporaryDirectory(prefix="auditor-trace-") as staging:
        found = ingest(resolve([str(path)]), staging=Path(staging), limits=limits)
        use(ByRows(found.batch, site_key) if found.batch is not None else None)
