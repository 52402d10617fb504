"""From a file and the environment to `Settings`."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from auditor.config import rules, yaml
from auditor.config.complaint import Document, Place, at, error
from auditor.config.environment import override
from auditor.config.fields import FOLDER, MUST_EXIST
from auditor.config.settings import Settings
from auditor.config.validate import validate
from auditor.errors import ConfigError, TrustError

MAX_BYTES: Final = 1024 * 1024


def load(
    path: Path | None,
    environ: Mapping[str, str],
    *,
    strict_permissions: bool,
    files_must_exist: bool = True,
    detectors: rules.Detectors | None = None,
) -> Settings:
    """The settings in force: defaults, then the file, then `AUDITOR__...` of the environment.

    Relative paths start from the file's folder, without a file from the working directory.
    `strict_permissions` (the gate) refuses a file that group or others may write.
    `files_must_exist=False` is for commands that make what the settings name. `detectors`
    defaults to those of this version.

    Raises `ConfigError` that names file, line and column of every mistake, and `TrustError` for
    the permissions.
    """
    detectors = rules.installed() if detectors is None else detectors
    document = Document("settings", None)
    if path is not None:
        document = yaml.read(_text(path, strict_permissions), str(path))
    document = override(document, environ, tuple(d.rule.id for d in detectors))
    folder = (path.parent if path is not None else Path()).absolute()
    settings = validate(document.value, {FOLDER: folder, MUST_EXIST: files_must_exist})
    if not isinstance(settings, Settings):
        raise error(document, settings)
    found = rules.complaints(settings, detectors)
    if found:
        raise error(document, found)
    return settings


def _text(path: Path, strict_permissions: bool) -> str:
    content = _content(path, strict_permissions)
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path}: more than {MAX_BYTES} bytes; settings are not so long")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        before = content[: wrong.start].decode("utf-8", "replace").split("\n")
        place = Place(len(before), len(before[-1]) + 1)
        raise ConfigError(at(Document(str(path), None), place, "not UTF-8 text")) from wrong


def _content(path: Path, strict_permissions: bool) -> bytes:
    try:
        # O_NONBLOCK: a pipe with nobody at its other end must not make us wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as missing:
        raise ConfigError(f"{path}: no such file; `auditor init DATA` writes one") from missing
    except (OSError, ValueError) as refused:  # ValueError: a NUL in the name
        raise ConfigError(f"{path}: cannot be read ({refused})") from refused
    try:
        _refuse_unfit(path, os.fstat(descriptor), strict_permissions)
        return _read(descriptor)
    finally:
        os.close(descriptor)


def _refuse_unfit(path: Path, found: os.stat_result, strict_permissions: bool) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"{path}: not a file")
    if strict_permissions and found.st_mode & 0o022:
        mode = stat.S_IMODE(found.st_mode)
        raise TrustError(
            f"{path}: others may change these settings (mode {mode:04o}), and with them what is "
            f"let in; `chmod go-w {path}`"
        )


def _read(descriptor: int) -> bytes:
    content = b""
    while len(content) <= MAX_BYTES and (more := os.read(descriptor, MAX_BYTES + 1)):
        content += more
    return content
