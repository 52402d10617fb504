"""Verified bytes as paths, for programs that insist on them.

The files are sealed in memory and the folder holds links to them: nobody can write to what was
verified. Where memory does not do, they are copies on disk that this user alone may read, and are
verified again afterwards. Either way the folder is compared with what it was: a process of the same
user could put other files into it, and then back.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from auditor.provenance.entries import FileEntry
from auditor.provenance.refused import printable
from auditor.verify import reading, sealed
from auditor.verify.refused import NotVerified
from auditor.verify.roots import root_at
from auditor.verify.verified import Verified

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

#: What changes when a file or folder does, and cannot be set back: inode, times of its change.
_Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder with exactly the attested files.

    `on_disk` says why they are copies on disk; it is empty where they are sealed in memory.
    `stamps` are those of all that lies in and above `path` when the folder was complete.
    """

    path: Path
    files: tuple[FileEntry, ...]
    on_disk: str
    stamps: Mapping[Path, _Stamp]

    def require_unchanged(self) -> None:
        """Refuse if this was not all the time what was verified.

        Raises:
            NotVerified: CHANGED_MEANWHILE, or what is wrong with a copy on disk.
        """
        found = _stamps(self.path.parent)
        for path in sorted({*found, *self.stamps}):
            if found.get(path) != self.stamps.get(path):
                shown = printable(str(path.relative_to(self.path.parent)))
                raise NotVerified("CHANGED_MEANWHILE", f'"{shown}" is not what it was.')
        if self.on_disk:
            root = root_at(self.path)
            for file in self.files:
                reading.require(root.open(file.name), file)
            root.close()


@contextmanager
def materialised(verified: Verified, below: Path | None = None) -> Iterator[Folder]:
    """A private, read-only folder with exactly the attested files; removed afterwards.

    Args:
        verified: what was verified.
        below: where to make it; the default is the system's folder for temporary files.

    Raises:
        NotVerified: a file is not what was audited; then there is no folder.
    """
    with ExitStack() as held:
        top = Path(tempfile.mkdtemp(prefix="auditor-verified-", dir=below))  # 0700
        held.callback(_remove, top)
        root = top / "data"
        root.mkdir(mode=0o700)
        on_disk = _filled(root, verified, held)
        _set_folders(root, 0o500)
        yield Folder(root, verified.files, on_disk, _stamps(top))


def _filled(root: Path, verified: Verified, held: ExitStack) -> str:
    """Put the files there; why they are on disk, if they are."""
    on_disk = sealed.why_not(sum(file.size for file in verified.files))
    if on_disk is None:
        try:
            _link(root, verified, held)
        except OSError as error:
            on_disk = error.strerror or str(error)
    if on_disk is None:
        return ""
    for file in verified.files:
        _copy(verified, file, _place(root, file))
    return on_disk


def _link(root: Path, verified: Verified, held: ExitStack) -> None:
    """Seal all files, then link to them; `held` keeps them in memory."""
    with ExitStack() as opened:
        found = {}
        for file in verified.files:
            found[file] = sealed.sealed(verified.root.open(file.name), file)
            opened.callback(os.close, found[file])
        # By our process id: those that the command starts have not its descriptors.
        for file, descriptor in found.items():
            _place(root, file).symlink_to(f"/proc/{os.getpid()}/fd/{descriptor}")
        held.enter_context(opened.pop_all())


def _copy(verified: Verified, entry: FileEntry, target: Path) -> None:
    descriptor = os.open(target, _NEW, 0o400)
    with os.fdopen(descriptor, "wb") as out:
        for block in reading.streamed(verified.root.open(entry.name), entry):
            out.write(block)


def _place(root: Path, file: FileEntry) -> Path:
    target = root / file.name
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return target


def _stamps(top: Path) -> dict[Path, _Stamp]:
    found = ((path, path.lstat()) for path in (top, *top.rglob("*")))
    return {path: (at.st_ino, at.st_ctime_ns, at.st_mtime_ns) for path, at in found}


def _remove(top: Path) -> None:
    _set_folders(top, 0o700)
    shutil.rmtree(top)


def _set_folders(root: Path, mode: int) -> None:
    for path in (root, *root.rglob("*")):
        if stat.S_ISDIR(path.lstat().st_mode):
            path.chmod(mode)
