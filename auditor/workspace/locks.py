"""The mark of a run: a file that its process keeps locked for as long as it lives.

The kernel drops the lock however the process ends, so a mark that can be locked is that of a run
that is over. Advisory locks of `flock(2)`: local file systems, not every network one.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path

from auditor.errors import ConfigError


def lock_new(path: Path) -> int:
    """Make the mark, already locked, and return its file descriptor.

    It is locked under another name first: nobody can find it unlocked. Raises `ConfigError`
    where a run of this id is there already.
    """
    while (descriptor := _linked(path)) is None:
        continue
    return descriptor


def _linked(path: Path) -> int | None:
    """The same; None where `sweep` was between making the file and locking it."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.link(fresh, path)
    except FileNotFoundError:
        os.close(descriptor)
        return None
    except FileExistsError as error:
        os.close(descriptor)
        raise ConfigError(f"{path}: there is a run of this id already; start another") from error
    except BaseException:
        os.close(descriptor)
        raise
    finally:
        fresh.unlink(missing_ok=True)
    return descriptor


def sweep(folder: Path) -> None:
    """Remove what processes left behind that died while they made a mark."""
    for fresh in folder.glob(".*.lock.*"):
        descriptor = lock_dead(fresh)
        if descriptor is not None:
            fresh.unlink(missing_ok=True)
            os.close(descriptor)


def lock_dead(path: Path) -> int | None:
    """Lock the mark of a run that is over; None where it lives, or somebody else was first."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between opening and locking, another process may have dealt with it and removed it.
        gone = os.fstat(descriptor).st_nlink == 0
    except BlockingIOError:
        gone = True
    except BaseException:
        os.close(descriptor)
        raise
    if gone:
        os.close(descriptor)
        return None
    return descriptor
