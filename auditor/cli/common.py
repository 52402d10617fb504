"""What the commands share: errors -> exit codes, progress, output."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from auditor.errors import AuditorError, LedgerError, UnfinishedError
from auditor.formats.escape import terminal

if TYPE_CHECKING:
    from auditor.config import Settings
    from auditor.ledger import Ledger
    from auditor.report_records import Report

#: Packages of the extras (by import name) -> the extra that brings them.
_EXTRAS: Final = {
    **dict.fromkeys(
        ("pandas", "numpy", "scipy", "sklearn", "pyod", "great_expectations", "cleanlab"), "audit"
    ),
    **dict.fromkeys(("duckdb", "pydantic", "pydantic_core", "ruamel"), "audit"),
    "pg8000": "postgres",
    "prefect": "flows",
    "fastapi": "flows",
    "sqlalchemy": "flows",
    "auditor_flows": "flows",
}


class Exit(IntEnum):
    """Exit codes; a tool error is never mistaken for a clean result, and never for a finding."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    QUARANTINE = 10
    REJECT = 11
    HOLD = 12
    REFUSED = 13
    INTERRUPTED = 130


class Group(TyperGroup):
    """The one place where an exception becomes a line on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            fail("interrupted; nothing was left half-written", Exit.INTERRUPTED)
        except (LedgerError, UnfinishedError) as error:
            fail(f"HOLD: {error}", Exit.HOLD)
        except AuditorError as error:
            fail(str(error), Exit.USAGE)
        except ModuleNotFoundError as error:
            fail(*_missing(error))
        except BrokenPipeError:
            # The reader of stdout went away (`| head`); that is its right.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(Exit.OK) from None
        except OSError as error:
            what = f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                fail(
                    f"HOLD: {what}; nothing is published and the next run logs this one as held; "
                    "make room where outputs.runs and outputs.publish_to are, and run it again",
                    Exit.HOLD,
                )
            fail(what, Exit.INTERNAL)


def fail(message: str, code: int) -> NoReturn:
    """Print one safe line (more where the message has source lines) and leave."""
    lines = [terminal(line, 1000) for line in message.splitlines()] or ["failed"]
    typer.echo("\n".join([f"auditor: {lines[0]}", *lines[1:]]), err=True)
    raise SystemExit(int(code))


def _missing(error: ModuleNotFoundError) -> tuple[str, Exit]:
    package = (error.name or "").split(".")[0]
    if package not in _EXTRAS:
        return f"{error}; this installation is damaged: install auditor again", Exit.INTERNAL
    extra = _EXTRAS[package]
    text = f"this command needs {package}: install it with `pip install 'auditor[{extra}]'`"
    return text, Exit.USAGE


def progress(quiet: bool) -> Callable[[str], None] | None:
    """Says what is going on: one changing line on a terminal, plain lines elsewhere, on stderr."""
    if quiet:
        return None
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return lambda text: typer.echo(f"auditor: {terminal(text)}", err=True)
    return _same_line


def _same_line(text: str) -> None:
    sys.stderr.write(f"\r\x1b[2K{terminal(text, 78)}")
    sys.stderr.flush()


def end_progress(quiet: bool) -> None:
    """Clear the changing line before the result is printed."""
    if not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        sys.stderr.write("\r\x1b[2K")
        sys.stderr.flush()


def show(report: Report, form: str, folder: Path, *, samples: bool) -> None:
    """Print a report on stdout: `rich`, `plain`, `json` or `github`."""
    from auditor.formats import render, text

    if form == "json":
        typer.echo(render(report, "json", no_samples=not samples), nl=False)
        return
    if form == "github":
        typer.echo(render(report, "github"), nl=False)
        return
    colour = form == "rich" and sys.stdout.isatty() and "NO_COLOR" not in os.environ
    typer.echo(
        text.render(report, colour=colour, report_path=str(folder / "report.html")), nl=False
    )


def parse_outputs(outputs: list[str]) -> list[tuple[str, Path]]:
    """`-o fmt=path`, several in one run: what cannot work is refused before anything runs."""
    from auditor.errors import ConfigError
    from auditor.formats import FORMATS

    parsed = []
    for output in outputs:
        form, separator, name = output.partition("=")
        if not separator or not name:
            raise ConfigError(f"-o {output}: write it as FORMAT=PATH, such as -o html=report.html")
        if form not in FORMATS:
            raise ConfigError(f"-o {output}: no format {form!r}; use one of {', '.join(FORMATS)}")
        refuse_target(f"-o {output}", Path(name))
        parsed.append((form, Path(name)))
    return parsed


def refuse_target(given: str, path: Path) -> None:
    """Refuse a file that cannot be written where the path says; `given` is what was typed."""
    from auditor.errors import ConfigError

    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise ConfigError(f"{given}: {what}; name a file in a folder that is there")


def write_outputs(report: Report, outputs: list[tuple[str, Path]], *, samples: bool) -> None:
    """Write what `-o` asked for. The verdict stands by now, also where a file cannot be written."""
    from auditor.formats import render

    for form, path in outputs:
        try:
            path.write_text(render(report, form, no_samples=not samples), encoding="utf-8")
        except OSError as error:
            fail(
                f"-o {form}={path}: cannot be written ({error.strerror}); the run is complete: "
                f"`auditor report {report.run} --format {form} -o FILE` writes it again",
                Exit.HOLD,
            )


def load_settings(
    config: Path | None, *, strict: bool = False, files_must_exist: bool = True
) -> Settings:
    """Settings from `--config`, else `auditor.yaml` here, else the safe defaults."""
    from auditor.config import load

    if config is None and Path("auditor.yaml").is_file():
        config = Path("auditor.yaml")
    return load(config, os.environ, strict_permissions=strict, files_must_exist=files_must_exist)


def chosen_ledger(file: Path | None, config: Path | None) -> Ledger:
    """The ledger in a file, else the one that the settings name; it may not exist yet.

    Raises:
        ConfigError: the named file is none, or the settings are wrong.
    """
    from auditor.errors import ConfigError

    if file is not None:
        from auditor.ledger import Ledger

        if not file.is_file():
            raise ConfigError(f"--ledger {file}: there is no such file")
        return Ledger(file)
    from auditor.site_ledger import ledger_of

    return ledger_of(load_settings(config, files_must_exist=False))


def keep_pandas_out() -> None:
    """Tell pyarrow that there is no pandas, in this process only.

    pyarrow imports pandas at its first array if it is installed, which costs a second and 60 MB;
    a command that runs no expectation suite converts nothing between the two. Other packages may
    import pandas afterwards.
    """
    if "pandas" in sys.modules:
        return
    absent = _Absent()
    sys.meta_path.insert(0, absent)
    try:
        import pyarrow as pa

        pa.scalar(0)
    finally:
        sys.meta_path.remove(absent)


class _Absent:
    """An import finder for which there is no pandas."""

    def find_spec(self, fullname: str, *_: object) -> None:
        """See `importlib.abc.MetaPathFinder`."""
        if fullname.partition(".")[0] == "pandas":
            raise ModuleNotFoundError(name=fullname)


def parse_roles(label: str | None, given: list[str]) -> dict[str, tuple[str, ...]]:
    """`--label` and `--role ROLE=COLUMN[,COLUMN]` as a mapping."""
    from auditor.errors import ConfigError
    from auditor.roles import KNOWN, meant

    roles: dict[str, tuple[str, ...]] = {}
    for entry in given:
        role, separator, columns = entry.partition("=")
        if not separator or not columns:
            raise ConfigError(f"--role {entry}: write it as ROLE=COLUMN[,COLUMN]")
        if near := meant(role):
            raise ConfigError(f"--role {entry}: no rule reads {role!r}; did you mean {near}?")
        if role not in KNOWN:
            text = f"auditor: --role {entry}: no rule reads the role {role!r}; it is carried along"
            typer.echo(terminal(text, 300), err=True)
        roles[role] = (*roles.get(role, ()), *columns.split(","))
    if label:
        roles["label"] = (label,)
    return roles
