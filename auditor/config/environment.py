"""Overrides from the environment: `AUDITOR__GATE__FAIL_ON=reject`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from auditor.config import yaml
from auditor.config.complaint import Document, Path
from auditor.config.validate import names_at, takes_text
from auditor.errors import ConfigError

PREFIX: Final = "AUDITOR__"
#: What a setting looks like that was meant to begin with `PREFIX`.
_MISSPELT: Final = re.compile(r"AUDITOR_[A-Z0-9]+(_[A-Z0-9]+)*__", re.IGNORECASE)


def override(document: Document, environ: Mapping[str, str], rules: tuple[str, ...]) -> Document:
    """The document with what the environment says instead.

    A value is written as in YAML (`true`, `3`, `[a, b]`); one that is meant to be text needs no
    quotes. `-` is written as `_` in names: `AUDITOR__DETECTORS__AUD_L001__ENABLED`. Raises
    `ConfigError`, with the variable's name for a place.
    """
    _refuse_misspelt(environ)
    value: Any = document.value
    places: dict[Path, str] = {}
    for variable in sorted(name for name in environ if name.startswith(PREFIX)):
        path = _path(variable, rules)
        said = _value(variable, path, environ[variable])
        value = _put({} if value is None else value, path, said, variable)
        places[path] = variable
    return replace(document, value=value, environment=places)


def _refuse_misspelt(environ: Mapping[str, str]) -> None:
    """A setting that nobody reads is a wish that nobody hears."""
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) and _MISSPELT.match(variable):
            meant = PREFIX + variable.split("_", 1)[1].lstrip("_").upper()
            raise ConfigError(
                f"environment {variable}: settings begin with {PREFIX}, with two underscores; "
                f"did you mean {meant}?"
            )


def _path(variable: str, rules: tuple[str, ...]) -> Path:
    path: Path = ()
    for part in variable.removeprefix(PREFIX).split("__"):
        if not part:
            raise ConfigError(f"environment {variable}: a part of the name is empty")
        known = rules if path == ("detectors",) else names_at(path)
        path = (*path, next((name for name in known if _same(name, part)), part.lower()))
    return path


def _same(name: str, part: str) -> bool:
    return name.replace("-", "_").upper() == part.upper()


def _value(variable: str, path: Path, text: str) -> object:
    if takes_text(path):
        return text
    return yaml.read(text, f"environment {variable}").value


def _put(value: Any, path: Path, said: object, variable: str) -> Any:
    if not path:
        return said
    if not isinstance(value, dict):
        raise ConfigError(f"environment {variable}: there is a value where settings should be")
    below = value.get(str(path[0]))
    below = {} if below is None and len(path) > 1 else below
    return {**value, str(path[0]): _put(below, path[1:], said, variable)}
