"""Copy each file of a batch once into private staging while hashing it.

Whatever happens to the original afterwards (swapped, written to, grown) has no effect: digest,
parsing and publishing all use this one copy.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from auditor.errors import BatchError
from auditor.readers.limits import MIB, Limits, Refused, plain
from auditor.readers.sources import Source, resolve

_LINK_ERRORS: Final = frozenset({errno.ELOOP, errno.EMLINK})
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Received:
    """One source after copying. `sha256` is empty where nothing was copied; `code` says why.

    `code` is FILE_CHANGED, FILE_SYMLINK, FILE_TYPE, LIMIT or empty for a good copy.
    """

    name: str
    path: Path | None
    sha256: str = ""
    size: int = 0
    code: str = ""
    message: str = ""


def receive(
    sources: Sequence[Source],
    folder: Path,
    limits: Limits,
    progress: Callable[[str], None] | None = None,
) -> tuple[Received, ...]:
    """Copy `sources` to `folder/00000`, `folder/00001`, ... (mode 0600), in order.

    Raises:
        BatchError: no permission to read a file.
        OSError: staging cannot be written (no space).
    """
    left = limits.bytes
    received = []
    for index, source in enumerate(sources):
        if progress is not None:
            progress(f"receiving {source.name}")
        one = _receive(source, folder / f"{index:05d}", left)
        left -= one.size
        received.append(one)
    return tuple(received)


def changed_listing(sources: Sequence[Source]) -> str | None:
    """The path of a file that came or went since `sources` were resolved, or None."""
    given = tuple(dict.fromkeys(source.given for source in sources if source.given))
    if not given:
        return None
    before = {source.path for source in sources}
    try:
        after = {source.path for source in resolve(given)}
    except BatchError:
        return given[0]
    odd = sorted(before ^ after, key=os.fsencode)
    return str(odd[0]) if odd else None


def sums_digest(received: Sequence[Received]) -> str:
    """sha256 of the SHA256SUMS text over all copied files: what pins the batch."""
    pairs = sorted((os.fsencode(one.name), one.sha256) for one in received if one.sha256)
    text = b"".join(digest.encode() + b"  " + name + b"\n" for name, digest in pairs)
    return hashlib.sha256(text).hexdigest()


def _receive(source: Source, target: Path, left: int) -> Received:
    try:
        with _opened(source) as descriptor:
            before = os.fstat(descriptor)
            if before.st_size > left:
                raise Refused("LIMIT", "with this file the batch is larger than allowed")
            digest, size = _copy(descriptor, target, before.st_size)
            after = os.fstat(descriptor)
    except Refused as refused:
        return Received(source.name, None, code=refused.code, message=refused.message)
    if size != before.st_size or _identity(before) != _identity(after):
        message = "the file changed while it was read"
        return Received(source.name, target, digest, size, "FILE_CHANGED", message)
    return Received(source.name, target, digest, size)


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode)


def _copy(descriptor: int, target: Path, expected: int) -> tuple[str, int]:
    """Copy at most one byte more than expected: a file that grows for ever ends here too."""
    digest, size = hashlib.sha256(), 0
    out = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        while size <= expected and (block := os.read(descriptor, min(MIB, expected + 1 - size))):
            digest.update(block)
            _write(out, block)
            size += len(block)
    finally:
        os.close(out)
    return digest.hexdigest(), size


def _write(descriptor: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]


@contextmanager
def _opened(source: Source) -> Iterator[int]:
    """Open a file below its root without following any symbolic link on the way."""
    parts = PurePosixPath(source.name).parts
    parts = parts[-min(len(parts), len(source.path.parts)) :]
    root = source.path
    for _ in parts:
        root = root.parent
    descriptors: list[int] = []
    try:
        descriptors.append(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        for part in parts[:-1]:
            descriptors.append(os.open(part, _FOLDER, dir_fd=descriptors[-1]))
        _refuse_kind(os.stat(parts[-1], dir_fd=descriptors[-1], follow_symlinks=False).st_mode)
        descriptors.append(os.open(parts[-1], _FILE, dir_fd=descriptors[-1]))
        _refuse_kind(os.fstat(descriptors[-1]).st_mode)
    except OSError as error:
        _close(descriptors)
        raise _explained(source, error) from error
    except Refused:
        _close(descriptors)
        raise
    try:
        yield descriptors[-1]
    finally:
        _close(descriptors)


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _refuse_kind(mode: int) -> None:
    if stat.S_ISLNK(mode):
        raise Refused("FILE_SYMLINK", "a symbolic link; send the file itself")
    if not stat.S_ISREG(mode):
        raise Refused("FILE_TYPE", "not a regular file but a FIFO, device, socket or folder")


def _explained(source: Source, error: OSError) -> Exception:
    """What a failed open means: gone, a link on the way, or no permission."""
    if isinstance(error, FileNotFoundError):
        return Refused("FILE_CHANGED", "the file was there when the batch was listed and is gone")
    if isinstance(error, PermissionError):
        return BatchError(f"{plain(str(source.path), 200)}: no permission to read it")
    if isinstance(error, NotADirectoryError) or error.errno in _LINK_ERRORS:
        return Refused("FILE_SYMLINK", "a folder on the way to it is a symbolic link")
    return BatchError(f"{plain(str(source.path), 200)}: {error.strerror}")
