"""Print the part of requirements.lock that an extra or a package needs, with its hashes.

    python .ci/lock_subset.py base          # what `pip install auditor` needs
    python .ci/lock_subset.py audit         # what `auditor[audit]` needs
    python .ci/lock_subset.py hatchling     # one package of the lock and what it needs

There is one lock. Its `# via` comments name who needs each package, so a part of it can be cut out
without asking a registry, and `pip install --require-hashes` proves that nothing is missing.
Runs on the standard library alone: it is used before anything is installed.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Pin:
    """One package of the lock: its lines as they stand, and who needs it."""

    name: str
    lines: tuple[str, ...]
    needed_by: frozenset[str]


def normal(name: str) -> str:
    """A project name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def name_of(requirement: str) -> str:
    """The project name in front of a version, extra or marker."""
    return normal(re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0])


def read_lock(text: str) -> dict[str, Pin]:
    """Name -> pin, in the order of the file. Raises `ValueError` for a pin without a hash."""
    blocks = re.split(r"(?m)^(?=[A-Za-z0-9])", text)
    pins = {pin.name: pin for pin in map(_pin, blocks[1:])}
    bare = [pin.name for pin in pins.values() if not any("--hash=" in line for line in pin.lines)]
    if bare:
        raise ValueError(f"no hash in the lock for {', '.join(bare)}")
    return pins


def _pin(block: str) -> Pin:
    lines = block.rstrip().splitlines()
    comments = (line.strip().lstrip("# ").removeprefix("via") for line in lines if "#" in line)
    needed_by = frozenset(name_of(comment.strip()) for comment in comments if comment.strip())
    return Pin(name_of(lines[0]), tuple(lines), needed_by)


def direct(wanted: str, project: Mapping[str, object]) -> Iterator[str]:
    """The names that `base` or an extra asks for, following `auditor[extra]` inside an extra."""
    table = project["project"]
    assert isinstance(table, dict)
    own, extras = normal(table["name"]), table["optional-dependencies"]
    yield from map(name_of, table["dependencies"])
    for requirement in extras.get(wanted, ()):
        if name_of(requirement) == own:
            for extra in requirement.partition("[")[2].rstrip("]").split(","):
                yield from direct(extra, project)
        else:
            yield name_of(requirement)


def closure(start: set[str], pins: Mapping[str, Pin]) -> list[Pin]:
    """Everything that `start` needs, directly or not, in the order of the lock."""
    missing = start - pins.keys()
    if missing:
        raise ValueError(f"not in the lock: {', '.join(sorted(missing))}; run `make lock`")
    taken, before = set(start), -1
    while len(taken) != before:
        before = len(taken)
        taken |= {pin.name for pin in pins.values() if pin.needed_by & taken}
    return [pin for pin in pins.values() if pin.name in taken]


def main(arguments: list[str]) -> int:
    """Print the pins for every argument: `base`, an extra, or a package in the lock."""
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pins = read_lock((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    known = {"base", *project["project"]["optional-dependencies"]}
    start: set[str] = set()
    for wanted in arguments:
        start |= set(direct(wanted, project)) if wanted in known else {normal(wanted)}
    try:
        chosen = closure(start, pins)
    except ValueError as error:
        print(f"lock_subset: {error}", file=sys.stderr)
        return 2
    for pin in chosen:
        print("\n".join(pin.lines))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
