"""What is wrong with this installation, and the command that mends it.

Runs on the base install. The comparisons are pure functions over a mapping of installed versions;
only `diagnose` and the functions it names `*_here` look at the machine.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from auditor.errors import TrustError

PYTHON_WANTED: Final = (3, 11)
#: Seconds that the trial of the sandbox may take before it counts as refused.
_SANDBOX_PATIENCE: Final = 30
_PIP: Final = "python -m pip install"


class Health(StrEnum):
    """How bad it is. A NOTE names something that is optional and not there."""

    OK = "ok"
    NOTE = "note"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """One thing looked at. `mend` is empty exactly where the health is OK."""

    name: str
    health: Health
    found: str
    wanted: str
    mend: str = ""

    @property
    def ok(self) -> bool:
        """False only for what keeps `auditor` from working."""
        return self.health is not Health.BROKEN


@dataclass(frozen=True, slots=True)
class Pin:
    """The versions of one package that work: `least` <= version < `below`, and why not others."""

    least: str
    below: str = ""
    why: str = ""

    def __str__(self) -> str:
        """As pip takes it: `>=1.24,<1.25`."""
        return f">={self.least}" + (f",<{self.below}" if self.below else "")

    def admits(self, version: str) -> bool:
        """Whether `version` is inside. A pre-release counts as its release."""
        release = _release(version)
        inside = release >= _release(self.least)
        return inside and (not self.below or release < _release(self.below))


#: Extra -> package -> versions. The same as in pyproject.toml, which a test compares.
PINS: Final[Mapping[str, Mapping[str, Pin]]] = {
    "base": {
        "cryptography": Pin("43"),
        "pyarrow": Pin("18"),
        "rfc8785": Pin("0.1.4"),
        "rich": Pin("13.8"),
        "typer": Pin("0.15"),
    },
    "audit": {
        "cleanlab": Pin("2.7", "3"),
        "great-expectations": Pin("1.24", "1.25", "suites are read against this version's rules"),
        "numpy": Pin("2"),
        "pandas": Pin("2.2"),
        "pydantic": Pin("2.8"),
        "pyod": Pin("3.6", "3.7", "scores of other versions were not compared with a baseline's"),
        "ruamel.yaml": Pin("0.18"),
        "scikit-learn": Pin("1.5"),
        "scipy": Pin("1.13"),
    },
    "flows": {
        "fastapi": Pin("0.139", "0.151", "Prefect 3.8.8 cannot run a flow with newer ones"),
        "prefect": Pin("3.8.8", "4", "the flows were tried with these"),
        "sqlalchemy": Pin("2.0.36", "2.1", "Prefect's scheduler never runs a flow with 2.1"),
    },
}


def diagnose(workspace: Path = Path(".auditor")) -> tuple[Diagnosis, ...]:
    """Look at everything. `workspace` is the folder of runs, ledger and site key."""
    return (
        python_version((sys.version_info.major, sys.version_info.minor)),
        *packages(versions_here()),
        sandbox(sandbox_here()),
        workspace_here(workspace),
        site_key_here(workspace / "site.key"),
    )


def healthy(diagnoses: Iterable[Diagnosis]) -> bool:
    """Whether nothing is broken. Raises `ValueError` for no diagnosis at all."""
    looked_at = tuple(diagnoses)
    if not looked_at:
        raise ValueError("nothing was looked at: that is not healthy")
    return all(diagnosis.ok for diagnosis in looked_at)


def python_version(found: tuple[int, int]) -> Diagnosis:
    """Compare the running Python (major, minor) with the oldest one that works."""
    wanted = ".".join(map(str, PYTHON_WANTED))
    good = found >= PYTHON_WANTED
    return Diagnosis(
        name="python",
        health=Health.OK if good else Health.BROKEN,
        found=".".join(map(str, found)),
        wanted=f">={wanted}",
        mend="" if good else f"python{wanted} -m venv .venv",
    )


def packages(installed: Mapping[str, str]) -> Iterator[Diagnosis]:
    """Compare installed versions (package name -> version) with `PINS`, extra by extra.

    An extra of which a package is missing is one NOTE (BROKEN for the base): its other versions
    do not matter until it is whole, and installing it puts them right.
    """
    for extra, pins in PINS.items():
        missing = [name for name in pins if name not in installed]
        yield _extra(extra, missing)
        if not missing or extra == "base":
            present = [name for name in pins if name in installed]
            yield from (_package(name, pins[name], installed[name]) for name in present)


def sandbox(level: str) -> Diagnosis:
    """Judge how far the process that parses batches can be shut in: see `sandbox_here`."""
    wanted = "no network, no files"
    good = level == wanted
    return Diagnosis(
        name="sandbox",
        health=Health.OK if good else Health.NOTE,
        found=level,
        wanted=wanted,
        mend=""
        if good
        else "allow unprivileged user namespaces (sysctl user.max_user_namespaces, the container's "
        "seccomp profile); until then reports say `sandbox: limits only`",
    )


def versions_here() -> dict[str, str]:
    """The installed version of every package of `PINS` that is installed."""
    found: dict[str, str] = {}
    for name in (name for pins in PINS.values() for name in pins):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


#: The sandbox's own functions, in a process of its own: they cannot be undone. By path, because
#: importing the package starts threads, and a process with threads gets no user namespace.
_TRIAL: Final = """
import os, runpy, sys
sandbox = runpy.run_path(sys.argv[1], run_name="trial")
empty = os.open(sys.argv[2], os.O_RDONLY | os.O_DIRECTORY)
network = sandbox["without_network"]()
files = sandbox["without_files"](empty)
print("no network, no files" if network and files else "no network" if network else "limits only")
"""


def sandbox_here() -> str:
    """Try it: `no network, no files`, `no network` or `limits only`."""
    script = Path(__file__).with_name("readers") / "sandbox.py"
    with tempfile.TemporaryDirectory() as empty:
        command = [sys.executable, "-I", "-c", _TRIAL, str(script), empty]
        try:
            trial = subprocess.run(
                command, capture_output=True, text=True, timeout=_SANDBOX_PATIENCE, check=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            return f"cannot be tried ({type(error).__name__})"
    return trial.stdout.strip()


def workspace_here(folder: Path) -> Diagnosis:
    """Whether files can be made in `folder`, or where it will be made."""
    nearest = folder.absolute()
    refused = ""
    try:
        while not nearest.exists():
            nearest = nearest.parent
        with tempfile.TemporaryFile(dir=nearest) as trial:
            trial.write(b"\0")
    except OSError as error:
        refused = f"{nearest}: {error.strerror}"
    return Diagnosis(
        name="workspace",
        health=Health.BROKEN if refused else Health.OK,
        found=refused or f"{folder} can be written",
        wanted="a folder that this user may write",
        mend=f"mkdir -p {folder} && chown {os.geteuid()} {folder}, or name another one"
        if refused
        else "",
    )


def site_key_here(path: Path) -> Diagnosis:
    """Whether the site's key is a secret. None is fine: the first run makes it."""
    wanted = "a plain file of 32 bytes, mode 0600"
    if not (path.is_symlink() or path.exists()):
        return Diagnosis(
            name="site key",
            health=Health.OK,
            found="none yet, the first run makes it",
            wanted=wanted,
        )
    from auditor.workspace.sitekey import site_key

    try:
        site_key(path)
    except TrustError as error:
        return Diagnosis(
            name="site key",
            health=Health.BROKEN,
            found=str(error),
            wanted=wanted,
            mend=f"chown {os.geteuid()} {path} && chmod 600 {path}; replace a key that was exposed",
        )
    return Diagnosis(name="site key", health=Health.OK, found=str(path), wanted=wanted)


def _extra(extra: str, missing: list[str]) -> Diagnosis:
    target = "auditor" if extra == "base" else f"auditor[{extra}]"
    absent = Health.BROKEN if extra == "base" else Health.NOTE
    return Diagnosis(
        name=target,
        health=absent if missing else Health.OK,
        found=f"missing {', '.join(missing)}" if missing else "installed",
        wanted="installed",
        mend=f"{_PIP} '{target}'" if missing else "",
    )


def _package(name: str, pin: Pin, version: str) -> Diagnosis:
    good = pin.admits(version)
    return Diagnosis(
        name=name,
        health=Health.OK if good else Health.BROKEN,
        found=version,
        wanted=f"{pin} ({pin.why})" if pin.why and not good else str(pin),
        mend="" if good else f"{_PIP} '{name}{pin}'",
    )


def _release(version: str) -> tuple[int, ...]:
    """`2.1.0b1` -> (2, 1): numbers only, trailing zeros off, so that 2.1 and 2.1.0 are equal."""
    numbers = re.match(r"(?:\d+!)?(\d+(?:\.\d+)*)", version)
    parts = [int(part) for part in numbers.group(1).split(".")] if numbers else []
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)
