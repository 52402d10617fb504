"""`auditor quarantine list|show|export`: rows that were set aside, as the ledger names them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auditor.cli.audits import Config
from auditor.cli.common import Exit, load_settings, refuse_target

if TYPE_CHECKING:
    import pyarrow as pa

    from auditor.afterwards.quarantined import Aside

RunId = Annotated[str, typer.Argument(help="A run id, the start of one, or latest.")]


def add_to(group: typer.Typer) -> None:
    """Add the commands of this file to `auditor quarantine`."""
    group.command("list")(list_sets)
    group.command("show")(show_set)
    group.command("export")(export_set)


def list_sets(config: Config = None) -> None:
    """List the sets of rows that were set aside, and what became of them."""
    from auditor.afterwards import quarantined
    from auditor.errors import AuditorError
    from auditor.formats.escape import terminal
    from auditor.site import workspace
    from auditor.site_ledger import ledger_of

    settings = load_settings(config, files_must_exist=False)
    found = list(quarantined.every(workspace(settings), ledger_of(settings)))
    if not found:
        typer.echo("nothing is set aside")
    for one in reversed(found):
        if isinstance(one, AuditorError):
            typer.echo(f"auditor: {terminal(str(one), 500)}", err=True)
            continue
        there = "" if one.has_rows() else "  (rows are gone)"
        rows, state = one.logged.report.rows_quarantined, one.history.state.value
        typer.echo(f"{one.run}  {rows:8} rows  {one.set_sha256}  {state}{there}")
    if any(isinstance(one, AuditorError) for one in found):
        raise typer.Exit(Exit.HOLD)


def show_set(
    run: RunId = "latest",
    count: Annotated[int, typer.Option("-n", min=1, help="Rows to print.")] = 20,
    config: Config = None,
) -> None:
    """Print the worst rows of a set, with the reason; `export` has all of them."""
    from auditor.formats.escape import terminal

    table = _find(run, config).table()
    table = table.sort_by([("_auditor_suspicion", "descending")])
    for row in _rows(table.slice(0, count)):
        place = f"{row.pop('_auditor_file')}:{row.pop('_auditor_row')}"
        rules, reason = row.pop("_auditor_rules"), row.pop("_auditor_reason")
        suspicion = row.pop("_auditor_suspicion")
        typer.echo(f"{terminal(place)}  {suspicion:.3f}  {rules}  {terminal(reason)}")
        values = "  ".join(f"{name}={value}" for name, value in row.items())
        typer.echo(f"    {terminal(values, 300)}")
    if table.num_rows > count:
        typer.echo(f"{table.num_rows - count} more; `auditor quarantine export {run} -o FILE`")


def export_set(
    run: RunId,
    output: Annotated[Path, typer.Option("--output", "-o", help="A .parquet or .csv file.")],
    config: Config = None,
) -> None:
    """Copy the rows that were set aside, as they came, with file, row, rules and reason."""
    from auditor.errors import ConfigError
    from auditor.formats.escape import csv_row

    found = _find(run, config)
    if output.suffix not in (".parquet", ".csv"):
        raise ConfigError(f"{output}: name a .parquet or .csv file")
    refuse_target(f"-o {output}", output)
    if output.suffix == ".parquet":
        with open(output, "wb", opener=_private) as copy:
            copy.write(found.content())
    else:
        table = found.table()
        with open(output, "w", encoding="utf-8", newline="", opener=_private) as file:
            file.write(csv_row(table.column_names))
            for row in _rows(table):
                cells = ["" if value is None else str(value) for value in row.values()]
                file.write(csv_row(cells, limit=None))
    typer.echo(str(output))


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """The rows, one after another; a set may be large."""
    from auditor.batch import cells

    for batch in table.to_batches(max_chunksize=1000):
        columns = (cells(column) for column in batch.columns)
        for row in zip(*columns, strict=True):
            yield dict(zip(table.column_names, row, strict=True))


def _find(run: str, config: Path | None) -> Aside:
    from auditor.afterwards import quarantined
    from auditor.site import workspace
    from auditor.site_ledger import ledger_of

    settings = load_settings(config, files_must_exist=False)
    return quarantined.find(run, workspace(settings), ledger_of(settings))


def _private(path: str, flags: int) -> int:
    """For the owner only: these are rows that nobody has released."""
    return os.open(path, flags, 0o600)
