"""The SQLite file: how it is made, opened and closed.

One short connection an operation, unless `kept_open`. That costs a few milliseconds and buys that a
`Ledger` may be carried over threads and forks, and that nothing is open between two operations.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from auditor.errors import LedgerError
from auditor.ledger.faults import fault, os_fault
from auditor.ledger.store import Row
from auditor.private_file import fsync_folder

#: "AUDL": tells our file from any other SQLite database.
APPLICATION_ID: Final = 0x4155444C
#: 1: entries only. 2: subtrees and checkpoints as well.
VERSION: Final = 2
#: Seconds to wait for another writer before giving up.
BUSY_SECONDS: Final = 30.0

# The body is a BLOB, and SQLite's JSON functions read text only: hence the casts.
_SUBJECT: Final = "json_extract(CAST(body AS TEXT), '$.subject.sha256')"
_RUN: Final = "json_extract(CAST(body AS TEXT), '$.run')"
_ORDER: Final = "json_extract(CAST(body AS TEXT), '$.detail.order_of')"

_ENTRIES: Final = f"""
CREATE TABLE entry(
  idx INTEGER PRIMARY KEY, at TEXT NOT NULL,
  body BLOB NOT NULL CHECK(length(body)<=65535), leaf BLOB NOT NULL);
CREATE INDEX entry_subject ON entry({_SUBJECT});
CREATE INDEX entry_run ON entry({_RUN});
"""
_PROOFS: Final = f"""
CREATE INDEX IF NOT EXISTS entry_order ON entry({_ORDER});
CREATE INDEX IF NOT EXISTS entry_at ON entry(at);
CREATE TABLE node(
  level INTEGER NOT NULL, pos INTEGER NOT NULL, hash BLOB NOT NULL,
  PRIMARY KEY(level, pos)) WITHOUT ROWID;
CREATE TABLE checkpoint(size INTEGER PRIMARY KEY, note BLOB NOT NULL);
"""
# The triggers guard against accidents, not against somebody who can write to the file. Those on
# INSERT also stop INSERT OR REPLACE, which fires no DELETE trigger.
_NEXT: Final = {
    "entry": "NEW.idx IS NOT (SELECT coalesce(max(idx) + 1, 0) FROM entry)",
    "node": "EXISTS (SELECT 1 FROM node WHERE level = NEW.level AND pos = NEW.pos)",
    "checkpoint": "NEW.size <= (SELECT max(size) FROM checkpoint)",
}


class SqliteSession:
    """A transaction on an open connection."""

    def __init__(self, opened: sqlite3.Connection, bare: bool) -> None:
        """Take over a connection in which a transaction has begun."""
        self._opened = opened
        self.bare = bare

    def all(self, query: str, values: Sequence[object] = ()) -> list[Row]:
        """The rows of a query."""
        return self._opened.execute(query, tuple(values)).fetchall()

    def run(self, query: str, values: Sequence[object] = ()) -> None:
        """A statement."""
        self._opened.execute(query, tuple(values))


class Sqlite:
    """A ledger in one file (WAL, synchronous=FULL). Needs a file system whose locks work."""

    subject = _SUBJECT
    run = _RUN
    order = _ORDER
    mentions = "instr(body, CAST(? AS BLOB))"

    def __init__(self, path: Path) -> None:
        """Remember where the file is, or will be."""
        self.path = path
        self.where = str(path)
        self._kept: tuple[int, int, sqlite3.Connection] | None = None

    def exists(self) -> bool:
        """Whether there is a file; raises `LedgerError` where that cannot be told."""
        try:
            self.path.stat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise os_fault(error, self.path) from error
        return True

    def create(self) -> None:
        """Make an empty ledger unless there is one; raises `LedgerError` where that fails.

        It is made whole under another name and then linked: no other process can ever open a half
        made ledger, and of several makers one wins.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _make_whole(self.path)
            fsync_folder(self.path.parent)
        except sqlite3.Error as error:
            raise fault(error, self.path) from error
        except OSError as error:
            raise os_fault(error, self.path) from error

    @contextlib.contextmanager
    def reading(self) -> Iterator[SqliteSession]:
        """One state of the ledger, whatever is appended meanwhile."""
        with self._connection() as opened:
            opened.execute("BEGIN")
            try:
                yield SqliteSession(opened, _version(opened) < VERSION)
            finally:
                if opened.in_transaction:
                    opened.execute("ROLLBACK")

    @contextlib.contextmanager
    def writing(self) -> Iterator[SqliteSession]:
        """The only writer: IMMEDIATE takes the lock before the first read."""
        with self._connection() as opened:
            opened.execute("BEGIN IMMEDIATE")
            try:
                bare = _version(opened) < VERSION
                if bare:
                    _run_all(opened, _proofs())
                yield SqliteSession(opened, bare)
                opened.execute("COMMIT")
            except BaseException:
                # SQLite has already rolled back after a full disk; asking again would be an error.
                if opened.in_transaction:
                    opened.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def kept_open(self) -> Iterator[None]:
        """One connection for all transactions of this thread.

        It also keeps the log of recent writes from being copied into the file after every one of
        them, which SQLite does when the last connection closes. Every write is as durable as
        before.
        """
        if not self.exists():
            self.create()
        with self._connection() as opened:
            opened.execute("SELECT 1 FROM entry LIMIT 1").fetchall()
            before, self._kept = self._kept, (os.getpid(), threading.get_ident(), opened)
            try:
                yield
            finally:
                self._kept = before

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        kept = self._kept
        try:
            if kept is not None and kept[:2] == (os.getpid(), threading.get_ident()):
                yield kept[2]
                return
            with contextlib.closing(_connect(self.path)) as opened:
                _refuse_stranger(opened, self.path)
                yield opened
        except sqlite3.Error as error:
            raise fault(error, self.path) from error


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
        made.execute("BEGIN")
        _run_all(made, [*_ENTRIES.split(";"), *_triggers("entry"), *_proofs()])
        made.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        made.execute("COMMIT")
        # WAL is kept in the file's header: later connections find it so. It comes last, for closing
        # is silent where a full disk keeps the log from being copied into the file.
        made.execute("PRAGMA journal_mode=WAL")


def _proofs() -> list[str]:
    """What a ledger of version 1 lacks."""
    triggers = [*_triggers("node"), *_triggers("checkpoint")]
    return [*_PROOFS.split(";"), *triggers, f"PRAGMA user_version = {VERSION}"]


def _triggers(table: str) -> list[str]:
    when = {"INSERT": f"WHEN {_NEXT[table]}", "UPDATE": "", "DELETE": ""}
    name = {"INSERT": "dense", "UPDATE": "no_update", "DELETE": "no_delete"}
    return [
        f"CREATE TRIGGER {table}_{name[what]} BEFORE {what} ON {table} {condition} "
        "BEGIN SELECT RAISE(ABORT, 'append-only'); END"
        for what, condition in when.items()
    ]


def _run_all(opened: sqlite3.Connection, statements: Sequence[str]) -> None:
    # One by one: executescript would commit first.
    for statement in statements:
        opened.execute(statement)


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


def _version(opened: sqlite3.Connection) -> int:
    return int(opened.execute("PRAGMA user_version").fetchone()[0])


def _refuse_stranger(opened: sqlite3.Connection, path: Path) -> None:
    (found,) = opened.execute("PRAGMA application_id").fetchone()
    if found != APPLICATION_ID:
        raise LedgerError(f"{path}: this database is not a ledger; set outputs.ledger elsewhere")
    version = _version(opened)
    if not 1 <= version <= VERSION:
        raise LedgerError(f"{path}: made by a newer auditor (ledger version {version}); update")
