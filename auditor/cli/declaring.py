"""`auditor manifest create`: what a supplier says of a batch. Works with the base install."""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.cli.common import chosen_ledger, refuse_target

if TYPE_CHECKING:
    from auditor.declaring import Link
    from auditor.ledger import Ledger
    from auditor.provenance.strict_json import Json
    from auditor.readers import Ingest

Data = Annotated[list[str], typer.Argument(help="The batch: files or one folder.")]
Sequence = Annotated[
    int | None,
    typer.Option(min=0, help="Number of this batch within the source; 1 for the first."),
]
Previous = Annotated[str | None, typer.Option(help="Subject digest of the batch before.")]
After = Annotated[
    Path | None,
    typer.Option(help="Manifest of the batch before: number and digest follow from it."),
]
LedgerFile = Annotated[
    Path | None,
    typer.Option("--ledger", help="A gate's ledger, where you have it, in place of --after."),
]
GateConfig = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="A gate's settings: the ledger that they name."),
]


@dataclass(frozen=True, slots=True)
class _Said:
    """What was said on the command line."""

    source: str
    batch_id: str
    link: Link
    kind: str
    label: str | None
    columns: dict[str, str]
    details: dict[str, Json]
    valid_days: int


def create(
    data: Data,
    source: Annotated[str, typer.Option(help="Who sends it, such as vendor-a/reviews.")],
    batch_id: Annotated[str, typer.Option(help="Unique within the source, such as 2026-11-22.")],
    sequence: Sequence = None,
    label: Annotated[str | None, typer.Option(help="The label column.")] = None,
    contributor: Annotated[
        str | None, typer.Option(help="The column that says who sent a row; writes the roll.")
    ] = None,
    source_column: Annotated[
        str | None, typer.Option(help="The column that says from which source a row is.")
    ] = None,
    row_key: Annotated[str | None, typer.Option(help="The column with your id of a row.")] = None,
    previous: Previous = None,
    after: After = None,
    ledger: LedgerFile = None,
    config: GateConfig = None,
    kind: Annotated[
        str, typer.Option(help="training, validation, predictions or updates.")
    ] = "training",
    details: Annotated[
        Path | None,
        typer.Option(help="JSON with more fields: supplier, collection, license, use, parents ..."),
    ] = None,
    valid_days: Annotated[int, typer.Option(help="Days until the manifest expires.", min=1)] = 7,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Default: beside DATA.")
    ] = None,
) -> None:
    """Write an unsigned manifest for a batch (and the contributor roll beside it)."""
    from auditor.declaring import link, read_details

    path = output or _beside(Path(data[0]))
    refuse_target(str(path), path)
    columns = {"contributorId": contributor, "sourceId": source_column, "rowKey": row_key}
    said = _Said(
        source=source,
        batch_id=batch_id,
        link=link(
            source,
            sequence=sequence,
            previous=previous,
            after=after,
            ledger=gate_ledger(ledger, config),
        ),
        kind=kind,
        label=label,
        columns={field: column for field, column in columns.items() if column},
        details=read_details(details) if details else {},
        valid_days=valid_days,
    )
    _write(path, data, said)


def gate_ledger(file: Path | None, config: Path | None) -> Ledger | None:
    """The ledger of a gate, if one was named by its file or by the gate's settings."""
    return chosen_ledger(file, config) if file or config else None


def _write(path: Path, data: list[str], said: _Said) -> None:
    from auditor.errors import BatchError
    from auditor.manifests import roll_beside
    from auditor.provenance.digests import contributor_roll
    from auditor.provenance.refused import Refused
    from auditor.signing import unsigned_envelope

    staging = Path(tempfile.mkdtemp(prefix="auditor-manifest-"))
    try:
        ingested = take_in(data, staging)
        if ingested.batch is None or ingested.findings:
            raise BatchError(ingested.findings[0].message if ingested.findings else "no rows")
        sender = said.columns.get("contributorId")
        counts = rows_of_each(ingested, sender) if sender else None
        payload = _payload(ingested, said, counts)
    except Refused as error:
        raise BatchError(f"no gate would take this manifest: {error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    path.write_bytes(unsigned_envelope(payload))
    typer.echo(f"{path}  not signed yet: auditor manifest sign {path} --key KEY")
    if counts is not None:
        roll_beside(path).write_bytes(contributor_roll(counts))
        typer.echo(f"{roll_beside(path)}  {len(counts)} contributors")


def take_in(data: list[str], staging: Path) -> Ingest:
    """Read a batch as a gate would."""
    from auditor.readers import ingest, resolve

    return ingest(resolve(data), staging=staging)


def rows_of_each(ingested: Ingest, column: str) -> Counter[str]:
    """Rows of each contributor; one without a name is ""."""
    from auditor.batch import texts
    from auditor.errors import ConfigError

    batch = ingested.batch
    if batch is None or column not in batch.schema.names:
        raise ConfigError(f"--contributor {column}: no such column")
    return Counter(value or "" for value in texts(batch, column))


def _payload(ingested: Ingest, said: _Said, counts: Counter[str] | None) -> bytes:
    from auditor.manifests import declared_files, partitions, schema_fields
    from auditor.provenance.declare import create as declare

    assert ingested.batch is not None
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    return declare(
        declared_files(ingested),
        source=said.source,
        batch_id=said.batch_id,
        sequence=said.link.sequence,
        previous=said.link.previous,
        kind=said.kind,
        schema_fields=schema_fields(ingested.batch.schema),
        created_on=now,
        expires_on=now + dt.timedelta(days=said.valid_days),
        label=said.label,
        contributors=counts,
        partitioning=partitions(ingested),
        row_provenance=said.columns,
        details=said.details,
    )


def _beside(data: Path) -> Path:
    from auditor.errors import ConfigError
    from auditor.manifests import SUFFIX

    # `.` and `..` have a name only once they are written out.
    data = data if data.name not in ("", "..") else data.resolve()
    if not data.name:
        raise ConfigError(f"{data}: nothing lies beside it; say where with --output")
    return data.with_name(f"{data.name}{SUFFIX}")
