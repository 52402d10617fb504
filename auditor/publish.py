"""Writes what a run leaves behind into its staging folders: the split, the evidence, the reports.

Only writes; deciding is done. Output names are ours or were proven harmless: a name that came with
the batch is used only if it is plain.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from auditor.errors import BatchError
from auditor.formats import FORMATS, render
from auditor.formats.escape import csv_row
from auditor.policy import Decided
from auditor.provenance.digests import contents_of
from auditor.provenance.manifest import FileEntry
from auditor.quarantine import RowSet
from auditor.readers import METADATA_NOTE, Ingest, StagedBatch
from auditor.report_records import Report
from auditor.sample_weight import with_field, with_weights

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float32]

#: Names that have a meaning of their own in a published folder.
ATTESTATION: Final = "attestation.dsse.json"
PROOF: Final = "proof.tlog"
#: The file of a quarantined set.
ROWS: Final = "rows.parquet"
PARQUET: Final = "application/vnd.apache.parquet"
#: `suspects.parquet`: every suspicious row, worst first, whether it was set aside or not.
SUSPECTS: Final = pa.schema(
    [
        ("file", pa.string()), ("row", pa.int64()), ("id", pa.string()),
        ("suspicion", pa.float32()), ("rules", pa.string()), ("reason", pa.string()),
        ("quarantined", pa.bool_()),
    ]
)  # fmt: skip
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+@-]{0,127}")
_FOLDER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}=[A-Za-z0-9_.+@-]{1,63}|" + _PLAIN.pattern)


def write_published(
    ingest: Ingest, quarantined: Rows, folder: Path, weights: Values | None = None
) -> tuple[FileEntry, ...]:
    """The accepted rows as Parquet; files without a quarantined row byte for byte.

    A file whose schema carries metadata is written anew from the rows that were audited: metadata
    can rename columns for a reader that obeys it (pandas does). So is every file where there are
    `weights`, float32[rows of the batch]. Returns what was written, in input order. Files that were
    refused at ingest are left out.
    """
    batch = _batch(ingest)
    keep = np.ones(batch.rows, dtype=bool)
    keep[quarantined] = False
    entries: list[FileEntry] = []
    taken: set[str] = set()
    for number, record in enumerate(ingest.files):
        if record.refused or record.name not in batch.files:
            continue
        start = batch.offsets[batch.files.index(record.name)]
        own = keep[start : start + record.rows]
        original = batch.path.parent / "input" / f"{number:05d}"
        if not own.any() and keep.any():
            continue
        name = _output_name(record.name, number, taken)
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        # The path of the output still says hive columns only where it keeps the folders.
        folders = _hive_columns(record.name) if "/" in name else set()
        bare = METADATA_NOTE not in record.notes and folders == _hive_columns(record.name)
        if record.format == "parquet" and own.all() and bare and weights is None:
            shutil.copyfile(original, target)
            entry = _entry(target, folder, int(own.sum()))
            if entry.sha256 != record.sha256:
                raise BatchError(f"{record.name}: the received copy was changed; audit it again")
        else:
            _write_rows(batch, start, own, folders, target, weights)
            entry = _entry(target, folder, int(own.sum()))
        entries.append(entry)
    return tuple(entries)


def write_quarantined(batch: StagedBatch, rows: RowSet, folder: Path) -> None:
    """`rows.parquet`: the rows as they came, with file, row, rules, suspicion and reason."""
    files, file_rows = batch.locate(rows.rows)
    extra = pa.table(
        {
            "_auditor_file": pa.array(files, pa.string()),
            "_auditor_row": pa.array(file_rows, pa.int64()),
            "_auditor_rules": rows.table.column("rules"),
            "_auditor_suspicion": rows.table.column("suspicion"),
            "_auditor_reason": rows.table.column("reason"),
        }
    )
    schema = pa.schema([*batch.schema, *extra.schema])
    at = 0
    with pq.ParquetWriter(folder / ROWS, schema, compression="zstd") as writer:
        for part in _taken(batch, rows.rows):
            own = extra.slice(at, part.num_rows).combine_chunks()
            at += part.num_rows
            columns = [*part.columns, *(own.column(n).combine_chunks() for n in own.column_names)]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))


def write_evidence(
    folder: Path,
    report: Report,
    decided: Sequence[Decided] = (),
    suspects: pa.Table | None = None,
    batch: StagedBatch | None = None,
    *,
    samples: bool,
) -> dict[str, str]:
    """All files of the run folder except attestation and proof; returns name -> hex sha256.

    `suspects` is None where nothing could be read.
    """
    suspects = SUSPECTS.empty_table() if suspects is None else suspects
    if batch is not None:
        found = _findings_table(report, decided, batch)
        pq.write_table(found, folder / "findings.parquet", compression="zstd")
    pq.write_table(suspects, folder / "suspects.parquet", compression="zstd")
    _write_csv(suspects.filter(suspects.column("quarantined")), folder / "quarantine.csv")
    write_reports(folder, report, samples=samples)
    return {path.name: sha256_of(path) for path in sorted(folder.iterdir()) if path.is_file()}


def write_reports(folder: Path, report: Report, *, samples: bool) -> None:
    """The report in every file format; JSON keeps what the others are made from."""
    for form, (_, name) in FORMATS.items():
        if form in ("text", "github"):
            continue
        text = render(report, form, no_samples=not samples)
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def _batch(ingest: Ingest) -> StagedBatch:
    if ingest.batch is None:
        raise ValueError("nothing was ingested, so nothing can be published")
    return ingest.batch


def _output_name(name: str, number: int, taken: set[str]) -> str:
    """The input's own relative name where it is plain and free, else one that we make.

    Names are compared without case, and `taken` remembers them: no output overwrites another.
    """
    *folders, base = name.split("/")
    own = name if base.endswith(".parquet") else f"{name}.parquet"
    parts = [*folders, own.rsplit("/", 1)[-1]]
    plain = len(folders) <= 7 and all(_FOLDER.fullmatch(part) for part in folders)
    reserved = {ATTESTATION.casefold(), PROOF.casefold()} & {part.casefold() for part in parts}
    if not plain or not _PLAIN.fullmatch(parts[-1]) or reserved or own.casefold() in taken:
        own = f"auditor-{number:05d}.parquet"
    if own.casefold() in taken:
        raise BatchError(f"{name}: its output name {own} is taken by another file of the batch")
    taken.add(own.casefold())
    return own


def _hive_columns(name: str) -> set[str]:
    """Columns that the reader took from `key=value` folders; the output's path still says them."""
    return {part.split("=", 1)[0] for part in name.split("/")[:-1] if "=" in part}


