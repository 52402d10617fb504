"""Small files that come along with a batch, opened as a stranger's: no link, no FIFO, bounded."""

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
    descriptor = os.open(path, _FLAGS)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.ENXIO, "not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_plain(path: Path, most: int) -> bytes:
    """The file's bytes; of one that is longer than `most` bytes, `most + 1` of them.

    One byte too many is how the reader of the format sees that it is too long. Raises OSError as
    `open_plain` does.
    """
    with open_plain(path) as file:
        return file.read(most + 1)
