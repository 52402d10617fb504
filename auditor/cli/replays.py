"""`auditor replay`, `auditor trace`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from auditor.cli.audits import Config, Quiet
from auditor.cli.common import Exit, end_progress, load_settings, progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditor.afterwards.replaying import Replay
    from auditor.afterwards.tracing import Sighting

_SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(replay)
    app.command()(trace)


def replay(
    run: Annotated[str, typer.Argument(help="A run id, the start of one, or latest.")],
    data: Annotated[
        list[str] | None,
        typer.Option("--data", help="The batch, where it lies elsewhere now; may be repeated."),
    ] = None,
    config: Config = None,
    quiet: Quiet = False,
) -> None:
    """Run an audit again from what was recorded; say whether verdict and sets are the same.

    Touches neither ledger nor published files. Exit 0 the same, 13 not, or it could not be told.
    """
    from auditor.afterwards.replaying import replay as run_again

    settings = load_settings(config, files_must_exist=False)
    try:
        found = run_again(settings, run, data or (), progress(quiet))
    finally:
        end_progress(quiet)
    for line in _lines(found):
        typer.echo(line)
    raise typer.Exit(Exit.OK if found.same else Exit.REFUSED)


def trace(
    what: Annotated[
        str, typer.Argument(help="A file, a published folder, a sha256, or the id of a row.")
    ],
    config: Config = None,
) -> None:
    """Say where rows came from, which runs saw them, who decided, which training sets hold them.

    A file is looked for by its bytes and by its rows. Exit 12 where something could not be looked
    into.
    """
    import datetime as dt

    from auditor.afterwards.desk import Desk
    from auditor.afterwards.tracing import trace as look
    from auditor.formats.escape import terminal
    from auditor.site import workspace
    from auditor.site_ledger import ledger_of

    settings = load_settings(config, files_must_exist=False)
    # Nothing is decided here, so that no trust policy is needed.
    desk = Desk(
        settings=settings,
        roots=workspace(settings),
        ledger=ledger_of(settings),
        policy=None,
        policy_sha256="",
        now=dt.datetime.now(dt.UTC),
    )
    found = look(desk, what)
    typer.echo(f"auditor: looked for {found.wanted}", err=True)
    for sighting in found.sightings:
        for line in _told(sighting):
            typer.echo(line)
    for each in found.unknown:
        typer.echo(f"unknown: {terminal(each, 300)}")
    counts = f"{len(found.sightings)} runs saw it" if found.sightings else "no run saw it"
    sets = {name for each in found.sightings for name in each.datasets}
    models = {one.model_sha256 for each in found.sightings for one in each.trained}
    typer.echo(
        f"auditor: trace: {counts}, {len(sets)} data sets, {len(models)} models, "
        f"{len(found.unknown)} unknown"
    )
    raise typer.Exit(Exit.HOLD if found.unknown else Exit.OK)


def _told(one: Sighting) -> Iterator[str]:
    """A run, and what became of what it saw."""
    from auditor.formats.escape import terminal

    report, event = one.run.report, one.run.entry.event
    name = one.run.logged.resource if one.run.logged else report.batch_name
    head = f"{event.run}  {event.at:%Y-%m-%dT%H:%M:%SZ}  {report.mode} {report.verdict}"
    yield f"{head}  {terminal(name, 200)}"
    yield from (f"  {terminal(words, 300)}" for words in one.how)
    signers = str(event.detail.get("signers", ""))
    yield f"  vouched for by {terminal(signers, 300)}" if signers else "  nobody vouched for it"
    if one.run.logged:
        yield f"  published as {one.run.logged.summary.sha256}"
    yield from (f"  {terminal(words, 300)}" for words in one.decided)
    yield from (f"  in the data set {terminal(dataset, 200)}" for dataset in one.datasets)
    for training in one.trained:
        yield f"  trained on by {terminal(training.run, 200)}, model {training.model_sha256}"


def _lines(found: Replay) -> list[str]:
    from auditor.formats.escape import terminal

    lines = [f"note: {terminal(note, 300)}" for note in found.notes]
    lines += [f"lost: {terminal(each, 300)}" for each in found.lost]
    for one in found.differences[:_SHOWN]:
        before, now = terminal(one.before, 300), terminal(one.now, 300)
        lines += [
            f"differs: {terminal(one.what, 200)}",
            f"  recorded {before}",
            f"  now      {now}",
        ]
    if len(found.differences) > _SHOWN:
        lines.append(f"and {len(found.differences) - _SHOWN} more")
    return [*lines, f"auditor: replay of {found.run}: {_said(found)}"]


def _said(found: Replay) -> str:
    if found.bytes_differ:
        return "not run: these are not the bytes that were audited"
    if found.differences:
        return f"{len(found.differences)} things differ, the verdict now is {found.verdict}"
    if found.lost:
        return f"nothing differs ({found.verdict}), but what was lost may hide a difference"
    return f"the same: {found.verdict}, the same sets, findings and policy"
