"""Ingested batches kept for the next attempt, so that a held batch is not parsed again.

`runs/.ingest/<key>` holds hard links to what an ingest staged. Nothing in it is believed: whoever
takes it over verifies every byte against the record, and the record against the batch digest.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from auditor.config import Settings
from auditor.errors import BatchError
from auditor.provenance.digests import is_sha256
from auditor.readers import Ingest, StagedBatch, block_digests
from auditor.readers.receive import Received, sums_digest
from auditor.report_records import FileRecord
from auditor.site import own_version
from auditor.workspace.durable import remove_tree
from auditor_flows.inbox import Delivery

FOLDER: Final = ".ingest"
#: Seconds after which an area that nobody asked for again is removed.
KEEP: Final = 7 * 24 * 3600
_RECORD: Final = "ingest.json"
_BATCH: Final = "batch.parquet"


def key(delivered: Delivery, settings: Settings) -> str:
    """Hex sha256 over everything that an ingest depends on: bytes, names, limits, version."""
    said = {
        "digest": delivered.digest,
        "odd": delivered.odd,
        "limits": settings.limits.model_dump(mode="json"),
        "broken": settings.policy.broken_files,
        "auditor": own_version(),
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Kept:
    """What a task remembers: the area's name, the batch digest, the sha256 of the record."""

    staging: str
    digest: str
    record: str


def keep(ingested: Ingest, scratch: Path, area: Path) -> Kept | None:
    """Link what was staged in `scratch` to `area`; None where it is not worth keeping.

    Only a whole batch is kept: what was refused, or moved while it was read, is read again.
    """
    if ingested.batch is None or ingested.findings:
        return None
    fresh = area.with_name(f"{area.name}.{secrets.token_hex(4)}")
    area.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        _link(scratch, fresh)
        remove_tree(area)
        fresh.rename(area)
    except OSError:  # a full disk, or another run kept the same: an optimisation, not a duty
        shutil.rmtree(fresh, ignore_errors=True)
        return None
    return Kept(area.name, ingested.digest, _sha256(scratch / _RECORD))


def adopt(runs: Path, kept: Kept, scratch: Path) -> Ingest | None:
    """Take what is kept over into `scratch` (emptied first); None where it is not what it was.

    Everything is verified: the record by its digest, the files against the record, the batch
    digest, the staged batch block by block.
    """
    if not is_sha256(kept.staging):
        return None
    try:
        remove_tree(scratch)
        _link(runs / FOLDER / kept.staging, scratch)
        whole = _sha256(scratch / _RECORD) == kept.record
        ingested = Ingest.load(scratch)
        whole = whole and ingested.digest == kept.digest and _is_whole(ingested, scratch)
    except (OSError, ValueError, KeyError, TypeError, BatchError):
        whole = False
    if not whole:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(mode=0o700)
        return None
    return ingested


def drop(area: Path) -> None:
    """Remove an area; one that is not there is fine."""
    remove_tree(area)


def sweep(runs: Path, *, now: float | None = None) -> None:
    """Remove areas older than `KEEP` seconds: rows of a held batch must not lie here for ever."""
    oldest = (time.time() if now is None else now) - KEEP
    root = runs / FOLDER
    if not root.is_dir():
        return
    for area in root.iterdir():
        if area.lstat().st_mtime < oldest:
            shutil.rmtree(area, ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    target.mkdir(mode=0o700)
    (target / "input").mkdir(mode=0o700)
    inputs = sorted((source / "input").iterdir())
    for path in [source / _BATCH, source / _RECORD, *inputs]:
        os.link(path, target / path.relative_to(source), follow_symlinks=False)


def _is_whole(ingested: Ingest, folder: Path) -> bool:
    batch, files = ingested.batch, ingested.files
    if not isinstance(batch, StagedBatch) or batch.digest != ingested.digest:
        return False
    if sums_digest([Received(f.name, None, f.sha256) for f in files]) != ingested.digest:
        return False
    same = all(_same(folder / "input" / f"{i:05d}", file) for i, file in enumerate(files))
    return same and block_digests(folder / _BATCH) == batch.blocks


def _same(path: Path, record: FileRecord) -> bool:
    return _sha256(path) == record.sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
