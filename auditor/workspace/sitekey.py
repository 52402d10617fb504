"""The site's secret for keyed hashes and seeds: 32 random bytes, made at first use."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from auditor.errors import TrustError
from auditor.workspace.durable import fsync_folder

KEY_BYTES: Final = 32


def site_key(path: Path) -> bytes:
    """The key, made where there is none; of several makers one wins and all get its key.

    Raises `TrustError` for a file that others may read or write, that is not ours, not a plain
    file, or of another length.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        _make(path)
        return _read(path)


def _read(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise TrustError(f"{path}: the site key cannot be read ({error.strerror})") from error
    try:
        _refuse_exposed(path, os.fstat(descriptor))
        key = os.read(descriptor, KEY_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(key) != KEY_BYTES:
        raise TrustError(
            f"{path}: a site key has {KEY_BYTES} bytes, not {len(key)}; restore it from a backup "
            "(a new one makes every keyed hash of the baseline void)"
        )
    return key


def _refuse_exposed(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise TrustError(f"{path}: the site key must be a plain file")
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise TrustError(
            f"{path}: others may use the site key (mode {mode:04o}); it is a secret: "
            f"`chmod 600 {path}`, and replace it if it was exposed"
        )
    if found.st_uid not in {os.geteuid(), 0}:
        raise TrustError(f"{path}: the site key belongs to another user (uid {found.st_uid})")


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(descriptor)
        # Linking, unlike renaming, never replaces the key of somebody who was faster.
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
    fsync_folder(path.parent)
