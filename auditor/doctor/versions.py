"""Which versions work, compared with those installed: pure functions over a mapping.

`versions_here` alone looks at the machine.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from auditor.doctor.diagnosis import Diagnosis, Health

PYTHON_WANTED: Final = (3, 11)
PIP: Final = "python -m pip install"


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


def versions_here() -> dict[str, str]:
    """The installed version of every package of `PINS` that is installed."""
    found: dict[str, str] = {}
    for name in (name for pins in PINS.values() for name in pins):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _extra(extra: str, missing: list[str]) -> Diagnosis:
    absent = Health.BROKEN if extra == "base" else Health.NOTE
    wanted = " ".join(f"'{name}{PINS[extra][name]}'" for name in missing)
    return Diagnosis(
        name="auditor" if extra == "base" else f"auditor[{extra}]",
        health=absent if missing else Health.OK,
        found=f"missing {', '.join(missing)}" if missing else "installed",
        wanted="installed",
        mend=f"{PIP} {wanted}" if missing else "",
    )


def _package(name: str, pin: Pin, version: str) -> Diagnosis:
    good = pin.admits(version)
    return Diagnosis(
        name=name,
        health=Health.OK if good else Health.BROKEN,
        found=version,
        wanted=f"{pin} ({pin.why})" if pin.why and not good else str(pin),
        mend="" if good else f"{PIP} '{name}{pin}'",
    )


def _release(version: str) -> tuple[int, ...]:
    """`2.1.0b1` -> (2, 1): numbers only, trailing zeros off, so that 2.1 and 2.1.0 are equal."""
    numbers = re.match(r"(?:\d+!)?(\d+(?:\.\d+)*)", version)
    parts = [int(part) for part in numbers.group(1).split(".")] if numbers else []
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)
