"""Opens a file that a stranger may have put there: no link, no FIFO that hangs, bounded."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import Final

#: Not blocking, so that opening a FIFO does not hang.
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_plain(path: Path) -> BufferedReader:
    """Open a regular file; judged on what was opened, so that nothing can be put in its place.

    Raises:
        OSError: ELOOP for a symbolic link, ENXIO for a folder, FIFO, device or socket, ENOENT
            where it is not there, EACCES without permission.
    """
    return os.fdopen(descriptor_of(path), "rb")


def read_plain(path: Path, most: int) -> bytes:
    """The file's bytes; of one that is longer than `most` bytes, `most + 1` of them.

    One byte too many is how the reader of the format sees that it is too long. Raises OSError as
    `open_plain` does.
    """
    with open_plain(path) as file:
        return file.read(most + 1)


def descriptor_of(name: str | Path, folder: int | None = None) -> int:
    """A descriptor of a regular file, below the folder of a descriptor where one is given.

    Raises OSError as `open_plain` does.
    """
    # Looked at before it is opened: opening a device can have effects of its own.
    _require_plain(os.stat(name, dir_fd=folder, follow_symlinks=False), name)
    descriptor = os.open(name, _FLAGS, dir_fd=folder)
    try:
        _require_plain(os.fstat(descriptor), name)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _require_plain(found: os.stat_result, name: str | Path) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, "a symbolic link", str(name))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.ENXIO, "not a regular file", str(name))
