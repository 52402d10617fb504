"""The SQLite file of the history: made at first use, readable by its owner only.

An index: everything in it comes from run folders and the ledger. One short connection an
operation, one transaction a batch.
"""

from __future__ import annotations

import contextlib
import io
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet as pq

from auditor.errors import LedgerError
from auditor.history.record import Record
from auditor.history.segments import Segment, merged, ordered, to_merge
from auditor.rowhash import Words

#: "AUDH": tells our file from any other SQLite database.
APPLICATION_ID: Final = 0x41554448
BUSY_SECONDS: Final = 30.0
#: Batches of a scheme whose rows are kept in part: the newest ones.
RECENT: Final = 32
#: Kinds of keys: of whole rows, and without the label.
WHOLE, FEATURES = 0, 1

_SCHEMA: Final = f"""
CREATE TABLE progress(one INTEGER PRIMARY KEY CHECK(one = 1), next INTEGER NOT NULL, leaf BLOB);
CREATE TABLE batch(seq INTEGER PRIMARY KEY, digest TEXT NOT NULL, first INTEGER NOT NULL,
  scheme TEXT NOT NULL, rows INTEGER NOT NULL, vouched INTEGER NOT NULL);
CREATE INDEX batch_digest ON batch(digest);
CREATE TABLE missing(seq INTEGER PRIMARY KEY, run TEXT NOT NULL, sha256 TEXT NOT NULL);
CREATE TABLE segment(id INTEGER PRIMARY KEY, scheme TEXT NOT NULL, kind INTEGER NOT NULL,
  rows INTEGER NOT NULL, keys BLOB NOT NULL, batch BLOB NOT NULL);
CREATE INDEX segment_scheme ON segment(scheme, kind, id);
CREATE TABLE tally(seq INTEGER, rule TEXT, name TEXT, events REAL, exposure REAL,
  PRIMARY KEY(rule, name, seq)) WITHOUT ROWID;
CREATE TABLE sent(subject TEXT, seq INTEGER, rows INTEGER, suspicious INTEGER, quarantined INTEGER,
  certain INTEGER, PRIMARY KEY(subject, seq)) WITHOUT ROWID;
CREATE TABLE evidence(rule TEXT, subject TEXT, name TEXT, batches INTEGER NOT NULL,
  total BLOB NOT NULL, PRIMARY KEY(rule, subject, name)) WITHOUT ROWID;
CREATE TABLE sample(seq INTEGER PRIMARY KEY, scheme TEXT NOT NULL, digest TEXT NOT NULL,
  content BLOB NOT NULL);
CREATE INDEX sample_scheme ON sample(scheme, seq);
CREATE TABLE aside(seq INTEGER PRIMARY KEY, scheme TEXT NOT NULL, digest TEXT NOT NULL,
  keys BLOB NOT NULL);
CREATE INDEX aside_scheme ON aside(scheme, seq);
INSERT INTO progress VALUES (1, 0, NULL);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = 2;
"""


class HistoryDamaged(LedgerError):
    """The history cannot be used. It is an index: deleting it loses nothing."""

    def __init__(self, path: Path, why: object) -> None:
        """Say why, and what to do."""
        super().__init__(
            f"{path}: the history cannot be used ({why}); if the disk is well, delete this file: "
            "the next run builds it again from the ledger and the run folders"
        )


