"""Finds the manifest that belongs to a batch and holds the batch against it. Shell, light."""

from __future__ import annotations

import datetime as dt
import errno
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from auditor.batch import BatchKind, as_text
from auditor.errors import BatchError
from auditor.provenance.authority import Authority
from auditor.provenance.comparison import ReceivedFile
from auditor.provenance.digests import contents_of
from auditor.provenance.entries import FileEntry
from auditor.provenance.manifest import parse
from auditor.provenance.refused import Refused, printable
from auditor.provenance.verification import Verification, refusal, verify
from auditor.readers import Ingest, Source, StagedBatch, open_plain, read_plain
from auditor.report_records import FileRecord

SUFFIX = ".manifest.dsse.json"
#: What the reader of manifests takes; a longer one is refused by it.
MOST_BYTES: Final = 16 * 1024 * 1024


def manifest_beside(sources: Sequence[Source]) -> Path | None:
    """`<batch>.manifest.dsse.json` beside the one file or folder that was given, if it is there.

    Whatever has that name counts, a link or a folder too: what is none is refused when it is read,
    and must not pass for "no manifest".
    """
    if not sources:
        return None
    first = sources[0]
    # What was given is the path without the name inside the batch; a single file is its own name.
    inside = len(Path(first.name).parts)
    root = Path(*first.path.parts[:-inside]) if inside else first.path
    root = root if root.name not in ("", "..") else root.resolve()
    given = [root.with_name(f"{root.name}{SUFFIX}")] if root.name else []
    if len(sources) == 1 and inside == 1:
        stem = first.path.name.split(".")[0]
        beside = [first.path.with_name(f"{name}{SUFFIX}") for name in (first.path.name, stem)]
        given = [*beside, *given]
    return next((path for path in given if os.path.lexists(path)), None)


def source_named(manifest: Path | None) -> str | None:
    """The source that a manifest claims, not verified; None where it cannot be told."""
    try:
        envelope = _read(manifest)
        return parse(envelope).source if envelope is not None else None
    except Refused:
        return None


def roll_beside(manifest: Path) -> Path:
    """The contributor roll that belongs to a manifest: `<batch>.contributors.json`."""
    return manifest.with_name(f"{manifest.name.removesuffix(SUFFIX)}.contributors.json")


def schema_fields(schema: pa.Schema) -> list[tuple[str, str, bool]]:
    """(name, arrow type, nullable) of each column, as manifests declare them."""
    return [(field.name, str(field.type), field.nullable) for field in schema]


def partitions(ingested: Ingest) -> list[str]:
    """Hive keys in the file names, sorted."""
    folders = {part for f in ingested.files for part in f.name.split("/")[:-1]}
    return sorted({part.split("=", 1)[0] for part in folders if "=" in part})


def verify_batch(
    ingested: Ingest,
    manifest: Path | None,
    *,
    authority: Authority,
    contributors: Mapping[str, int] | None,
    now: dt.datetime,
    source: str | None = None,
    kind: BatchKind | None = None,
    roles: Mapping[str, str | None] | None = None,
) -> Verification:
    """Hold what was received against the manifest; without one the finding says so.

    `authority`: whose signatures count for which source. `source`: the only one that is expected.
    `kind` and `roles` are those of the audit, where there is one; see
    `auditor.provenance.verification.verify`.
    """
    batch = ingested.batch
    try:
        envelope = _read(manifest)
        roll = _read(roll_beside(manifest)) if manifest else None
    except Refused as refused:
        return refusal(refused)
    return verify(
        envelope,
        authority=authority,
        files=received_files(ingested),
        schema_fields=schema_fields(batch.schema) if batch else None,
        contributors=contributors,
        roll=roll,
        now=now,
        partitions=partitions(ingested),
        source=source,
        kind=kind.value if kind else None,
        roles=roles or {},
        columns=_Columns(batch) if batch else None,
    )


@dataclass(frozen=True, slots=True)
class _Columns:
    """The columns of a batch as texts, chunk by chunk; see `auditor.provenance.row_origin`."""

    batch: StagedBatch

    def missing(self, column: str) -> int:
        return sum(int(pc.sum(_blank(text)).as_py() or 0) for text in self._texts(column))

    def values(self, column: str) -> Mapping[str, int]:
        found: Counter[str] = Counter()
        for text in self._texts(column):
            named = text.filter(pc.invert(_blank(text)))
            for pair in pc.value_counts(named):
                found[pair["values"].as_py()] += pair["counts"].as_py()
        return found

    def __contains__(self, column: object) -> bool:
        return column in self.batch.schema.names

    def _texts(self, column: str) -> Iterator[pa.Array]:
        for chunk in self.batch.chunks([column]):
            try:
                yield as_text(chunk.data.column(0))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                text = f'The column "{printable(column)}" holds no texts.'
                raise Refused("ROW_PROVENANCE", text) from error


def _blank(text: pa.Array) -> pa.Array:
    return pc.fill_null(pc.equal(pc.utf8_trim_whitespace(text), ""), True)


def received_files(ingested: Ingest) -> list[ReceivedFile]:
    """Every file as it was received; its rows are only known where it is part of the batch."""
    read = frozenset(ingested.batch.files if ingested.batch else ())
    received = [_received(file, file.name in read) for file in ingested.files]
    # Hidden files and sidecars are not read, but a signed listing must name what is there.
    return received + [ReceivedFile(name=name) for name in ingested.skipped]


def declared_files(ingested: Ingest) -> list[FileEntry]:
    """Every file as it was received, with the digests of its blocks, for a manifest.

    Raises:
        BatchError: a received copy was changed.
    """
    assert ingested.batch is not None
    folder = ingested.batch.path.parent / "input"
    listed = []
    for number, file in enumerate(ingested.files):
        with open_plain(folder / f"{number:05d}") as copy:
            found = contents_of(copy)
        if found.sha256 != file.sha256:
            raise BatchError(f"{printable(file.name)}: the received copy was changed; try again")
        listed.append(
            FileEntry(
                name=file.name,
                sha256=file.sha256,
                size=file.size,
                rows=file.rows,
                blocks=found.blocks,
            )
        )
    return listed


def _received(file: FileRecord, read: bool) -> ReceivedFile:
    return ReceivedFile(
        name=file.name,
        sha256=file.sha256,
        size=file.size,
        rows=file.rows if read else None,
        symlink=file.refused == "FILE_SYMLINK",
    )


def _read(path: Path | None) -> bytes | None:
    """The file's bytes, None where there is none; raises `Refused` for what is no plain file."""
    if path is None:
        return None
    try:
        return read_plain(path, MOST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        shown = printable(path.name)
        if error.errno == errno.ELOOP:
            raise Refused("FILE_SYMLINK", f'"{shown}" is a symbolic link.') from error
        if error.errno == errno.ENXIO:
            raise Refused("DSSE_FORMAT", f'"{shown}" is not a plain file.') from error
        raise
