"""`auditor recall`, `auditor dataset freeze`, `auditor consumed`."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.cli.audits import Config
from auditor.cli.common import Exit
from auditor.cli.quarantine import desk_of

if TYPE_CHECKING:
    from auditor.afterwards.recalling import Recalled
    from auditor.afterwards.selecting import Selector


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(recall)
    app.command()(consumed)
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    group.command()(freeze)
    group.callback()(_dataset)
    app.add_typer(group, name="dataset", help="One verifiable training set out of many batches.")


def _dataset() -> None:
    """One verifiable training set out of many batches."""


def recall(
    reason: Annotated[str, typer.Option(help="Why; it is kept beside the runs.")],
    key: Annotated[str | None, typer.Option(help="Batches that this key let in.")] = None,
    source: Annotated[str | None, typer.Option(help="Batches of a source.")] = None,
    contributor: Annotated[
        str | None, typer.Option(help="Batches with published rows of a contributor.")
    ] = None,
    batch: Annotated[
        str | None, typer.Option(help="One batch: a run, SOURCE@BATCH, or a digest.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only those logged since then: 2026-11-22T00:00:00Z.")
    ] = None,
    sign_with: Annotated[
        Path | None, typer.Option("--sign-with", help="Your key, where there is a trust policy.")
    ] = None,
    passphrase_env: Annotated[
        str | None, typer.Option(help="Environment variable that holds its passphrase.")
    ] = None,
    config: Config = None,
) -> None:
    """Take published batches back, and all that was made from them. One releaser is enough.

    The next `auditor status issue` tells every training job. Names the data sets and training runs
    that are concerned. Exit 12 where something could not be looked into.
    """
    from auditor.afterwards.desk import Person
    from auditor.afterwards.recalling import recall as take_back

    selector = _selector(key, source, contributor, batch, since)
    person = Person(sign_with, passphrase_env) if sign_with else None
    found = take_back(desk_of(config), selector, reason, person)
    _print(found)
    if found.unknown:
        raise typer.Exit(Exit.HOLD)


def consumed(
    used: Annotated[str, typer.Argument(help="The attestation or data set, or its sha256.")],
    run: Annotated[str, typer.Option(help="The id of the training run.")],
    model: Annotated[str, typer.Option(help="sha256 of the model that came of it.")],
    config: Config = None,
) -> None:
    """Say which training run used an attested batch or a data set, so that a recall names it."""
    from auditor.afterwards.freezing import consume

    consume(desk_of(config), used, run, model)
    typer.echo(f"logged: {run} used {used}")


def freeze(
    name: Annotated[str, typer.Argument(help="What the data set is called.")],
    batches: Annotated[
        list[str],
        typer.Option(help="SOURCE@BATCH with * and ?; repeatable. Recalled ones are refused."),
    ],
    config: Config = None,
) -> None:
    """Sign one list of many published batches; a training job loads it as one data set."""
    from auditor.afterwards.freezing import freeze as make

    path, found = make(desk_of(config), name, batches)
    for parent in found.parents:
        typer.echo(f"{parent.resource}  {parent.rows} rows  {parent.attestation_sha256}")
    typer.echo(f"{path}  {len(found.parents)} batches, {found.rows} rows")


def _selector(
    key: str | None,
    source: str | None,
    contributor: str | None,
    batch: str | None,
    since: str | None,
) -> Selector:
    from auditor.afterwards.selecting import By, Selector
    from auditor.errors import ConfigError

    given: dict[By, str | None] = {
        "key": key,
        "source": source,
        "contributor": contributor,
        "batch": batch,
    }
    named = [(by, value) for by, value in given.items() if value]
    if len(named) != 1:
        raise ConfigError("give one of --key, --source, --contributor and --batch")
    return Selector(by=named[0][0], value=named[0][1], since=_time(since))


def _time(text: str | None) -> dt.datetime | None:
    from auditor.errors import ConfigError
    from auditor.provenance.refused import Refused
    from auditor.provenance.times import parse_time

    try:
        return parse_time(text) if text else None
    except Refused as error:
        raise ConfigError(f"--since {text}: write it as 2026-11-22T00:00:00Z") from error


def _print(found: Recalled) -> None:
    from auditor.formats.escape import terminal

    for one in found.batches:
        done = "recalled" if one.run in found.new else "was recalled before"
        typer.echo(f"{done}: {terminal(one.resource)}  run {one.run}  {one.attestation_sha256}")
    for name in found.datasets:
        typer.echo(f"data set {terminal(name)} holds some of it and can no longer be loaded")
    for trained in found.trained:
        run, model = terminal(trained.run), trained.model_sha256
        typer.echo(f"training run {run} used it; its model is {model}")
    for part, command in zip(found.left.parts, found.left.commands, strict=True):
        typer.echo(f"the baseline holds rows of it: {terminal(part, 200)}")
        typer.echo(f"  take them out: {terminal(command, 10_000)}")
    for judged in found.left.judged:
        typer.echo(f"judged by its rows: {terminal(judged.resource)}  run {judged.run}")
        typer.echo(f"  audit it again after that: {terminal(judged.command, 10_000)}")
    for text in found.unknown:
        typer.echo(f"auditor: {terminal(text, 500)}", err=True)
    count = f"{len(found.batches)} batches, {len(found.new)} of them new"
    typer.echo(f"{count}; `auditor status issue` tells the training jobs")
