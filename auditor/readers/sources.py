"""From what a person typed to a list of files: a path, several, a folder or a glob.

Nothing is opened here. A symbolic link or a FIFO inside a folder is listed like a file; it is
refused, by name, when it is received.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from auditor.errors import BatchError
from auditor.readers.limits import plain

_REMOTE: Final = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
_MAGIC: Final = re.compile(r"[*?\[]")
_MARKERS: Final = frozenset({"_SUCCESS"})
_SIDECARS: Final = frozenset({"_metadata", "_common_metadata"})
#: What a gate puts beside the files that it publishes.
_EVIDENCE: Final = frozenset({"attestation.dsse.json", "proof.tlog"})


@dataclass(frozen=True, slots=True)
class Source:
    """One file of a batch. `name` is its relative POSIX name in the batch, `path` where it is.

    `given` is the argument that led to it. `skipped` says why it is listed but not read.
    """

    name: str
    path: Path
    given: str = ""
    skipped: str = ""


def resolve(paths: Sequence[str]) -> tuple[Source, ...]:
    """List the files behind `paths`, in C-locale order of their names.

    Raises:
        BatchError: a remote address, no such path, no permission, nothing to read, something
            that is not a file or folder, or two files with one name.
    """
    if not paths:
        raise BatchError("no input: name a file, a folder or a glob")
    roots = [(str(path), *_expand(str(path))) for path in paths]
    sources = _named(roots)
    if all(source.skipped for source in sources):
        raise BatchError(f"{_shown(paths)}: no data file in it; name another path")
    return sources


def _expand(given: str) -> tuple[Path, list[Path]]:
    """What one argument means: the folder its names start at, and itself or its glob matches."""
    if _REMOTE.match(given):
        raise BatchError(
            f"{plain(given, 200)}: remote addresses are not read in this version; "
            "copy the files to this machine and name the folder"
        )
    if "\0" in given or not given:
        raise BatchError(f"{plain(given, 200)!r}: not a path")
    path = Path(given)
    if os.path.lexists(path) or not _MAGIC.search(given):
        return _absolute(path).parent, [path]
    return _glob(given, path)


def _glob(given: str, path: Path) -> tuple[Path, list[Path]]:
    literal = Path(path.anchor)
    for part in path.parts[1:] if path.anchor else path.parts:
        if _MAGIC.search(part):
            break
        literal /= part
    matches = literal.glob(str(path.relative_to(literal)))
    found = sorted((p for p in matches if not p.name.startswith(".")), key=os.fsencode)
    if not found:
        raise BatchError(f"{plain(given, 200)}: no file matches this glob; look at the path")
    return _absolute(literal), found


def _named(roots: Sequence[tuple[str, Path, list[Path]]]) -> tuple[Source, ...]:
    """Walk the roots and name each file relative to what all of them have in common."""
    base = Path(os.path.commonpath([start for _, start, _ in roots]))
    if len(roots) == 1 and roots[0][2] == [Path(roots[0][0])] and os.path.isdir(roots[0][0]):  # noqa: PTH112 - Path.is_dir() raises without permission
        base = _absolute(Path(roots[0][0]))
    by_name: dict[str, Source] = {}
    for given, _, found in roots:
        for path, skipped in (pair for root in found for pair in _walk(root)):
            name = _absolute(path).relative_to(base).as_posix()
            _usable_name(name)
            if name in by_name:
                raise BatchError(f"{plain(name, 200)}: named twice; name each file once")
            by_name[name] = Source(name, path, given, skipped)
    return tuple(sorted(by_name.values(), key=lambda source: os.fsencode(source.name)))


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve() would follow links


def _walk(root: Path) -> Iterator[tuple[Path, str]]:
    """Each file below a root with the reason why it is not read, or an empty string."""
    mode = _mode(root)
    if stat.S_ISREG(mode):
        if not _no_data(root.name):
            yield root, ""
    elif stat.S_ISDIR(mode):
        yield from _entries(root, "")
    elif stat.S_ISLNK(mode):
        raise BatchError(f"{plain(str(root), 200)}: a symbolic link; name what it points to")
    else:
        raise BatchError(f"{plain(str(root), 200)}: a FIFO, device or socket, not a file")


def _entries(folder: Path, skipped: str) -> Iterator[tuple[Path, str]]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name))
    except PermissionError as error:
        raise BatchError(f"{plain(str(folder), 200)}: no permission to list the folder") from error
    except OSError as error:
        raise BatchError(f"{plain(str(folder), 200)}: {error.strerror}") from error
    for entry in entries:
        reason = skipped or _skip_reason(entry.name)
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(folder / entry.name, reason)
        elif not _no_data(entry.name):
            yield folder / entry.name, reason


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except PermissionError as error:
        raise BatchError(f"{plain(str(path), 200)}: no permission to look at it") from error
    except FileNotFoundError as error:
        raise BatchError(f"{plain(str(path), 200)}: no such file or folder") from error
    except OSError as error:
        raise BatchError(f"{plain(str(path), 200)}: {error.strerror}") from error


def _no_data(name: str) -> bool:
    # A contributor roll lies beside its manifest; neither is read as rows.
    return name in _MARKERS or name.endswith((".manifest.dsse.json", ".contributors.json"))


def _skip_reason(name: str) -> str:
    if name in _SIDECARS:
        return "a Parquet sidecar, which may point elsewhere"
    if name in _EVIDENCE:
        return "evidence of a gate, no data"
    return "hidden" if name.startswith(".") and name not in {".", ".."} else ""


def _usable_name(name: str) -> None:
    """Refuse names that the SHA256SUMS text could not carry without ambiguity."""
    if "\\" in name or not name.isprintable():
        raise BatchError(f"{plain(name, 200)}: control characters or a backslash in the name")


def _shown(paths: Sequence[str]) -> str:
    first = plain(str(paths[0]), 200)
    return first if len(paths) == 1 else f"{first} and {len(paths) - 1} more"