class HistoryStore:
    """Reads and writes the file; making the object touches nothing.

    Every method raises `LedgerError` where the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        """Remember where the file is, or will be."""
        self.path = path

    def progress(self) -> tuple[int, bytes | None]:
        """The first ledger entry that was not looked at, and the leaf hash of the one before."""
        if not self.path.exists():
            return 0, None
        with self.opened() as db:
            following, leaf = db.execute("SELECT next, leaf FROM progress").fetchone()
        return int(following), leaf

    def missing(self) -> list[tuple[int, str, str]]:
        """(ledger entry, run, sha256 of its record) of batches whose record was not found yet."""
        if not self.path.exists():
            return []
        with self.opened() as db:
            return db.execute("SELECT seq, run, sha256 FROM missing ORDER BY seq").fetchall()

    def advance(self, following: int, leaf: bytes) -> None:
        """All ledger entries before `following` are dealt with."""
        with self._writing() as db:
            db.execute(
                "UPDATE progress SET next = ?, leaf = ? WHERE next < ?",
                (following, leaf, following),
            )

    def miss(self, seq: int, run: str, sha256: str) -> None:
        """A batch that will be added once its record is there."""
        with self._writing() as db:
            if not _known(db, seq):
                db.execute("INSERT OR IGNORE INTO missing VALUES (?, ?, ?)", (seq, run, sha256))

    def add(self, seq: int, record: Record) -> None:
        """Add the batch of ledger entry `seq`, whole or not at all; twice is once.

        The same bytes published again add rows that were not published before, and no evidence:
        it has been counted.
        """
        with self._writing() as db:
            if _known(db, seq):
                return
            found = db.execute(
                "SELECT min(first) FROM batch WHERE digest = ?", (record.batch,)
            ).fetchone()
            first = seq if found[0] is None else int(found[0])
            _add_batch(db, seq, first, record)
            for kind, keys in ((WHOLE, record.keys), (FEATURES, record.features)):
                _add_keys(db, first, record.scheme, kind, keys)
            if first == seq:
                _add_numbers(db, seq, record)
                _add_sample(db, seq, record)
            if len(record.aside):
                cells = record.aside.astype("<u8").tobytes()
                line = (seq, record.scheme, record.batch, cells)
                db.execute("INSERT INTO aside VALUES (?, ?, ?, ?)", line)
            db.execute("DELETE FROM missing WHERE seq = ?", (seq,))

    @contextlib.contextmanager
    def opened(self) -> Iterator[sqlite3.Connection]:
        """A connection to the file, which is there; raises `HistoryDamaged`."""
        try:
            uri = f"{self.path.absolute().as_uri()}?mode=rw"
            made = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
            with contextlib.closing(made) as db:
                db.execute("PRAGMA synchronous=FULL")
                self._refuse_stranger(db)
                yield db
        except (sqlite3.Error, OSError) as error:
            raise HistoryDamaged(self.path, error) from error

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction. The file is made first, whole."""
        if not self.path.exists():
            self._make()
        with self.opened() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def _make(self) -> None:
        fresh = self.path.with_name(f".{self.path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            with contextlib.closing(sqlite3.connect(fresh, isolation_level=None)) as db:
                db.executescript(f"BEGIN;{_SCHEMA}COMMIT;")
            with contextlib.suppress(FileExistsError):  # of several makers one wins
                os.link(fresh, self.path)
        except (sqlite3.Error, OSError) as error:
            raise HistoryDamaged(self.path, error) from error
        finally:
            for suffix in ("", "-journal"):
                Path(f"{fresh}{suffix}").unlink(missing_ok=True)

    def _refuse_stranger(self, db: sqlite3.Connection) -> None:
        (found,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if found != APPLICATION_ID or version != 2:
            raise HistoryDamaged(self.path, "not a history of this version")


def stored(keys: bytes, batch: bytes) -> Segment:
    """A segment from its two cells."""
    words: Words = np.frombuffer(keys, dtype="<u8").reshape(-1, 2)
    return Segment(words, np.frombuffer(batch, dtype="<i4"))


def _known(db: sqlite3.Connection, seq: int) -> bool:
    return db.execute("SELECT 1 FROM batch WHERE seq = ?", (seq,)).fetchone() is not None


def _add_batch(db: sqlite3.Connection, seq: int, first: int, record: Record) -> None:
    line = (seq, record.batch, first, record.scheme, record.rows, int(record.vouched))
    db.execute("INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?)", line)


def _add_keys(db: sqlite3.Connection, batch: int, scheme: str, kind: int, keys: Words) -> None:
    for part in ordered(keys, batch):
        _insert(db, scheme, kind, part)
        found = db.execute(
            "SELECT id, rows FROM segment WHERE scheme = ? AND kind = ? ORDER BY id", (scheme, kind)
        ).fetchall()
        newest = [i for i, _ in found][len(found) - to_merge([rows for _, rows in found]) :]
        if newest:
            _merge(db, scheme, kind, newest)


def _merge(db: sqlite3.Connection, scheme: str, kind: int, ids: list[int]) -> None:
    query = "SELECT keys, batch FROM segment WHERE id = ?"
    parts = [stored(*db.execute(query, (i,)).fetchone()) for i in ids]
    db.executemany("DELETE FROM segment WHERE id = ?", [(i,) for i in ids])
    _insert(db, scheme, kind, merged(parts))


def _insert(db: sqlite3.Connection, scheme: str, kind: int, part: Segment) -> None:
    cells = (part.keys.astype("<u8").tobytes(), part.batch.astype("<i4").tobytes())
    line = (scheme, kind, len(part), *cells)
    db.execute("INSERT INTO segment(scheme, kind, rows, keys, batch) VALUES (?, ?, ?, ?, ?)", line)


def _add_numbers(db: sqlite3.Connection, seq: int, record: Record) -> None:
    tallies = [(seq, rule, name, events, chances) for rule, name, events, chances in record.tallies]
    db.executemany("INSERT INTO tally VALUES (?, ?, ?, ?, ?)", tallies)
    sent = [
        (s, seq, *(int(v) for v in values)) for rule, s, _, values in record.subjects if not rule
    ]
    db.executemany("INSERT INTO sent VALUES (?, ?, ?, ?, ?, ?)", sent)
    for rule, subject, name, values in record.subjects:
        if rule:
            _add_evidence(db, (rule, subject, name), np.array(values, dtype="<f8"))


def _add_sample(db: sqlite3.Connection, seq: int, record: Record) -> None:
    if not record.sample.num_rows:
        return
    content = io.BytesIO()
    pq.write_table(record.sample, content, compression="zstd")
    line = (seq, record.scheme, record.batch, content.getvalue())
    db.execute("INSERT INTO sample VALUES (?, ?, ?, ?)", line)
    db.execute(
        "DELETE FROM sample WHERE scheme = ? AND seq NOT IN "
        "(SELECT seq FROM sample WHERE scheme = ? ORDER BY seq DESC LIMIT ?)",
        (record.scheme, record.scheme, RECENT),
    )


def _add_evidence(db: sqlite3.Connection, key: tuple[str, str, str], values: np.ndarray) -> None:
    query = "SELECT batches, total FROM evidence WHERE rule = ? AND subject = ? AND name = ?"
    found = db.execute(query, key).fetchone()
    before = np.frombuffer(found[1], dtype="<f8") if found else np.zeros(len(values))
    if len(before) != len(values):  # measured otherwise since: it starts again
        found, before = None, np.zeros(len(values))
    line = (*key, found[0] + 1 if found else 1, (before + values).tobytes())
    db.execute("INSERT OR REPLACE INTO evidence VALUES (?, ?, ?, ?, ?)", line)
