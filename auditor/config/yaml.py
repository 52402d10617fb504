"""YAML text -> plain values with their positions. Hostile text is the normal case.

Built from the parser's events rather than by a ready constructor: so each value has a place,
nesting and the growth by aliases are bounded, names are written once, and no tag makes an object.
Plain values are read as in the core schema of YAML 1.2.2 §10.3.2: `yes` and `on` are text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)
from ruamel.yaml.reader import ReaderError

from auditor.config.complaint import Document, Path, Place, at
from auditor.errors import ConfigError

MAX_DEPTH: Final = 32
#: Values in a document, those that aliases repeat counted each time.
MAX_VALUES: Final = 20_000

_BREAK: Final = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")
_INTEGER: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def read(text: str, name: str) -> Document:
    """The one document in the text; empty text is None. Raises `ConfigError` with the place."""
    document = Document(name, None, tuple(_BREAK.split(text)))
    builder = _Builder(document)
    try:
        value = builder.whole(YAML(typ="safe", pure=True).parse(text))
    except ReaderError as error:
        place = _place_of(text, error.position)
        raise ConfigError(at(document, place, "a character that YAML does not allow")) from error
    except MarkedYAMLError as error:
        raise ConfigError(_syntax(document, error)) from error
    except (YAMLError, ValueError) as error:  # ValueError: an escape that is no character
        raise ConfigError(at(document, builder.last, f"not valid YAML: {error}")) from error
    return Document(name, value, document.lines, builder.names, builder.values)


def scalar(text: str) -> object:
    """The value of a plain scalar; raises ValueError for numbers that no setting can use."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
    if _NOT_FINITE.fullmatch(text):
        raise ValueError("a number must be finite")
    if _FLOAT.fullmatch(text):
        number = float(text)
        if number in {float("inf"), float("-inf")}:
            raise ValueError("a number must be finite")
        return number
    return text


class _Builder:
    """Consumes events, remembers places. `last` is where it stood when something went wrong."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.names: dict[Path, Place] = {}
        self.values: dict[Path, Place] = {}
        self.last: Place | None = None
        self._anchors: dict[str, object] = {}
        self._count = 0

    def whole(self, events: Iterator[Any]) -> object:
        value: object = None
        seen = False
        for event in events:
            self._stand(event)
            if isinstance(event, DocumentStartEvent):
                if seen:
                    self._refuse("a second document; write one only")
                if event.version or event.tags:
                    self._refuse("directives are not supported; remove the lines that start with %")
                seen = True
                value = self._value(next(events), events, ())
            elif isinstance(event, StreamEndEvent | StreamStartEvent):
                continue
        return value

    def _value(self, event: Any, events: Iterator[Any], path: Path) -> object:
        self._stand(event)
        self._spend(1)
        self.values[path] = self.last or Place(1, 1)
        if isinstance(event, AliasEvent):
            return self._alias(event)
        if event.tag is not None and not isinstance(event, ScalarEvent):
            self._refuse("tags are not supported")
        if len(path) > MAX_DEPTH:
            self._refuse(f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, ScalarEvent):
            value = self._scalar(event)
        elif isinstance(event, SequenceStartEvent):
            value = self._sequence(events, path)
        else:
            assert isinstance(event, MappingStartEvent)  # there is no other kind of node
            value = self._mapping(events, path)
        if event.anchor is not None:
            self._anchors[event.anchor] = value
        return value

    def _scalar(self, event: ScalarEvent) -> object:
        if event.tag is not None:
            self._refuse("tags are not supported; write text in quotes")
        text: str = event.value
        if not event.implicit[0]:  # in quotes, or a block of text
            text.encode()  # raises for half of a surrogate pair
            return text
        try:
            return scalar(text)
        except ValueError as error:
            self._refuse(str(error))

    def _sequence(self, events: Iterator[Any], path: Path) -> list[object]:
        found: list[object] = []
        while not isinstance(event := next(events), SequenceEndEvent):
            found.append(self._value(event, events, (*path, len(found))))
        return found

    def _mapping(self, events: Iterator[Any], path: Path) -> dict[str, object]:
        found: dict[str, object] = {}
        while not isinstance(event := next(events), MappingEndEvent):
            self._stand(event)
            name = self._name(event)
            if name in found:
                first = self.names[(*path, name)]
                self._refuse(f"{name}: written twice, first in line {first.line}")
            self.names[(*path, name)] = self.last or Place(1, 1)
            found[name] = None  # a name is taken as soon as it is read
            found[name] = self._value(next(events), events, (*path, name))
        return found

    def _name(self, event: Any) -> str:
        self._spend(1)
        if not isinstance(event, ScalarEvent):
            self._refuse("the name of a setting must be text")
        name = self._scalar(event)
        if not isinstance(name, str):
            self._refuse(f"the name of a setting must be text; write '{event.value}' in quotes")
        if name == "<<":
            self._refuse("merging with << is not supported; write the settings out")
        return name

    def _alias(self, event: AliasEvent) -> object:
        if event.anchor not in self._anchors:
            self._refuse(f"no value is named &{event.anchor} before this")
        return self._copy(self._anchors[event.anchor])

    def _copy(self, value: object) -> object:
        """Copied, and paid for: aliases of aliases grow without bound otherwise."""
        self._spend(1)
        if isinstance(value, list):
            return [self._copy(item) for item in value]
        if isinstance(value, dict):
            return {name: self._copy(item) for name, item in value.items()}
        return value

    def _spend(self, values: int) -> None:
        self._count += values
        if self._count > MAX_VALUES:
            self._refuse(f"more than {MAX_VALUES} values")

    def _stand(self, event: Any) -> None:
        self.last = Place(event.start_mark.line + 1, event.start_mark.column + 1)

    def _refuse(self, text: str) -> NoReturn:
        raise ConfigError(at(self.document, self.last, text))


def _place_of(text: str, position: object) -> Place | None:
    if not isinstance(position, int):
        return None
    lines = _BREAK.split(text[:position])
    return Place(len(lines), len(lines[-1]) + 1)


def _syntax(document: Document, error: MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    place = Place(mark.line + 1, mark.column + 1) if mark else None
    problem = error.problem or error.context or "it cannot be read"
    if "'\\t'" in problem:
        problem = "a tab; YAML is indented with spaces"
    return at(document, place, f"not valid YAML: {problem}")
