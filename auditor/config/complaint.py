"""What is wrong with a setting, and how it is told: `file:line:column: setting: what`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

from auditor.errors import ConfigError

#: Where a setting is: names and positions in lists, from the outside in.
Path = tuple[str | int, ...]

Found = TypeVar("Found")

_SHOWN: Final = 20
_WIDTH: Final = 100


class Place(NamedTuple):
    """Line and column, both from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Document:
    """What a file said: plain values, and where each name and each value begins.

    `environment` names the variables that said something else, by the path they set.
    """

    name: str
    value: object
    lines: tuple[str, ...] = ()
    names: Mapping[Path, Place] = field(default_factory=dict)
    values: Mapping[Path, Place] = field(default_factory=dict)
    environment: Mapping[Path, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that is wrong. `at_name`: the name is at fault, not the value behind it."""

    path: Path
    text: str
    at_name: bool = False


def error(document: Document, complaints: list[Complaint]) -> ConfigError:
    """All complaints as one exception, in the order of the file."""
    told = sorted(
        (_told(document, complaint) for complaint in complaints), key=lambda each: each[0]
    )
    texts = list(dict.fromkeys(text for _, text in told))
    if len(texts) > _SHOWN:
        texts = [*texts[:_SHOWN], f"{document.name}: and {len(texts) - _SHOWN} more"]
    return ConfigError("\n".join(texts))


def at(document: Document, place: Place | None, text: str) -> str:
    """One line that says where and what, then the line of the file and a caret below."""
    if place is None:
        return f"{document.name}: {text}"
    head = f"{document.name}:{place.line}:{place.column}: {text}"
    if not 0 < place.line <= len(document.lines):
        return head
    source = "".join(c if c.isprintable() else " " for c in document.lines[place.line - 1])
    start = max(0, place.column - 1 - _WIDTH // 2) if len(source) > _WIDTH else 0
    shown = source[start : start + _WIDTH].rstrip()
    return f"{head}\n{shown}\n{' ' * (place.column - 1 - start)}^"


def _told(document: Document, complaint: Complaint) -> tuple[Place, str]:
    dotted = ".".join(map(str, complaint.path))
    text = f"{dotted}: {complaint.text}" if dotted else complaint.text
    variable = _variable(document, complaint.path)
    if variable is not None:
        return Place(0, 0), f"environment {variable}: {text}"
    places = document.values
    if complaint.at_name and complaint.path in document.names:
        places = document.names
    place = _longest(places, complaint.path)
    return place or Place(0, 0), at(document, place, text)


def _variable(document: Document, path: Path) -> str | None:
    found = _longest(document.environment, path)
    if found is None and path not in document.names:  # the file has no such name: who made it?
        below = (v for p, v in document.environment.items() if path and p[: len(path)] == path)
        return next(below, None)
    return found


def _longest(known: Mapping[Path, Found], path: Path) -> Found | None:
    for length in range(len(path), -1, -1):
        if path[:length] in known:
            return known[path[:length]]
    return None
