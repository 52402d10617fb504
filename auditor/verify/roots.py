"""Where published files lie: a local folder, or a root of a `pyarrow.fs` file system.

Files are opened by the names that were attested and by no others: nothing is ever listed. On a
local disk each part of a name is opened below the descriptor of the folder before it, without
following a link, so that nobody can move the path elsewhere between two steps.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from pyarrow import fs

from auditor.plain_file import descriptor_of
from auditor.provenance.digests import BLOCK
from auditor.provenance.refused import printable
from auditor.verify.refused import NotVerified

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LINK: Final = frozenset({errno.ELOOP, errno.EMLINK, errno.ENOTDIR})


class Blob(Protocol):
    """The bytes of one opened file; they may change at any moment."""

    @property
    def size(self) -> int:
        """Size in bytes, when it was opened."""
        ...

    @property
    def grain(self) -> int:
        """Bytes that are worth a request of their own, a multiple of `BLOCK`."""
        ...

    def read_into(self, offset: int, target: memoryview) -> int:
        """Copy a range; the number of bytes, fewer than asked only where the file ends.

        Several threads may do it at once. Raises OSError.
        """
        ...

    def close(self) -> None:
        """Close it."""
        ...


class Root(Protocol):
    """A place that files are opened from."""

    def open(self, name: str) -> Blob:
        """Open a file; raises `NotVerified` (FILE_MISSING, FILE_SYMLINK, FILE_TYPE, ...)."""
        ...

    def close(self) -> None:
        """Let go of the place; files that are open stay open."""
        ...


def root_at(where: str | os.PathLike[str], filesystem: fs.FileSystem | None = None) -> Root:
    """The root that a path, a URI, or a path of a file system names.

    Raises:
        NotVerified: FILE_MISSING, FILE_SYMLINK or FILE_UNREADABLE.
    """
    path = os.fspath(where)
    if filesystem is None and "://" in path:
        filesystem, path = fs.FileSystem.from_uri(path)
    while isinstance(filesystem, fs.SubTreeFileSystem):
        path = f"{filesystem.base_path.rstrip('/')}/{path.lstrip('/')}"
        filesystem = filesystem.base_fs
    if filesystem is None or isinstance(filesystem, fs.LocalFileSystem):
        return LocalRoot(Path(path))  # pyarrow's own follows links
    return ArrowRoot(filesystem, path.rstrip("/"))


class LocalRoot:
    """A folder, held open: renaming another into its place changes nothing for us."""

    def __init__(self, folder: Path) -> None:
        """Open the folder, which must not be a link."""
        self._path = folder.absolute()
        with _explained(str(folder)):
            self._descriptor = os.open(folder, _FOLDER)

    def open(self, name: str) -> Blob:
        """See `Root.open`."""
        *folders, last = name.split("/")
        with _explained(name):
            return LocalBlob(_below(self._descriptor, folders, last))

    def close(self) -> None:
        """See `Root.close`."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            self.close()

    def __reduce__(self) -> tuple[type[LocalRoot], tuple[Path]]:
        """A worker process opens the folder again: what it reads is held against the digests."""
        return LocalRoot, (self._path,)


class LocalBlob:
    """An open descriptor, taken over; read by position only, so that threads may share it."""

    #: A block is hashed while the processor's cache holds it, and while others wait for the disk.
    grain: Final = BLOCK

    def __init__(self, descriptor: int) -> None:
        """Of a regular file."""
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def read_into(self, offset: int, target: memoryview) -> int:
        """See `Blob.read_into`."""
        filled = 0
        while filled < len(target):
            count = os.preadv(self._descriptor, [target[filled:]], offset + filled)
            if not count:
                break
            filled += count
        return filled

    def close(self) -> None:
        """See `Blob.close`."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()


class ArrowRoot:
    """A root of any other file system that pyarrow knows, say an object store."""

    def __init__(self, filesystem: fs.FileSystem, base: str) -> None:
        """Remember both; nothing is opened yet."""
        self._filesystem = filesystem
        self._base = base

    def open(self, name: str) -> Blob:
        """See `Root.open`."""
        with _explained(name):
            return _ArrowBlob(self._filesystem.open_input_file(f"{self._base}/{name}"))

    def close(self) -> None:
        """See `Root.close`."""


class _ArrowBlob:
    #: A request to an object store takes as long as reading some mebibytes.
    grain: Final = 8 * BLOCK

    def __init__(self, file: Any) -> None:
        self._file = file
        self.size = int(file.size())

    def read_into(self, offset: int, target: memoryview) -> int:
        """See `Blob.read_into`."""
        found = self._file.read_at(len(target), offset)
        target[: len(found)] = found
        return len(found)

    def close(self) -> None:
        """See `Blob.close`."""
        self._file.close()


def _below(folder: int, folders: Sequence[str], last: str) -> int:
    opened: list[int] = []
    try:
        for part in folders:
            opened.append(os.open(part, _FOLDER, dir_fd=opened[-1] if opened else folder))
        return descriptor_of(last, opened[-1] if opened else folder)
    finally:
        for descriptor in opened:
            os.close(descriptor)


@contextmanager
def _explained(name: str) -> Any:
    """Say by a code what a failed open means."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotVerified("FILE_MISSING", f'There is no "{printable(name)}".') from error
    except OSError as error:
        shown = printable(name)
        if error.errno in _LINK:
            text = f'"{shown}" is a symbolic link, or lies behind one.'
            raise NotVerified("FILE_SYMLINK", text) from error
        if error.errno == errno.ENXIO:
            raise NotVerified("FILE_TYPE", f'"{shown}" is no regular file.') from error
        reason = printable(error.strerror or str(error))
        raise NotVerified("FILE_UNREADABLE", f'"{shown}": {reason}.') from error
