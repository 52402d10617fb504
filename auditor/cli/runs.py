"""`auditor report`, `explain`, `history`, `quarantine list|show|export`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.cli.audits import Config
from auditor.cli.common import load_settings, refuse_target

if TYPE_CHECKING:
    from auditor.config import Settings
    from auditor.model import Report

RunId = Annotated[str, typer.Argument(help="A run id, the start of one, or latest.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(report)
    app.command()(explain)
    app.command()(history)
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    group.command("list")(list_sets)
    group.command("show")(show_set)
    group.command("export")(export_set)
    app.add_typer(group, name="quarantine", help="Rows that were set aside: list, show, export.")


def report(
    run: RunId = "latest",
    form: Annotated[
        str, typer.Option("--format", help="text, json, html, md, sarif or junit.")
    ] = "text",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write there instead of stdout.")
    ] = None,
    config: Config = None,
) -> None:
    """Print a run's report in another format."""
    from auditor.formats import render

    settings = _settings(config)
    folder = _folder(settings, run)
    shown = render(_report(folder), form, no_samples=not settings.outputs.samples)
    if output is None:
        typer.echo(shown, nl=False)
    else:
        refuse_target(f"-o {output}", output)
        output.write_text(shown, encoding="utf-8")


def explain(
    what: Annotated[str, typer.Argument(help="A rule (AUD-L001), a code, or a run.")],
    row: Annotated[int | None, typer.Argument(help="With a run: a row of the batch.")] = None,
    config: Config = None,
) -> None:
    """Say what a rule means, or why a row of a run is suspicious."""
    from auditor.explaining import explain_row, explain_rule

    if row is None:
        typer.echo(explain_rule(what), nl=False)
        return
    folder = _folder(_settings(config), what)
    typer.echo(explain_row(_report(folder), folder, row), nl=False)


def history(
    config: Config = None,
    count: Annotated[int, typer.Option("-n", min=1, help="Entries to print.")] = 20,
) -> None:
    """List what the ledger knows, newest first: runs, verdicts, baselines."""
    from auditor.formats.escape import terminal
    from auditor.ledger import Ledger

    entries = list(Ledger(_settings(config).outputs.ledger).entries())
    if not entries:
        typer.echo("nothing yet")
    for entry in reversed(entries[-count:]):
        event = entry.event
        detail = " ".join(f"{name}={value}" for name, value in sorted(event.detail.items()))
        subject = (event.subject or "-")[:12]
        line = f"{event.at:%Y-%m-%d %H:%M:%S}  {event.name:18} {event.run or '-':26} {subject:12} "
        typer.echo(terminal(line + detail, 300).rstrip())


def list_sets(config: Config = None) -> None:
    """List the sets of rows that were set aside."""
    settings = _settings(config)
    found = _quarantined(settings)
    if not found:
        typer.echo("nothing is set aside")
    for run, shown in found:
        folder = settings.outputs.quarantine_to / str(shown.set_digest)
        there = "" if folder.is_dir() else "  (rows are gone)"
        typer.echo(f"{run}  {shown.rows_quarantined:8} rows  {shown.set_digest}{there}")


def show_set(
    run: RunId = "latest",
    count: Annotated[int, typer.Option("-n", min=1, help="Rows to print.")] = 20,
    config: Config = None,
) -> None:
    """Print the worst rows of a set, with the reason; `export` has all of them."""
    import pyarrow.parquet as pq

    from auditor.formats.escape import terminal

    table = pq.read_table(_rows_file(_settings(config), run))
    table = table.sort_by([("_auditor_suspicion", "descending")])
    for row in table.slice(0, count).to_pylist():
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
    import pyarrow.parquet as pq

    from auditor.errors import ConfigError
    from auditor.formats.escape import csv_row

    source = _rows_file(_settings(config), run)
    if output.suffix not in (".parquet", ".csv"):
        raise ConfigError(f"{output}: name a .parquet or .csv file")
    refuse_target(f"-o {output}", output)
    if output.suffix == ".parquet":
        with source.open("rb") as file, open(output, "wb", opener=_private) as copy:
            shutil.copyfileobj(file, copy)
    else:
        table = pq.read_table(source)
        with open(output, "w", encoding="utf-8", newline="", opener=_private) as file:
            file.write(csv_row(table.column_names))
            for row in table.to_pylist():
                cells = ["" if value is None else str(value) for value in row.values()]
                file.write(csv_row(cells, limit=None))
    typer.echo(str(output))


def _private(path: str, flags: int) -> int:
    """For the owner only: these are rows that nobody has released."""
    return os.open(path, flags, 0o600)


def _settings(config: Path | None) -> Settings:
    return load_settings(config, files_must_exist=False)


def _folder(settings: Settings, run: str) -> Path:
    from auditor.site import workspace

    return workspace(settings).find_run(run)


def _report(folder: Path) -> Report:
    from auditor.formats import report_json

    return report_json.loads((folder / "report.json").read_bytes())


def _quarantined(settings: Settings) -> list[tuple[str, Report]]:
    from auditor.site import workspace

    roots = workspace(settings)
    shown = [(run, _report(roots.runs / run)) for run in roots.all_runs()]
    return [(run, one) for run, one in shown if one.set_digest and one.mode == "gate"]


def _rows_file(settings: Settings, run: str) -> Path:
    from auditor.errors import ConfigError

    folder = _folder(settings, run)
    digest = _report(folder).set_digest
    path = settings.outputs.quarantine_to / str(digest) / "rows.parquet"
    if digest is None or not path.is_file():
        raise ConfigError(f"{folder.name}: this run set no rows aside (only `gate` keeps them)")
    return path
