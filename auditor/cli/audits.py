"""`auditor audit`, `auditor gate`, `auditor demo`."""

from __future__ import annotations

import webbrowser
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auditor.cli.common import (
    Exit,
    end_progress,
    load_settings,
    parse_outputs,
    parse_roles,
    progress,
    show,
    write_outputs,
)

if TYPE_CHECKING:
    from auditor.config import Settings
    from auditor.run import Result


class Form(StrEnum):
    """What stdout carries."""

    RICH = "rich"
    PLAIN = "plain"
    JSON = "json"
    GITHUB = "github"


class Profile(StrEnum):
    """How much runs."""

    QUICK = "quick"
    STANDARD = "standard"
    DEEP = "deep"


class FailOn(StrEnum):
    """From which verdict on the exit code says so."""

    QUARANTINE = "quarantine"
    REJECT = "reject"


Scope = Annotated[
    Profile | None,
    typer.Option(
        help="quick: integrity, provenance, hidden characters, equal rows (about 1 s); "
        "standard: also expectations and the rules that fit models (about 5 s and more); "
        "deep: also those that fit many (minutes). Default: `profile` of the settings."
    ),
]
Data = Annotated[
    list[str], typer.Argument(help="Files, folders or globs: Parquet, CSV, JSON Lines, Arrow.")
]
Config = Annotated[
    Path | None, typer.Option("--config", "-c", help="Settings; default: auditor.yaml here.")
]
Label = Annotated[str | None, typer.Option(help="The label column; else it is inferred.")]
Role = Annotated[
    list[str] | None, typer.Option("--role", help="ROLE=COLUMN[,COLUMN]; may be repeated.")
]
BaselineDir = Annotated[Path | None, typer.Option("--baseline", help="Folder of a baseline.")]
Suite = Annotated[
    Path | None, typer.Option("--expectations", help="Great Expectations suite (JSON).")
]
Manifest = Annotated[
    Path | None,
    typer.Option("--manifest", help="Signed manifest; else NAME.manifest.dsse.json beside DATA."),
]
Format = Annotated[Form, typer.Option("--format", help="What is printed on stdout.")]
Output = Annotated[
    list[str] | None,
    typer.Option("-o", "--output", help="FORMAT=PATH: html, md, json, sarif, junit, text."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
NoSamples = Annotated[bool, typer.Option("--no-samples", help="Leave cell values out of reports.")]
Open = Annotated[bool, typer.Option("--open", help="Open the HTML report in a browser.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(audit)
    app.command()(gate)
    app.command()(demo)


def audit(
    data: Data,
    config: Config = None,
    label: Label = None,
    role: Role = None,
    baseline: BaselineDir = None,
    expectations: Suite = None,
    manifest: Manifest = None,
    fail_on: Annotated[
        FailOn, typer.Option(help="`quarantine`: exit 10 when rows would be set aside.")
    ] = FailOn.REJECT,
    profile: Scope = None,
    form: Format = Form.RICH,
    output: Output = None,
    no_samples: NoSamples = False,
    quiet: Quiet = False,
    open_report: Open = False,
) -> None:
    """Audit files and report. Needs nothing but the data; publishes nothing.

    Exit 0 for ACCEPT and QUARANTINE (10 with --fail-on quarantine), 11 REJECT, 12 HOLD.
    """
    from auditor.model import Mode, Verdict

    outputs = parse_outputs(output or [])
    settings = _settings(config, label, role, baseline, expectations, no_samples)
    if profile in (Profile.STANDARD, Profile.DEEP):
        settings = settings.model_copy(update={"profile": str(profile)})
    result = _run(data, settings, Mode.AUDIT, manifest, quiet, profile)
    _tell(result, form, outputs, open_report, samples=settings.outputs.samples)
    codes = {Verdict.REJECT: Exit.REJECT, Verdict.HOLD: Exit.HOLD}
    if fail_on == FailOn.QUARANTINE:
        codes[Verdict.QUARANTINE] = Exit.QUARANTINE
    raise typer.Exit(codes.get(result.verdict, Exit.OK))


def gate(
    data: Data,
    config: Config = None,
    baseline: BaselineDir = None,
    manifest: Manifest = None,
    observe: Annotated[
        bool, typer.Option("--observe", help="Run everything, block and publish nothing, exit 0.")
    ] = False,
    form: Format = Form.RICH,
    output: Output = None,
    no_samples: NoSamples = False,
    quiet: Quiet = False,
    open_report: Open = False,
) -> None:
    """Audit by the policy in auditor.yaml; publish the clean split, sign and log the verdict.

    Exit 0 ACCEPT, 10 QUARANTINE (0 with gate.fail_on: reject), 11 REJECT, 12 HOLD.
    """
    from auditor.errors import ConfigError
    from auditor.model import Mode, Verdict

    if config is None and not Path("auditor.yaml").is_file():
        raise ConfigError("no auditor.yaml here; `auditor init DATA` writes one, or use --config")
    outputs = parse_outputs(output or [])
    settings = _settings(config, None, None, baseline, None, no_samples, strict=True)
    result = _run(data, settings, Mode.OBSERVE if observe else Mode.GATE, manifest, quiet)
    _tell(result, form, outputs, open_report, samples=settings.outputs.samples)
    codes = {
        Verdict.ACCEPT: Exit.OK,
        Verdict.QUARANTINE: Exit.OK if settings.gate.fail_on == "reject" else Exit.QUARANTINE,
        Verdict.REJECT: Exit.REJECT,
        Verdict.HOLD: Exit.HOLD,
    }
    raise typer.Exit(Exit.OK if observe else codes[result.verdict])


def demo(
    attack: Annotated[
        list[str] | None, typer.Option("--attack", help="Plant only this; may be repeated.")
    ] = None,
    directory: Annotated[
        Path | None, typer.Option(help="Where to work; default: a new temporary folder.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Which rows are poisoned.")] = 7,
    quiet: Quiet = False,
    open_report: Open = False,
) -> None:
    """Poison bundled real data, gate it, and show what was found. Offline, under a minute."""
    from auditor.demo import run_demo

    outcome = run_demo(directory=directory, attacks=attack, seed=seed, progress=progress(quiet))
    end_progress(quiet)
    typer.echo(outcome.text, nl=False)
    if open_report:
        webbrowser.open(outcome.report.as_uri())
    raise typer.Exit(Exit.OK if outcome.as_expected else Exit.INTERNAL)


def _settings(
    config: Path | None,
    label: str | None,
    role: list[str] | None,
    baseline: Path | None,
    expectations: Path | None,
    no_samples: bool,
    *,
    strict: bool = False,
) -> Settings:
    settings = load_settings(config, strict=strict)
    changes: dict[str, Any] = {}
    roles = parse_roles(label, role or [])
    if roles:
        changes["roles"] = dict(settings.roles) | roles
    if baseline:
        changes["baseline"] = baseline
    if expectations:
        changes["expectations"] = expectations
    if no_samples:
        changes["outputs"] = settings.outputs.model_copy(update={"samples": False})
    return settings.model_copy(update=changes)


def _run(
    data: list[str],
    settings: Settings,
    mode: Any,
    manifest: Path | None,
    quiet: bool,
    profile: Profile | None = None,
) -> Result:
    from auditor.cli.common import keep_pandas_out
    from auditor.errors import ConfigError

    if settings.expectations is None or profile == Profile.QUICK:
        keep_pandas_out()
    from auditor.detectors import DETECTORS
    from auditor.detectors.hidden_text import HiddenText
    from auditor.detectors.known_bad import KnownBad
    from auditor.detectors.near_duplicates import NearDuplicates
    from auditor.model import Family
    from auditor.pipeline import audit as run_audit
    from auditor.readers import resolve
    from auditor.run import Job

    if manifest is not None and not manifest.is_file():
        raise ConfigError(f"{manifest}: no such manifest")
    fast = {HiddenText.rule.id, KnownBad.rule.id}
    # Near duplicates are searched with scikit-learn: its import alone takes the second.
    slow = NearDuplicates.rule.id
    light = tuple(
        d
        for d in DETECTORS
        if (d.rule.family == Family.DUPLICATION and d.rule.id != slow) or d.rule.id in fast
    )
    name = settings.name if settings.name != "batch" else Path(data[0]).name or data[0]
    job = Job(
        settings=settings,
        mode=mode,
        sources=resolve(data),
        name=name,
        manifest=manifest,
        detectors=light if profile == Profile.QUICK else None,
        progress=progress(quiet),
    )
    try:
        return run_audit(job)
    finally:
        end_progress(quiet)


def _tell(
    result: Result,
    form: Form,
    outputs: list[tuple[str, Path]],
    open_report: bool,
    *,
    samples: bool,
) -> None:
    show(result.report, form, result.folder, samples=samples)
    for note in result.notes:
        typer.echo(f"auditor: {note}", err=True)
    write_outputs(result.report, outputs, samples=samples)
    if open_report:
        webbrowser.open((result.folder / "report.html").resolve().as_uri())
