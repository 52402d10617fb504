"""Plain values -> `Settings`, or what is wrong with them in words of our own."""

from __future__ import annotations

import difflib
import inspect
import json
import pathlib
from collections.abc import Iterable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from auditor.config.complaint import Complaint, Path
from auditor.config.settings import Section, Settings

_WANTED: Final = {
    "bool_type": "true or false",
    "dataclass_type": "settings (name: value)",
    "dict_type": "settings (name: value)",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_type": "settings (name: value)",
    "path_type": "a path",
    "string_type": "text",
    "tuple_type": "a list",
}
_BOUNDS: Final = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}


def validate(value: object, context: Mapping[str, object]) -> Settings | list[Complaint]:
    """The settings, or every complaint there is. `value` is not changed."""
    if value is None:
        value = {}
    if not isinstance(value, dict):
        return [Complaint((), f"must be settings (name: value), not {shown(value)}")]
    try:
        # Strict JSON: lists become tuples and text becomes paths, but "1" stays no number.
        return Settings.model_validate_json(json.dumps(_with_sections(value)), context=context)
    except ValidationError as error:
        return [complaint(each) for each in error.errors(include_url=False)]


def kind_at(path: Path) -> Any:
    """The type of the setting at a path, without None and annotations; None where there is none."""
    kind: Any = Settings
    for part in path:
        if inspect.isclass(kind) and issubclass(kind, BaseModel):
            found = kind.model_fields.get(str(part))
            kind = _bare(found.annotation) if found else None
        elif get_origin(kind) is dict:
            kind = _bare(get_args(kind)[1])
        else:
            return None
    return kind


def names_at(path: Path) -> tuple[str, ...]:
    """The names that may be written below a path; empty where any name may."""
    kind = kind_at(path)
    if inspect.isclass(kind) and issubclass(kind, BaseModel):
        return tuple(kind.model_fields)
    return ()


def takes_text(path: Path) -> bool:
    """Whether the setting is text or a path as a whole, so that "2026" needs no quotes."""
    return kind_at(path) in {str, pathlib.Path}


def complaint(error: ErrorDetails, below: Path = ()) -> Complaint:
    """One of pydantic's errors in our words."""
    path, at_name = (*below, *error["loc"]), False
    if path and path[-1] == "[key]":
        path, at_name = path[:-1], True
    if error["type"] == "extra_forbidden":
        return Complaint(path, unknown(str(path[-1]), names_at(path[:-1])), at_name=True)
    return Complaint(path, _text(error), at_name=at_name)


def unknown(name: str, known: Iterable[str], what: str = "a setting") -> str:
    """That a name is none of the known ones, and which it may have been meant to be."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"not {what}; did you mean {near[0]}?"
    return f"not {what}; known are {', '.join(names)}" if names else f"not {what}"


def shown(value: object) -> str:
    """A value as it may be printed: one short line."""
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _with_sections(value: dict[str, Any]) -> dict[str, Any]:
    """The same with every section there: an empty `gate:` means its defaults.

    Defaults have to be validated with the context as well, or their paths would stay relative.
    """
    found = dict(value)
    for name, info in Settings.model_fields.items():
        kind = info.annotation
        section = inspect.isclass(kind) and issubclass(kind, Section)
        if found.get(name) is None and (section or get_origin(kind) is dict):
            found[name] = {}
    return found


def _text(error: ErrorDetails) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    given = shown(error["input"])
    if kind in {"literal_error", "enum"}:
        return f"must be {context['expected'].replace(chr(39), '')}, not {given}"
    if kind in _WANTED:
        number = isinstance(error["input"], int | float) and not isinstance(error["input"], bool)
        hint = "; write it in quotes" if kind == "string_type" and number else ""
        return f"must be {_WANTED[kind]}, not {given}{hint}"
    for bound, words in _BOUNDS.items():
        if bound in context:
            return f"must be {words} {context[bound]:g}, not {given}"
    return f"{error['msg'][0].lower()}{error['msg'][1:]}"


def _bare(kind: Any) -> Any:
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in {Union, UnionType}:
        others = [each for each in get_args(kind) if each is not NoneType]
        return _bare(others[0]) if len(others) == 1 else kind
    return kind
