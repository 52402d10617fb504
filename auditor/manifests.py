"""Finds the manifest that belongs to a batch and holds the batch against it. Shell, light."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from auditor.provenance.comparison import ReceivedFile
from auditor.provenance.keys import PublicKey
from auditor.provenance.verification import Verification, verify
from auditor.readers import Ingest, Source

SUFFIX = ".manifest.dsse.json"


def manifest_beside(sources: Sequence[Source]) -> Path | None:
    """`<batch>.manifest.dsse.json` beside the one file or folder that was given, if it is there."""
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
    return next((path for path in given if path.is_file()), None)


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
) -> Verification:
    """Hold what was received against the manifest; without one the finding says so."""
    batch = ingested.batch
    return verify(
        _read(manifest),
        keys=keys,
        threshold=threshold,
        files=[
            ReceivedFile(
                name=f.name, sha256=f.sha256, size=f.size, rows=f.rows,
                symlink=f.refused == "FILE_SYMLINK",
            )
            for f in ingested.files
        ]
        # Hidden files and sidecars are not read, but a signed listing must name what is there.
        + [ReceivedFile(name=name) for name in ingested.skipped],
        schema_fields=schema_fields(batch.schema) if batch else None,
        contributors=contributors,
        roll=_read(roll_beside(manifest)) if manifest else None,
        now=now,
        partitions=partitions(ingested),
    )  # fmt: skip


def _read(path: Path | None) -> bytes | None:
    """At most a little more than a manifest may have; a longer one is refused by its reader."""
    if path is None or not path.is_file():
        return None
    with path.open("rb") as file:
        return file.read(16 * 1024 * 1024 + 1)
