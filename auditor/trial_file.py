"""Trials in a file as JSON Lines, each written as soon as it is known, so that work can go on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final

from auditor.curves import Tried
from auditor.errors import ConfigError

VERSION: Final = 1
_NAMES: Final = {field.name for field in fields(Tried)}


class TrialFile:
    """The trials of one subject: `digest` names data and configuration. The first line says so."""

    def __init__(self, path: Path, digest: str) -> None:
        """Read what is there, or begin.

        Raises:
            ConfigError: the file holds trials of another subject, or is none of ours.
        """
        self._path = path
        self.tried: list[Tried] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        head = {"version": VERSION, "digest": digest}
        if not path.exists() or not path.stat().st_size:
            self._append(head)
            return
        *lines, rest = path.read_bytes().split(b"\n")
        if rest:  # the last write was cut off; what it held is tried again
            path.write_bytes(b"".join(line + b"\n" for line in lines))
        if not lines:
            self._append(head)
            return
        if self._parsed(lines[0], 1) != head:
            raise ConfigError(
                f"{path}: holds trials of other data or another configuration; "
                "name another folder with --out, or remove this one"
            )
        self.tried = [self._read(line, at) for at, line in enumerate(lines[1:], 2)]

    def add(self, tried: Tried) -> None:
        """Keep one trial."""
        self._append(asdict(tried))
        self.tried.append(tried)

    def _append(self, value: Mapping[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(value, allow_nan=False) + "\n")

    def _parsed(self, line: bytes, at: int) -> Any:
        try:
            return json.loads(line)
        except ValueError as error:
            raise ConfigError(f"{self._path}:{at}: not a trial ({error}); remove it") from error

    def _read(self, line: bytes, at: int) -> Tried:
        value = self._parsed(line, at)
        if not isinstance(value, dict) or set(value) != _NAMES:
            raise ConfigError(f"{self._path}:{at}: not a trial; remove the file")
        return Tried(**(value | {"failed": tuple(value["failed"])}))
