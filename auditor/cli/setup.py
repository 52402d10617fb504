"""`auditor init`, `rules`, `schema`, `doctor`, `serve`."""

from __future__ import annotations

import importlib.util
import os
import sys
from enum import StrEnum
from typing import Annotated

import typer

from auditor.cli.audits import Config, Label, Quiet, Role
from auditor.cli.common import Exit, end_progress, parse_roles, progress


class Schema(StrEnum):
    """Which JSON Schema."""

    CONFIG = "config"
    REPORT = "report"


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(init)
    app.command()(rules)
    app.command()(schema)
    app.command()(doctor)
    app.command()(serve)


def init(
    data: Annotated[list[str], typer.Argument(help="Trusted files to learn from.")],
    name: Annotated[str | None, typer.Option(help="Name of the data set.")] = None,
    label: Label = None,
    role: Role = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write auditor.yaml, expectations/NAME.json and a CI snippet; say what was guessed."""
    from auditor.initialising import write_project

    lines = write_project(
        data, name=name, roles=parse_roles(label, role or []), force=force, progress=progress(quiet)
    )
    end_progress(quiet)
    typer.echo("\n".join(lines))


def rules() -> None:
    """List every rule: id, family, what it does by default, title."""
    from auditor.site import all_rules

    for rule in all_rules().values():
        typer.echo(f"{rule.id}  {rule.family:12} {rule.effect:11} {rule.title}")


def schema(
    which: Annotated[Schema, typer.Argument(help="config (auditor.yaml) or report.")] = (
        Schema.CONFIG
    ),
) -> None:
    """Print a JSON Schema, for editors and for readers of report.json."""
    import json

    if which == Schema.CONFIG:
        from auditor import config

        found = config.json_schema()
    else:
        from auditor.formats import report_json

        found = report_json.json_schema()
    typer.echo(json.dumps(found, indent=2))


def doctor(
    config: Config = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only what is wrong.")] = False,
) -> None:
    """Compare versions that must fit each other, sandbox and folders; say how to mend."""
    from auditor.doctor import examine

    found = examine(config)
    for one in found:
        if one.ok and quiet:
            continue
        wanted = "" if one.ok else f" (wanted {one.wanted})"
        typer.echo(f"{one.health:7} {one.name}: {one.found}{wanted}")
        if one.mend:
            typer.echo(f"        mend: {one.mend}")
    raise typer.Exit(Exit.OK if all(one.ok for one in found) else Exit.INTERNAL)


def serve(
    config: Config = None,
    interval: Annotated[
        int | None, typer.Option(help="Seconds between looks at the inbox.", min=1)
    ] = None,
    cron: Annotated[str | None, typer.Option(help="A cron line instead of an interval.")] = None,
) -> None:
    """Watch an inbox on a schedule, with Prefect (extra `flows`)."""
    from auditor.errors import ConfigError

    if interval is not None and cron is not None:
        raise ConfigError("give --interval or --cron, not both")
    if importlib.util.find_spec("prefect") is None:
        raise ModuleNotFoundError("No module named 'prefect'", name="prefect")
    # -P: what lies in the working directory is not imported.
    command = [sys.executable, "-P", "-m", "auditor_flows"]
    command += ["--config", str(config or "auditor.yaml")]
    command += ["--interval", str(interval)] if interval else []
    command += ["--cron", cron] if cron else []
    # This process becomes the flows' own, so that signals reach it and nothing here imports them.
    os.execv(sys.executable, command)
