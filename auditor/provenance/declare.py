"""Writing a manifest: what a supplier knows about a batch -> canonical bytes to sign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from auditor.provenance import entries, manifest, statement
from auditor.provenance.digests import (
    contributor_roll,
    schema_fingerprint,
    sha256,
    subject_digest,
)
from auditor.provenance.manifest import PREDICATE_TYPE, FileEntry
from auditor.provenance.refused import Refused, printable
from auditor.provenance.strict_json import Json, canonical
from auditor.provenance.times import format_time


def create(
    files: Sequence[FileEntry],
    *,
    source: str,
    batch_id: str,
    sequence: int,
    schema_fields: Sequence[tuple[str, str, bool]],
    created_on: datetime,
    expires_on: datetime,
    label: str | None = None,
    contributors: Mapping[str, int] | None = None,
    kind: str = "training",
    mode: str = "append",
    previous: str | None = None,
    partitioning: Sequence[str] = (),
    row_provenance: Mapping[str, str] | None = None,
    details: Mapping[str, Json] | None = None,
) -> bytes:
    """The canonical bytes (RFC 8785) of the statement about a batch.

    Args:
        files: all files of the batch, in any order.
        source: who sends it, such as `vendor-a/reviews`.
        batch_id: unique within the source.
        sequence: the number of this batch within the source.
        schema_fields: (name, arrow type, nullable) of each column, in their order.
        created_on: when the manifest was made; needs a time zone.
        expires_on: until when the batch may be taken in.
        label: the label column; one of the columns or of the hive partitions.
        contributors: id -> rows. Keep `contributor_roll(contributors)` beside the manifest.
        kind: training, validation, predictions or updates.
        mode: append, or snapshot where the batch replaces what came before.
        previous: subject digest of the batch before.
        partitioning: hive keys in the file names.
        row_provenance: `sourceId`, `contributorId`, `rowKey` -> column.
        details: optional fields of the predicate as they are (supplier, collection, license, use,
            transformations, parents), or fields of your own named by a URI.

    Raises:
        Refused: what a reader would refuse, with the same code: nothing is written that nobody
            would accept.
    """
    columns = {name for name, _, _ in schema_fields}
    if label is not None and label not in columns | set(partitioning):
        raise Refused("SCHEMA", "The label is not one of the columns.")
    for name, column in (row_provenance or {}).items():
        if column not in columns | set(partitioning):
            raise Refused("SCHEMA", f'"{printable(column)}" ({name}) is not one of the columns.')
    ordered = sorted(files, key=lambda file: file.name.encode())
    predicate: dict[str, Json] = {
        **(details or {}),
        "kind": kind,
        "batch": _batch(source, batch_id, sequence, mode, previous),
        "schema": _schema(schema_fields, label, partitioning, row_provenance),
        "rows": sum(file.rows for file in ordered),
        "files": [entries.as_json(file) for file in ordered],
        "createdOn": format_time(created_on),
        "expiresOn": format_time(expires_on),
    }
    if contributors is not None:
        predicate["contributors"] = _contributors(contributors, ordered)
    name, digest = f"{source}@{batch_id}", subject_digest(ordered)
    payload = statement.build(name, digest, PREDICATE_TYPE, predicate)
    manifest.read(statement.read(payload, PREDICATE_TYPE))
    return payload


def renumbered(payload: bytes, sequence: int, previous: str | None) -> bytes:
    """The payload of the same manifest with another number and another batch before it.

    Raises:
        Refused: what a reader would refuse.
    """
    document = statement.read(payload, PREDICATE_TYPE).document
    predicate = dict(document.section("predicate").values)
    batch = dict(document.section("predicate").section("batch").values)
    batch.pop("previousManifest", None)
    batch["sequence"] = sequence
    if previous is not None:
        batch["previousManifest"] = {"sha256": previous}
    written = canonical({**document.values, "predicate": {**predicate, "batch": batch}})
    manifest.read(statement.read(written, PREDICATE_TYPE))
    return written


def _batch(
    source: str, batch_id: str, sequence: int, mode: str, previous: str | None
) -> dict[str, Json]:
    batch: dict[str, Json] = {
        "source": source,
        "batchId": batch_id,
        "sequence": sequence,
        "mode": mode,
    }
    if previous is not None:
        batch["previousManifest"] = {"sha256": previous}
    return batch


def _schema(
    fields: Sequence[tuple[str, str, bool]],
    label: str | None,
    partitioning: Sequence[str],
    row_provenance: Mapping[str, str] | None,
) -> dict[str, Json]:
    schema: dict[str, Json] = {
        "fingerprint": {"sha256": schema_fingerprint(fields)},
        "partitioning": list(partitioning),
    }
    if label is not None:
        schema["labelColumn"] = label
    if row_provenance:
        schema["rowProvenance"] = dict(row_provenance)
    return schema


def _contributors(contributors: Mapping[str, int], files: Sequence[FileEntry]) -> dict[str, Json]:
    listed, rows = sum(contributors.values()), sum(file.rows for file in files)
    if listed != rows:
        raise Refused("CONTRIBUTOR_COUNT", f"Contributors add up to {listed} of {rows} rows.")
    table = contributor_roll(contributors)
    return {"table": {"sha256": sha256(table)}, "count": len(contributors)}