def _write_rows(
    batch: StagedBatch,
    start: int,
    keep: Mask,
    left_out: set[str],
    path: Path,
    weights: Values | None,
) -> None:
    names = [name for name in batch.schema.names if name not in left_out]
    schema = pa.schema([batch.schema.field(name) for name in names])
    schema = schema if weights is None else with_field(schema)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for chunk in batch.chunks(names):
            low, high = chunk.start - start, chunk.start - start + chunk.data.num_rows
            if high <= 0 or low >= len(keep):
                continue
            inside = slice(max(0, -low), min(chunk.data.num_rows, len(keep) - low))
            mask = np.zeros(chunk.data.num_rows, dtype=bool)
            mask[inside] = keep[max(0, low) : min(high, len(keep))]
            rows = chunk.data.filter(pa.array(mask))
            if weights is not None:
                own = weights[chunk.start : chunk.start + chunk.data.num_rows]
                rows = with_weights(rows, own[mask])
            writer.write_batch(rows)


def _taken(batch: StagedBatch, rows: Rows) -> Iterator[pa.RecordBatch]:
    for chunk in batch.chunks(batch.schema.names):
        low, high = np.searchsorted(rows, (chunk.start, chunk.start + chunk.data.num_rows))
        if high > low:
            yield chunk.data.take(pa.array(rows[low:high] - chunk.start))


def _entry(path: Path, folder: Path, rows: int) -> FileEntry:
    with path.open("rb") as file:
        found = contents_of(file)
    return FileEntry(
        name=path.relative_to(folder).as_posix(),
        sha256=found.sha256,
        size=found.size,
        rows=rows,
        media_type=PARQUET,
        blocks=found.blocks,
    )


def sha256_of(path: Path) -> str:
    """Lowercase hex sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _findings_table(report: Report, decided: Sequence[Decided], batch: StagedBatch) -> pa.Table:
    """One line a (finding, row), with the finding's id, rule, effect and the row's suspicion."""
    schema = pa.schema(
        [
            ("finding", pa.string()), ("rule", pa.string()), ("family", pa.string()),
            ("effect", pa.string()), ("file", pa.string()), ("row", pa.int64()),
            ("suspicion", pa.float32()), ("p_value", pa.float64()),
        ]
    )  # fmt: skip
    parts = [schema.empty_table()]
    for record, one in zip(report.findings, decided, strict=True):
        if one.finding.rows is None or not one.finding.rows.num_rows:
            continue
        rows = one.finding.rows
        files, places = batch.locate(rows.column("row"))
        same = [record.id, record.rule, record.family, record.effect]
        columns = [pa.array([value] * rows.num_rows, pa.string()) for value in same]
        columns += [files, places, rows.column("suspicion").combine_chunks()]
        columns += [pa.array([record.p_value] * rows.num_rows, pa.float64())]
        parts.append(pa.table(columns, schema=schema))
    return pa.concat_tables(parts)


def _write_csv(table: pa.Table, path: Path) -> None:
    """`quarantine.csv`, guarded so that a spreadsheet runs no cell as a formula."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(csv_row(["file", "row", "id", "suspicion", "rules", "reason"]))
        for row in table.to_pylist():
            place = [row["file"], str(row["row"]), row["id"]]
            file.write(csv_row([*place, f"{row['suspicion']:.4f}", row["rules"], row["reason"]]))
