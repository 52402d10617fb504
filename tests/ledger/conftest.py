"""Ledgers on disk, and the means of somebody who can write to the file."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from auditor.ledger import Ledger
from auditor.ledger.events import Event, encode, leaf_hash
from auditor.ledger.verification import Verified, verify_store
from auditor.transparency.checkpoint import Checkpoint, Seen, issue
from auditor.transparency.merkle import levels, tree_root
from auditor.transparency.note import VerifierKey

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
RUN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def batch(number: int) -> str:
    """The digest of a batch."""
    return hashlib.sha256(b"batch %d" % number).hexdigest()


def body_of(number: int, *, said: str = "batch.received") -> bytes:
    """An entry as the gate writes it."""
    at = NOON + timedelta(seconds=number)
    return encode(Event(name=said, at=at, via="gate", subject=batch(number), run=RUN))


@dataclass(frozen=True)
class Database:
    """A ledger file as an attacker has it: with full rights, and with the key if it was stolen."""

    path: Path
    vkey: VerifierKey

    now = NOON
    run = RUN
    batch = staticmethod(batch)
    body_of = staticmethod(body_of)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.path)

    def verify(self, pin: Seen | None = None) -> Verified:
        """With the database and the public key alone; `pin` is what was kept elsewhere."""
        return verify_store(self.ledger.store, [self.vkey], pin)

    @contextlib.contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """A connection without triggers: they stop accidents only."""
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as opened:
            query = "SELECT name FROM sqlite_schema WHERE type = 'trigger'"
            for (name,) in opened.execute(query).fetchall():
                opened.execute(f"DROP TRIGGER {name}")
            yield opened

    def bodies(self) -> list[bytes]:
        with self.open() as opened:
            return [row[0] for row in opened.execute("SELECT body FROM entry ORDER BY idx")]

    def rewrite(self, bodies: list[bytes], *, drop: str | None = None) -> None:
        """Other entries with all their hashes; checkpoints stay, but for those `drop` selects."""
        tree = levels(map(leaf_hash, bodies))
        with self.open() as opened:
            opened.execute("BEGIN")
            opened.execute("DELETE FROM entry")
            opened.execute("DELETE FROM node")
            for index, body in enumerate(bodies):
                at = body.partition(b'"at":"')[2][:20].decode()
                row = (index, at, body, leaf_hash(body))
                opened.execute("INSERT INTO entry VALUES (?, ?, ?, ?)", row)
            for level, hashes in enumerate(tree[1:], 1):
                for place, found in enumerate(hashes):
                    opened.execute("INSERT INTO node VALUES (?, ?, ?)", (level, place, found))
            if drop:
                opened.execute(f"DELETE FROM checkpoint WHERE {drop}")
            opened.execute("COMMIT")

    def sign_anew(self, ledger: Ledger) -> None:
        """Sign every checkpoint again, over what the entries are now, with the key of `ledger`."""
        tree = levels(map(leaf_hash, self.bodies()))
        with self.open() as opened:
            for (size,) in opened.execute("SELECT size FROM checkpoint").fetchall():
                root = tree_root(size, lambda level, place: tree[level][place])
                note = issue(Checkpoint(ledger.key.origin, size, root), ledger.key.make())
                opened.execute("UPDATE checkpoint SET note = ? WHERE size = ?", (note, size))


def build(path: Path, count: int, every: int) -> Database:
    """`count` entries of which each `every`th is a verdict, and so is covered by a checkpoint."""
    ledger = Ledger(path)
    with ledger.kept_open():
        for number in range(count):
            said = "verdict" if number % every == every - 1 else "batch.received"
            at = NOON + timedelta(seconds=number)
            ledger.append(said, at=at, via="gate", subject=batch(number), run=RUN)
    return Database(path, ledger.key.public())


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, int], Path]:
    """A folder with a ledger of so many entries and verdicts; made once, to be copied."""
    made: dict[tuple[int, int], Path] = {}

    def make(count: int, every: int) -> Path:
        if (count, every) not in made:
            folder = tmp_path_factory.mktemp("ledger")
            build(folder / "ledger.db", count, every)
            made[count, every] = folder
        return made[count, every]

    return make


@pytest.fixture
def copy(built: Callable[[int, int], Path], tmp_path: Path) -> Callable[[int, int], Database]:
    """The same as files of one's own."""

    def make(count: int, every: int) -> Database:
        folder = tmp_path / f"copy-{count}-{every}"
        shutil.copytree(built(count, every), folder)
        path = folder / "ledger.db"
        return Database(path, Ledger(path).key.public())

    return make
