"""`auditor baseline promote|drop`: what is added to the baseline later, and what is taken out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from auditor.cli.audits import Config, Quiet
from auditor.cli.common import Exit, end_progress, fail, load_settings, progress

if TYPE_CHECKING:
    from auditor.config import Settings
    from auditor.promoting import Change, Review

_DEFAULT: Final = Path(".auditor/baseline")
_Which = Annotated[
    Path | None,
    typer.Option("--baseline", help="The baseline's folder; default: that of auditor.yaml."),
]
_Reviewer = Annotated[str | None, typer.Option(help="Who decided; it is logged.")]
_Reason = Annotated[str | None, typer.Option(help="Why; it is kept beside the baseline.")]


def promote(
    run: Annotated[str | None, typer.Argument(help="A run id, or the start of one.")] = None,
    reviewed_by: _Reviewer = None,
    reason: _Reason = None,
    control: Annotated[
        bool,
        typer.Option("--control", help="Rules do not learn from it: false alarms are measured."),
    ] = False,
    due: Annotated[
        bool, typer.Option("--due", help="Every run that is due; needs promotion.allow: automatic.")
    ] = False,
    baseline: _Which = None,
    config: Config = None,
    quiet: Quiet = False,
) -> None:
    """Add the rows that an accepted run published to the baseline: a new version of it.

    The verdict must be older than promotion.cooling_off_days, and the files those it was about.
    """
    from auditor.errors import ConfigError
    from auditor.promoting import promote as promote_run

    settings = load_settings(config, files_must_exist=False)
    folder = baseline or settings.baseline or _DEFAULT
    if bool(run) == due:
        raise ConfigError("name a run, or give --due, and not both")
    if due and (reviewed_by or reason or control):
        raise ConfigError("--due is what nobody looked at: no --reviewed-by, --reason or --control")
    if due:
        _promote_due(settings, folder, quiet)
        return
    review = _review(reviewed_by, reason)
    change = promote_run(
        str(run), settings, folder, review, control=control, progress=progress(quiet)
    )
    end_progress(quiet)
    _print(change, folder, "added")


def drop(
    part: Annotated[str | None, typer.Option(help="A part, as `show` names it.")] = None,
    source: Annotated[str | None, typer.Option(help="All rows of a source.")] = None,
    contributor: Annotated[str | None, typer.Option(help="All rows of a contributor.")] = None,
    reviewed_by: _Reviewer = None,
    reason: _Reason = None,
    baseline: _Which = None,
    config: Config = None,
    quiet: Quiet = False,
) -> None:
    """Take rows out of the baseline that are no longer trusted: a new version of it."""
    from auditor.errors import ConfigError
    from auditor.promoting import Selector
    from auditor.promoting import drop as drop_rows

    given: dict[Selector, str | None] = {
        "part": part,
        "source": source,
        "contributor": contributor,
    }
    named = [(what, name) for what, name in given.items() if name]
    if len(named) != 1:
        raise ConfigError("give one of --part, --source and --contributor")
    settings = load_settings(config, files_must_exist=False)
    folder = baseline or settings.baseline or _DEFAULT
    review = _review(reviewed_by, reason)
    change = drop_rows(*named[0], settings, folder, review, progress=progress(quiet))
    end_progress(quiet)
    _print(change, folder, "taken out")


def _promote_due(settings: Settings, folder: Path, quiet: bool) -> None:
    from auditor.errors import BaselineError
    from auditor.promoting import promote_due

    failed: list[str] = []
    count = 0
    for one in promote_due(settings, folder, progress=progress(quiet)):
        end_progress(quiet)
        if isinstance(one, BaselineError):
            failed.append(str(one))
            continue
        count += 1
        _print(one, folder, "added")
    if not count and not failed:
        typer.echo("nothing is due")
    if failed:
        fail("\n".join([f"{len(failed)} runs could not be promoted", *failed]), Exit.USAGE)


def _review(reviewed_by: str | None, reason: str | None) -> Review:
    from auditor.errors import ConfigError
    from auditor.promoting import Review

    if not (reviewed_by and reason):
        raise ConfigError("this needs --reviewed-by NAME and --reason TEXT; both are recorded")
    return Review(reviewer=reviewed_by, reason=reason)


def _print(change: Change, folder: Path, done: str) -> None:
    from auditor.baseline_files import version_folder
    from auditor.formats.escape import terminal

    for name, rows in change.rows.items():
        typer.echo(f"{terminal(name)}: {rows} rows {done}")
    typer.echo(f"baseline {change.new.digest[:16]} in {folder}: {change.new.rows} rows")
    before = version_folder(folder, change.old.digest)
    typer.echo(f"compare: auditor baseline diff {before} {folder}")
