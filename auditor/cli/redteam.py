"""`auditor redteam`."""

from __future__ import annotations

import json
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from auditor.cli.audits import BaselineDir, Config, Data, Label, Open, Quiet, Role
from auditor.cli.common import Exit, end_progress, load_settings, parse_roles, progress

if TYPE_CHECKING:
    from auditor.redteaming import Wanted

Number = TypeVar("Number", int, float)


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(redteam)


def redteam(
    data: Data,
    baseline: BaselineDir = None,
    attack: Annotated[
        list[str] | None,
        typer.Option(help="Only this attack; may be repeated. Default: all that there are."),
    ] = None,
    counts: Annotated[
        str | None, typer.Option(help="Numbers of poison rows. Default: 10,20,50,100,250.")
    ] = None,
    rates: Annotated[
        str | None, typer.Option(help="Shares of a window besides, such as 0.01,0.05.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Trials of each attack and number. Default: 2.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Six attacks, 20 and 100 rows, few clean batches.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for trials and results. Default: one for this data below .auditor."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=2, help="Processes.")] = 2,
    config: Config = None,
    label: Label = None,
    role: Role = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")] = False,
    quiet: Quiet = False,
    open_report: Open = False,
) -> None:
    """Plant attacks in your own clean data and say what this configuration would catch.

    Without a baseline the first two thirds of DATA are trusted. Ctrl-C keeps what was measured;
    the same call goes on. DATA must be clean: what is planted is all that counts as poison.
    """
    from auditor import redteam_results, redteaming

    settings = load_settings(config)
    roles = dict(settings.roles) | parse_roles(label, role or [])
    changes = {"roles": roles} | ({"baseline": baseline} if baseline else {})
    measured = redteaming.measure(
        data,
        settings.model_copy(update=changes),
        _wanted(attack, counts, rates, seeds, quick, workers),
        out=out,
        progress=progress(quiet),
    )
    end_progress(quiet)
    page = redteam_results.write(measured)
    if as_json:
        typer.echo(json.dumps(redteam_results.as_json(measured), indent=2, allow_nan=False))
    else:
        from auditor.cli.redteam_tables import described

        typer.echo("\n".join(described(measured)))
        typer.echo(f"\nplots in {page}")
    if open_report:
        webbrowser.open(page.resolve().as_uri())
    if not measured.complete:
        raise typer.Exit(Exit.INTERRUPTED)


def _wanted(
    attacks: list[str] | None,
    counts: str | None,
    rates: str | None,
    seeds: int | None,
    quick: bool,
    workers: int,
) -> Wanted:
    from auditor import redteaming

    few = redteaming.QUICK_COUNTS if quick else redteaming.COUNTS
    return redteaming.Wanted(
        attacks=tuple(attacks or (redteaming.QUICK if quick else ())),
        counts=_numbers("--counts", counts, int) if counts else (() if rates else few),
        rates=_numbers("--rates", rates, float) if rates else (),
        seeds=seeds or redteaming.SEEDS,
        clean=redteaming.QUICK_CLEAN if quick else redteaming.CLEAN_WINDOWS,
        workers=workers,
    )


def _numbers(option: str, text: str, kind: Callable[[str], Number]) -> tuple[Number, ...]:
    """`10,20,50` (spaces will do) as numbers above 0; shares at most one half."""
    from auditor.errors import ConfigError

    try:
        found = tuple(kind(part) for part in text.replace(",", " ").split())
    except ValueError:
        found = ()
    if not found or not all(0 < number < (2**31 if kind is int else 0.5) for number in found):
        what = "whole numbers above 0" if kind is int else "shares between 0 and 0.5"
        raise ConfigError(f"{option} {text}: write {what}, separated by commas")
    return found
