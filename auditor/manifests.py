"""Finds the manifest that belongs to a batch and holds the batch against it. Shell, light."""

from __future__ import annotations

import datetime as dt
import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa

from auditor.batch import BatchKind
from auditor.model import FileRecord
from auditor.provenance.comparison import ReceivedFile
from auditor.provenance.keys import PublicKey
from auditor.provenance.refused import Refused, printable
from auditor.provenance.verification import Verification, refusal, verify
from auditor.readers import Ingest, Source, read_plain

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
    keys: Mapping[str, Sequence[PublicKey]],
    threshold: int,
    contributors: Mapping[str, int] | None,
    now: dt.datetime,
    source: str | None = None,
    kind: BatchKind | None = None,
    roles: Mapping[str, str | None] | None = None,
) -> Verification:
    """Hold what was received against the manifest; without one the finding says so.

    `source`: the only source that is expected here. `kind` and `roles` are those of the audit,
    where there is one; see `auditor.provenance.verification.verify`.
    """
    batch = ingested.batch
    try:
        envelope = _read(manifest)
        roll = _read(roll_beside(manifest)) if manifest else None
    except Refused as refused:
        return refusal(refused)
    return verify(
        envelope,
        keys=keys,
        threshold=threshold,
        files=received_files(ingested),
        schema_fields=schema_fields(batch.schema) if batch else None,
        contributors=contributors,
        roll=roll,
        now=now,
        partitions=partitions(ingested),
        source=source,
        kind=kind.value if kind else None,
        roles=roles or {},
    )


def received_files(ingested: Ingest) -> list[ReceivedFile]:
    """Every file as it was received; its rows are only known where it is part of the batch."""
    read = frozenset(ingested.batch.files if ingested.batch else ())
    received = [_received(file, file.name in read) for file in ingested.files]
    # Hidden files and sidecars are not read, but a signed listing must name what is there.
    return received + [ReceivedFile(name=name) for name in ingested.skipped]


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
