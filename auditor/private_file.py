"""Secrets in files of their own: made once at first use, for the owner alone."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from auditor.errors import TrustError

_MAX_BYTES: Final = 64 * 1024


def read_or_make(path: Path, make: Callable[[], bytes], what: str) -> bytes:
    """The file's bytes, made where there is none; of several makers one wins, all get its bytes.

    `what` names the secret in messages, such as "the site key". Raises `TrustError` as `read`.
    """
    try:
        return read(path, what)
    except FileNotFoundError:
        _make(path, make())
        return read(path, what)


def replace(path: Path, content: bytes) -> None:
    """Write the file anew; it is absent, the old one, or whole, and for the owner alone."""
    fresh = _fresh(path, content)
    fresh.replace(path)
    fsync_folder(path.parent)


def read(path: Path, what: str) -> bytes:
    """The file's bytes, judged on the opened file.

    Raises FileNotFoundError, and `TrustError` for a file that others may read or write, that is
    not ours, or not a plain file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise TrustError(f"{path}: {what} cannot be read ({error.strerror})") from error
    try:
        _refuse_exposed(path, os.fstat(descriptor), what)
        return os.read(descriptor, _MAX_BYTES)
    finally:
        os.close(descriptor)


def fsync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _refuse_exposed(path: Path, found: os.stat_result, what: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise TrustError(f"{path}: {what} must be a plain file")
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise TrustError(
            f"{path}: others may use {what} (mode {mode:04o}); it is a secret: "
            f"`chmod 600 {path}`, and replace it if it was exposed"
        )
    if found.st_uid not in {os.geteuid(), 0}:
        raise TrustError(f"{path}: {what} belongs to another user (uid {found.st_uid})")


def _make(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = _fresh(path, content)
    try:
        # Linking, unlike renaming, never replaces the secret of somebody who was faster.
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
    fsync_folder(path.parent)


def _fresh(path: Path, content: bytes) -> Path:
    """The content, durable, in a file beside the path under a name that nobody else has."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    return fresh
