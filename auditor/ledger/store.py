"""The SQLite file: how it is made, opened and closed.

One short connection an operation. That costs a few milliseconds and buys that a `Ledger` may be
carried over threads and forks, and that nothing is open when the process is killed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from auditor.errors import LedgerError
from auditor.ledger.faults import fault, os_fault

#: "AUDL": tells our file from any other SQLite database.
APPLICATION_ID: Final = 0x4155444C
#: Seconds to wait for another writer before giving up.
BUSY_SECONDS: Final = 30.0

# The body is a BLOB, and SQLite's JSON functions read text only: hence the casts.
SUBJECT: Final = "json_extract(CAST(body AS TEXT), '$.subject.sha256')"
RUN: Final = "json_extract(CAST(body AS TEXT), '$.run')"

# The triggers guard against accidents, not against somebody who can write to the file. The one on
# INSERT keeps idx dense and also stops INSERT OR REPLACE, which fires no DELETE trigger.
_SCHEMA: Final = f"""
CREATE TABLE entry(
  idx INTEGER PRIMARY KEY, at TEXT NOT NULL,
  body BLOB NOT NULL CHECK(length(body)<=65535), leaf BLOB NOT NULL);
CREATE INDEX entry_subject ON entry({SUBJECT});
CREATE INDEX entry_run ON entry({RUN});
CREATE TRIGGER entry_dense BEFORE INSERT ON entry
  WHEN NEW.idx IS NOT (SELECT coalesce(max(idx) + 1, 0) FROM entry)
  BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER entry_no_update BEFORE UPDATE ON entry
  BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER entry_no_delete BEFORE DELETE ON entry
  BEGIN SELECT RAISE(ABORT, 'append-only'); END;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = 1;
"""


@contextlib.contextmanager
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    """An open connection to an existing ledger; raises `LedgerError` for anything that fails."""
    try:
        with contextlib.closing(_connect(path)) as opened:
            _refuse_stranger(opened, path)
            yield opened
    except sqlite3.Error as error:
        raise fault(error, path) from error


def create(path: Path) -> None:
    """Make an empty ledger unless there is one; raises `LedgerError` where that fails.

    It is made whole under another name and then linked: no other process can ever open a half
    made ledger, and of several makers one wins.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _make_whole(path)
        _fsync_folder(path.parent)
    except sqlite3.Error as error:
        raise fault(error, path) from error
    except OSError as error:
        raise os_fault(error, path) from error


def exists(path: Path) -> bool:
    """Whether there is a file; raises `LedgerError` where that cannot be told."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise os_fault(error, path) from error
    return True


def _make_whole(path: Path) -> None:
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _make(fresh)
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            Path(f"{fresh}{suffix}").unlink(missing_ok=True)


def _make(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as made:
        made.execute("PRAGMA synchronous=FULL")
        made.executescript(f"BEGIN;{_SCHEMA}COMMIT;")
        # WAL is kept in the file's header: later connections find it so. It comes last, for closing
        # is silent where a full disk keeps the log from being copied into the file.
        made.execute("PRAGMA journal_mode=WAL")


def _connect(path: Path) -> sqlite3.Connection:
    # mode=rw: a ledger that went missing must not come back empty.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    opened = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        opened.execute("PRAGMA synchronous=FULL")
    except sqlite3.Error:
        opened.close()
        raise
    return opened


def _refuse_stranger(opened: sqlite3.Connection, path: Path) -> None:
    (found,) = opened.execute("PRAGMA application_id").fetchone()
    if found != APPLICATION_ID:
        raise LedgerError(f"{path}: this database is not a ledger; set outputs.ledger elsewhere")
    (version,) = opened.execute("PRAGMA user_version").fetchone()
    if version != 1:
        raise LedgerError(f"{path}: made by a newer auditor (ledger version {version}); update")


def _fsync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
