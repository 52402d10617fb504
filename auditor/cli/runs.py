"""`auditor report`, `explain`, `history`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.cli.audits import Config
from auditor.cli.common import load_settings, refuse_target

if TYPE_CHECKING:
    from auditor.config import Settings
    from auditor.report_records import Report

RunId = Annotated[str, typer.Argument(help="A run id, the start of one, or latest.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(report)
    app.command()(explain)
    app.command()(history)


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
    from auditor.site_ledger import ledger_of

    entries = list(ledger_of(_settings(config)).entries())
    if not entries:
        typer.echo("nothing yet")
    for entry in reversed(entries[-count:]):
        event = entry.event
        detail = " ".join(f"{name}={value}" for name, value in sorted(event.detail.items()))
        subject = (event.subject or "-")[:12]
        line = f"{event.at:%Y-%m-%d %H:%M:%S}  {event.name:18} {event.run or '-':26} {subject:12} "
        typer.echo(terminal(line + detail, 300).rstrip())


def _settings(config: Path | None) -> Settings:
    return load_settings(config, files_must_exist=False)


def _folder(settings: Settings, run: str) -> Path:
    from auditor.site import workspace

    return workspace(settings).find_run(run)


def _report(folder: Path) -> Report:
    from auditor.formats import report_json

    return report_json.loads((folder / "report.json").read_bytes())
