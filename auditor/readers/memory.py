"""Batches that are in memory already: pandas, polars, pyarrow and whatever speaks Arrow."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pyarrow as pa

from auditor.batch import BatchKind
from auditor.errors import BatchError
from auditor.readers.columnar import as_schema, as_type, plain_schema, plain_type, refuse_bad_values
from auditor.readers.limits import Limits, Refused, plain
from auditor.readers.receive import Received, sums_digest
from auditor.readers.record import BATCH_FILE, Ingest, fresh
from auditor.readers.rules import unusable
from auditor.readers.staged import StagedBatch, block_digests, stored_schema
from auditor.readers.write import Normalised
from auditor.report_records import FileRecord


def to_arrow(frame: Any) -> pa.Table:
    """A table from pandas, polars, pyarrow or anything with `__arrow_c_stream__`.

    A pandas index that is more than a row number becomes a column.

    Raises:
        BatchError: not a table, or a column that mixes types.
    """
    if isinstance(frame, pa.Table):
        return frame
    if isinstance(frame, pa.RecordBatch):
        return pa.Table.from_batches([frame])
    if isinstance(frame, pa.RecordBatchReader):
        return frame.read_all()
    try:
        if type(frame).__module__.partition(".")[0] == "pandas":
            return pa.Table.from_pandas(frame)
        if hasattr(frame, "__arrow_c_stream__"):
            return pa.table(frame)
    except (pa.ArrowException, TypeError, ValueError, AttributeError) as error:
        raise BatchError(f"this {type(frame).__name__}: {plain(str(error), 200)}") from error
    raise BatchError(
        f"cannot take a {type(frame).__name__}; pass a DataFrame, a pyarrow.Table or a path"
    )


def takeable(table: pa.Table) -> pa.Table:
    """The table in plain types where Arrow cannot take rows: views (polars) and run ends."""
    for at, field in enumerate(table.schema):
        if _cannot_take(field.type):
            plain_ = plain_type(field.type)
            chunks = [as_type(chunk, plain_) for chunk in table.column(at).chunks]
            table = table.set_column(at, field.with_type(plain_), pa.chunked_array(chunks, plain_))
    return table


def _cannot_take(type_: pa.DataType) -> bool:
    hidden = (
        pa.types.is_string_view, pa.types.is_binary_view, pa.types.is_run_end_encoded,
        pa.types.is_list_view, pa.types.is_large_list_view,
    )  # fmt: skip
    inner = (type_.field(at).type for at in range(type_.num_fields))
    return any(matches(type_) for matches in hidden) or any(map(_cannot_take, inner))


def ingest_table(
    table: pa.Table,
    *,
    staging: Path,
    name: str = "table.parquet",
    limits: Limits | None = None,
    kind: BatchKind = BatchKind.TRAINING,
) -> Ingest:
    """Write a table in memory to staging as if it had come as one Parquet file called `name`.

    Raises:
        OSError: staging cannot be written (no space).
    """
    fresh(staging)
    path = staging / BATCH_FILE
    try:
        _write(table, path, limits or Limits())
    except Refused as refused:
        record = FileRecord(
            name=name, sha256="", size=0, rows=0, format="table", refused=refused.code
        )
        finding = unusable(name, refused.code, refused.message)
        result = Ingest(
            files=(record,),
            digest=sums_digest(()),
            batch=None,
            findings=(finding,),
            sandbox="in memory",
        )
    else:
        result = _ingested(name, path, table.num_rows, kind)
    result.save(staging)
    return result


def _ingested(name: str, path: Path, rows: int, kind: BatchKind) -> Ingest:
    """The normalised file is the received file: one copy, two names."""
    os.link(path, path.parent / "input" / "00000")
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    size = path.stat().st_size
    record = FileRecord(name=name, sha256=sha256, size=size, rows=rows, format="table")
    digest = sums_digest([Received(name, path, sha256, size)])
    schema, blocks = stored_schema(path), block_digests(path)
    batch = StagedBatch(path, digest, schema, rows, (name,), (0,), blocks, kind=kind)
    return Ingest(files=(record,), digest=digest, batch=batch, sandbox="in memory")


def _write(table: pa.Table, path: Path, limits: Limits) -> None:
    schema = plain_schema(table.schema)
    if len(schema) > limits.columns:
        raise Refused("LIMIT", f"{len(schema):,} columns, more than {limits.columns:,}")
    if table.num_rows > limits.rows:
        raise Refused("LIMIT", f"{table.num_rows:,} rows, more than {limits.rows:,}")
    fields = [(f.name, pa.string() if pa.types.is_null(f.type) else f.type) for f in schema]
    schema = pa.schema(fields)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file, Normalised(file, schema) as writer:
        for batch in table.to_batches(max_chunksize=131_072):
            whole = as_schema(batch, schema)
            refuse_bad_values(whole, limits)
            writer.add(whole)
