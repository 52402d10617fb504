"""What can go wrong with the ledger, and what to do about it."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from typing import Final

from auditor.errors import LedgerError

#: Less free space than this means that a failed write failed for want of space.
_NO_ROOM: Final = 64 * 1024


class Conflict(LedgerError):
    """Somebody else wrote about this subject since the caller looked: nothing was appended."""


class LedgerTampered(LedgerError):
    """An entry, subtree or checkpoint is not what was written, or is missing."""

    code: Final = "LEDGER_TAMPERED"

    def __init__(self, where: object, message: str) -> None:
        """The message starts with the stable code, so that logs can be searched for it."""
        super().__init__(
            f"{self.code}: {where}: {message}; keep it as evidence, "
            "compare it with a backup and find out who can write to it"
        )


class LedgerFull(LedgerError, OSError):
    """No space left for the ledger. Also an `OSError` with `errno.ENOSPC`."""

    def __init__(self, path: Path | str) -> None:
        """Keep errno and file name, as the operating system would."""
        super().__init__(errno.ENOSPC, "no space left for the ledger; free some and run again")
        self.filename = str(path)

    def __str__(self) -> str:
        """Path first, as in every other message."""
        return f"{self.filename}: {self.strerror}"


def fault(error: sqlite3.Error, path: Path) -> LedgerError:
    """The exception to raise in place of one of SQLite's."""
    code = getattr(error, "sqlite_errorcode", None)
    if _is_full(code, path):
        return LedgerFull(path)
    primary = (code or 0) & 0xFF
    return LedgerError(f"{path}: {_ADVICE.get(primary, 'the ledger cannot be used')} ({error})")


def os_fault(error: OSError, path: Path) -> LedgerError:
    """The same for an error of the operating system around the file."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return LedgerFull(path)
    return LedgerError(
        f"{path}: the ledger cannot be used ({error.strerror}); see that this user can read and "
        "write the file and its folder"
    )


_ADVICE: Final = {
    sqlite3.SQLITE_BUSY: "another process holds the ledger; see which one and run again",
    sqlite3.SQLITE_LOCKED: "another process holds the ledger; see which one and run again",
    sqlite3.SQLITE_READONLY: "the ledger is read-only; give this user write permission to the "
    "file and its folder, or read an export of it: `auditor ledger export`",
    sqlite3.SQLITE_PERM: "no permission to open the ledger; give this user access to it",
    sqlite3.SQLITE_AUTH: "no permission to open the ledger; give this user access to it",
    sqlite3.SQLITE_CANTOPEN: "the ledger cannot be opened; see that the file and its folder "
    "can be read and written by this user",
    sqlite3.SQLITE_NOTADB: "this file is not a ledger; set outputs.ledger to another path or "
    "restore a backup",
    sqlite3.SQLITE_CORRUPT: "the ledger is damaged; keep the file as evidence and restore a backup",
    sqlite3.SQLITE_IOERR: "the disk failed to read or write the ledger; see the system's log",
}


def _is_full(code: int | None, path: Path) -> bool:
    # The shared-memory file of WAL cannot grow on a full disk: SQLite calls that an I/O error.
    if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}:
        return True
    if code is None or code & 0xFF not in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}:
        return False
    try:
        free = os.statvfs(path.parent)
    except OSError:
        return False
    return free.f_bavail * free.f_frsize < _NO_ROOM
