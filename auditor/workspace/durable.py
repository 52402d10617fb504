"""Writing so that a power cut leaves the old state or the new one."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from auditor.private_file import fsync_folder


def fsync_tree(root: Path) -> None:
    """Make every file and every name below `root` durable, and `root` itself."""
    for folder, _, files in os.walk(root, topdown=False):
        for name in files:
            _fsync_file(Path(folder, name))
        fsync_folder(Path(folder))


def write_durably(path: Path, content: bytes, mode: int | None = None) -> None:
    """Write a file that is either absent, the old one, or whole."""
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        if mode is not None:
            os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
    fresh.replace(path)
    fsync_folder(path.parent)


def move(source: Path, target: Path) -> None:
    """Rename on one file system, and make that durable on both sides.

    Raises OSError: ENOTEMPTY or EEXIST where `target` is a folder with something in it.
    """
    source.rename(target)
    fsync_folder(target.parent)
    fsync_folder(source.parent)


def remove_tree(path: Path) -> None:
    """Remove a folder with what is in it; one that is not there is fine.

    It loses its name first. A crash in between must not leave a part of it there: that would look
    like other files than those that were staged.
    """
    gone = path.with_name(f".{path.name}.gone")
    with contextlib.suppress(FileNotFoundError):  # of an earlier crash
        shutil.rmtree(gone)
    try:
        path.rename(gone)
        shutil.rmtree(gone)
    except FileNotFoundError:
        return
    fsync_folder(path.parent)


def _fsync_file(path: Path) -> None:
    # O_NOFOLLOW: a link that strayed into staging must not lead us elsewhere.
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
