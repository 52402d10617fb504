"""`auditor quarantine review|request|approve|deny|release|ratify|decisions|expire|purge`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.cli import quarantine_rows
from auditor.cli.audits import Config, Quiet
from auditor.cli.common import Exit, end_progress, load_settings, progress, refuse_target

if TYPE_CHECKING:
    from auditor.afterwards.desk import Desk, Ground, Person
    from auditor.afterwards.expiring import Done
    from auditor.lifecycle.decisions import Vote

RunId = Annotated[str, typer.Argument(help="The run that set the rows aside, or the start of it.")]
SignWith = Annotated[Path, typer.Option("--sign-with", help="Your own private key.")]
Passphrase = Annotated[
    str | None, typer.Option(help="Environment variable that holds its passphrase.")
]
Code = Annotated[
    str,
    typer.Option(
        help="false-positive, confirmed-by-source, known-change, intended-copies, emergency, "
        "poisoned or not-settled."
    ),
]
Reason = Annotated[str, typer.Option(help="What you looked at, in at least 20 characters.")]
Evidence = Annotated[
    list[str] | None, typer.Option(help="sha256 of what you looked at; repeatable.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this file, and those that only look."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    quarantine_rows.add_to(group)
    app.add_typer(group, name="quarantine", help="Rows that were set aside, and their release.")
    for command in (review, request, approve, deny, release, ratify, decisions, expire, purge):
        group.command()(command)


def review(run: RunId, config: Config = None) -> None:
    """Open the review of a set, or take an open request back: its approvals are void then."""
    from auditor.afterwards import deciding

    aside = deciding.review(desk_of(config), run)
    typer.echo(f"{aside.run}  {aside.set_sha256}  under review")


def request(
    run: RunId,
    sign_with: SignWith,
    code: Code,
    reason: Reason,
    evidence: Evidence = None,
    break_glass: Annotated[
        bool,
        typer.Option("--break-glass", help="Cannot wait: one person, 24 hours, code emergency."),
    ] = False,
    passphrase_env: Passphrase = None,
    config: Config = None,
) -> None:
    """Ask for the release of a set, as a releaser of the trust policy; it is your own vote."""
    from auditor.afterwards import deciding

    person, ground = _said(sign_with, passphrase_env, code, reason, evidence)
    vote = deciding.request(desk_of(config), run, person, ground, break_glass=break_glass)
    _print(vote, "asked for the release")


def approve(
    run: RunId,
    sign_with: SignWith,
    code: Code,
    reason: Reason,
    evidence: Evidence = None,
    passphrase_env: Passphrase = None,
    config: Config = None,
) -> None:
    """Agree to a release that somebody else asked for."""
    from auditor.afterwards import deciding

    person, ground = _said(sign_with, passphrase_env, code, reason, evidence)
    _print(deciding.approve(desk_of(config), run, person, ground), "approved the release")


def deny(
    run: RunId,
    sign_with: SignWith,
    code: Code,
    reason: Reason,
    evidence: Evidence = None,
    passphrase_env: Passphrase = None,
    config: Config = None,
) -> None:
    """Refuse a release; one releaser is enough, and it is final."""
    from auditor.afterwards import deciding

    person, ground = _said(sign_with, passphrase_env, code, reason, evidence)
    _print(deciding.deny(desk_of(config), run, person, ground), "denied the release")


def release(run: RunId, config: Config = None, quiet: Quiet = False) -> None:
    """Publish rows that enough people let go, as a batch that is screened again."""
    _release(desk_of(config), run, quiet)


def ratify(
    run: RunId,
    sign_with: SignWith,
    code: Code,
    reason: Reason,
    evidence: Evidence = None,
    passphrase_env: Passphrase = None,
    config: Config = None,
    quiet: Quiet = False,
) -> None:
    """Stand by an emergency release as the second person, within 24 hours."""
    from auditor.afterwards import deciding, releasing

    person, ground = _said(sign_with, passphrase_env, code, reason, evidence)
    desk = desk_of(config)
    # What a crash left invisible is shown also where nothing is left to ratify.
    desk.roots.recover(desk.ledger, desk.now)
    if not releasing.unfinished(desk, desk.find(run)):  # else a crash came after the ratification
        _print(deciding.ratify(desk, run, person, ground), "ratified the release")
    _release(desk, run, quiet)


def decisions(
    run: RunId,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write them there as CSV.")
    ] = None,
    config: Config = None,
) -> None:
    """Print what was decided about a set, by whom, and why."""
    from auditor.afterwards.decided import COLUMNS, lines
    from auditor.formats.escape import csv_row, terminal

    found = lines(desk_of(config), run)
    if output is not None:
        refuse_target(f"-o {output}", output)
        rows = [csv_row(list(COLUMNS)), *(csv_row(list(line), limit=None) for line in found)]
        output.write_text("".join(rows), encoding="utf-8", newline="")
        typer.echo(str(output))
        return
    for line in found:
        typer.echo("  ".join(terminal(cell, 2000) for cell in line if cell))


def expire(config: Config = None) -> None:
    """Expire sets that nobody decided about in time, and recall what nobody ratified.

    In time: quarantine.undecided_days, and 24 hours for an emergency.
    """
    from auditor.afterwards.expiring import expire as due

    _print_done(list(due(desk_of(config))))


def purge(
    run: Annotated[str | None, typer.Argument(help="A run id, or the start of one.")] = None,
    due: Annotated[
        bool, typer.Option("--due", help="Every set that expired quarantine.retention_days ago.")
    ] = False,
    config: Config = None,
) -> None:
    """Delete the rows of an expired set. The ledger and the decisions stay."""
    from auditor.afterwards.expiring import purge as purge_one
    from auditor.afterwards.expiring import purge_due
    from auditor.errors import ConfigError

    if bool(run) == due:
        raise ConfigError("name a run, or give --due, and not both")
    desk = desk_of(config)
    _print_done(list(purge_due(desk)) if run is None else [purge_one(desk, run)])


def desk_of(config: Path | None) -> Desk:
    """The desk of the site that the settings describe, now."""
    from auditor.afterwards.desk import Desk
    from auditor.site import utc_now

    return Desk.of(load_settings(config), utc_now())


def _release(desk: Desk, run: str, quiet: bool) -> None:
    from auditor.afterwards import releasing
    from auditor.formats import text
    from auditor.model import Verdict
    from auditor.site import utc_now

    done = releasing.release(desk, run, progress=progress(quiet), clock=utc_now)
    end_progress(quiet)
    typer.echo(text.render(done.report, colour=False, report_path=str(done.folder / "report.html")))
    if done.verdict is not Verdict.ACCEPT:
        raise typer.Exit(Exit.HOLD)
    typer.echo(f"released: {done.published}")


def _said(
    key: Path, passphrase_env: str | None, code: str, reason: str, evidence: list[str] | None
) -> tuple[Person, Ground]:
    from auditor.afterwards.desk import Ground, Person

    return Person(key, passphrase_env), Ground(code, reason, tuple(evidence or ()))


def _print(vote: Vote, what: str) -> None:
    until = f"counts until {vote.decision.expires_on:%Y-%m-%d %H:%M} UTC"
    typer.echo(f"{', '.join(vote.principals)} {what} of {vote.decision.rows} rows; {until}")
    typer.echo(f"decision {vote.sha256}")


def _print_done(found: list[Done]) -> None:
    from auditor.formats.escape import terminal

    for one in found:
        typer.echo(f"{one.run}  {terminal(one.what, 500)}")
    if not found:
        typer.echo("nothing is due")
    if not all(one.believed for one in found):
        raise typer.Exit(Exit.HOLD)
