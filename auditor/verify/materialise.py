"""Verified bytes as files, for programs that insist on paths.

The copies lie in a folder of this user that nobody else may enter, and are made read-only. Nobody
who could write to the published folder can write here; a process of the same user could.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from auditor.provenance.entries import FileEntry
from auditor.verify import reading
from auditor.verify.verified import Verified

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def materialised(verified: Verified, below: Path | None = None) -> Iterator[Path]:
    """A private, read-only folder with exactly the attested files; removed afterwards.

    Args:
        verified: what was verified.
        below: where to make it; the default is the system's folder for temporary files.

    Raises:
        NotVerified: a file is not what was audited; then there is no folder.
    """
    top = Path(tempfile.mkdtemp(prefix="auditor-verified-", dir=below))  # 0700
    try:
        root = top / "data"
        root.mkdir(mode=0o700)
        for file in verified.files:
            _copy(verified, file, root / file.name)
        _set_folders(root, 0o500)
        yield root
    finally:
        _set_folders(top, 0o700)
        shutil.rmtree(top)


def _copy(verified: Verified, entry: FileEntry, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(target, _NEW, 0o400)
    with os.fdopen(descriptor, "wb") as out:
        for block in reading.streamed(verified.root.open(entry.name), entry):
            out.write(block)


def _set_folders(root: Path, mode: int) -> None:
    for path in (root, *root.rglob("*")):
        if stat.S_ISDIR(path.lstat().st_mode):
            path.chmod(mode)
