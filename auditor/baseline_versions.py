"""Versions of a baseline in one folder: each is immutable, `current` names the one that counts.

    baseline/                 the first version, as it was built
    baseline/versions/<id>/   every version, the first too; <id>: the start of its digest
    baseline/current          the digest of the version that audits use
    baseline/reasons/<sha256>.txt   why somebody changed what is trusted

Files of a part that a new version takes over are hard links where the file system has them.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from auditor.baseline import Baseline
from auditor.baseline_files import (
    CURRENT,
    VERSIONS,
    current,
    digest_of,
    read_plain,
    stage,
    version_folder,
)
from auditor.errors import BaselineError
from auditor.workspace.durable import fsync_tree, move, remove_tree, write_durably

REASONS: Final = "reasons"


@contextlib.contextmanager
def changing(folder: Path) -> Iterator[None]:
    """Hold the baseline's lock: one process at a time changes what is trusted.

    Raises:
        BaselineError: there is no such folder, or somebody else holds the lock.
    """
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise BaselineError(
            f"{folder}: cannot be opened ({error.strerror}); "
            "make a baseline with `auditor baseline build DATA`"
        ) from error
    try:
        _lock(opened, folder)
        for left in (folder / VERSIONS).glob(".*"):  # of a process that was killed
            remove_tree(left)
        yield
    finally:
        os.close(opened)


def _lock(opened: int, folder: Path) -> None:
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BaselineError(
            f"{folder}: another process is changing it; wait for that one"
        ) from None


def add_version(
    folder: Path, new: Baseline, reason: str | None, record: Callable[[], object]
) -> Path:
    """Make `new` the version that counts; the caller holds the lock. Returns its folder.

    Everything is on disk before `record` writes the ledger, and nobody reads it before that: a
    process that is killed leaves the old version in force, at worst with an entry that says more.
    """
    _keep_first(folder)
    target = version_folder(folder, new.digest)
    staging = target.with_name(f".{target.name}")
    there = target.exists()
    if there and read_plain(target).digest != new.digest:
        raise BaselineError(f"{target}: holds another version than its name says; remove it")
    if not there:
        fsync_tree(stage(new, staging))
    try:
        if reason is not None:
            _keep_reason(folder, reason)
        record()
    except BaseException:
        remove_tree(staging)
        raise
    if not there:
        move(staging, target)
    write_durably(folder / CURRENT, f"{new.digest}\n".encode())
    return target


def versions(folder: Path) -> list[tuple[Path, str]]:
    """Folder and digest of every version that is kept; only their headers are read."""
    kept = [path for path in (folder / VERSIONS).glob("*") if not path.name.startswith(".")]
    return [(path, digest_of(path)) for path in (kept or [folder])]


def known_digests(folder: Path) -> set[str]:
    """The digests of all versions that are kept."""
    return {digest for _, digest in versions(folder)}


def reason_sha256(reason: str) -> str:
    """What the ledger says of a reason: it keeps no free text."""
    return hashlib.sha256(reason.encode()).hexdigest()


def _keep_first(folder: Path) -> None:
    """Give the first version a place among the others, so that it can be named and compared."""
    if current(folder) != folder:
        return
    first = read_plain(folder)
    target = version_folder(folder, first.digest)
    if target.exists():
        return
    target.parent.mkdir(exist_ok=True)
    staging = stage(first, target.with_name(f".{target.name}"))
    fsync_tree(staging)
    move(staging, target)


def _keep_reason(folder: Path, reason: str) -> None:
    kept = folder / REASONS / f"{reason_sha256(reason)}.txt"
    kept.parent.mkdir(mode=0o700, exist_ok=True)
    write_durably(kept, reason.encode())
