"""`auditor baseline build|show|diff`; `promote` and `drop` are in `promotions`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from auditor.cli.audits import Config, Label, Quiet, Role
from auditor.cli.common import end_progress, load_settings, parse_roles, progress
from auditor.cli.promotions import drop, promote

if TYPE_CHECKING:
    from auditor.baseline import Baseline

_DEFAULT: Final = Path(".auditor/baseline")
_Folder = Annotated[Path, typer.Argument(help="Folder of a baseline.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    group.command()(build)
    group.command()(show)
    group.command()(diff)
    group.command()(promote)
    group.command()(drop)
    app.add_typer(group, name="baseline", help="What is trusted: build it, look at it, compare.")


def build(
    data: Annotated[list[str] | None, typer.Argument(help="Trusted files.")] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="New folder for the baseline.")
    ] = _DEFAULT,
    config: Config = None,
    label: Label = None,
    role: Role = None,
    from_run: Annotated[
        str | None, typer.Option(help="Use the rows that this run published (id, or latest).")
    ] = None,
    reviewed_by: Annotated[str | None, typer.Option(help="Who looked at that run.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why its rows can be trusted.")] = None,
    power: Annotated[
        str,
        typer.Option(help="Attacks planted to measure power (minutes), at most; `skip`: unknown."),
    ] = "200",
    quiet: Quiet = False,
) -> None:
    """Build a baseline from trusted files, or from a reviewed run. It is immutable once built.

    The thresholds of every rule are calibrated on it, its false alarms and its power are measured.
    """
    from auditor.errors import ConfigError
    from auditor.trusting import build_from_files, build_from_run

    settings = load_settings(config, files_must_exist=False)
    roles = dict(settings.roles) | parse_roles(label, role or [])
    settings = settings.model_copy(update={"roles": roles, "baseline": None})
    if bool(data) == bool(from_run):
        raise ConfigError("give trusted files, or --from-run RUN, and not both")
    if from_run and not (reviewed_by and reason):
        raise ConfigError("--from-run needs --reviewed-by NAME and --reason TEXT; both are logged")
    trials, say = _trials(power), progress(quiet)
    if from_run:
        built = build_from_run(
            from_run, settings, output, str(reviewed_by), str(reason), power=trials, progress=say
        )
    else:
        built = build_from_files(data or [], settings, output, power=trials, progress=say)
    end_progress(quiet)
    typer.echo(f"baseline {built.digest[:16]} in {output}")
    _print(built)


def show(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Folder of a baseline; default: the one that auditor.yaml names."),
    ] = None,
    config: Config = None,
) -> None:
    """Say what a baseline holds and how often it would have raised a false alarm."""
    from auditor import baseline_files

    folder = folder or load_settings(config, files_must_exist=False).baseline or _DEFAULT
    baseline = baseline_files.read(folder)
    typer.echo(f"baseline {baseline.digest} in {folder}\nbuilt {baseline.created_at}")
    _print(baseline)


def diff(
    old: _Folder,
    new: _Folder,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")] = False,
) -> None:
    """Compare two baselines: columns with their drift (PSI), labels, thresholds, clean rates."""
    from auditor import baseline_files
    from auditor.baseline_changes import changes
    from auditor.cli.baseline_tables import compared

    found = changes(baseline_files.read(old), baseline_files.read(new))
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
        return
    typer.echo("\n".join(compared(found)))


def _trials(text: str) -> int:
    from auditor.errors import ConfigError
    from auditor.power import FEWEST

    if text == "skip":
        return 0
    if not (text.isascii() and text.isdigit() and FEWEST <= int(text[:9]) <= 100_000):
        raise ConfigError(f"--power {text}: give skip, or a number of trials from {FEWEST} on")
    return int(text)


def _print(baseline: Baseline) -> None:
    from auditor.cli.baseline_tables import described

    typer.echo("\n".join(described(baseline)))
