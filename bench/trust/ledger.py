"""Durable appends a second, seconds to verify a whole ledger: `python -m bench.trust.ledger`.

Every append is a transaction of its own that is on the disk when it returns, with its part of the
Merkle tree. One in four is a verdict: its checkpoint is signed in the same transaction.

PostgreSQL is measured where `--postgres postgresql://user@host/database` names an empty database
(password in PGPASSWORD).
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import platform
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from auditor.ledger import Ledger, heads, tree
from auditor.ledger.events import Event, encode, leaf_hash, time_text
from auditor.ledger.verification import verify_store

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DIGEST = hashlib.sha256(b"batch").hexdigest()
RUN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def main() -> None:
    """Parse arguments, measure, print a line each."""
    parser = argparse.ArgumentParser(prog="python -m bench.trust.ledger", description=__doc__)
    parser.add_argument("--appends", type=int, default=2000)
    parser.add_argument("--entries", type=int, default=100_000, help="entries of a whole ledger")
    parser.add_argument("--repeat", type=int, default=5, help="the best of so many is printed")
    parser.add_argument("--folder", type=Path, help="a folder on the disk to be measured")
    parser.add_argument("--postgres", help="the URL of an empty database")
    given = parser.parse_args()
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(prefix="auditor-bench-", dir=given.folder) as name:
        folder = Path(name)
        _bare(folder / "bare.db", given.appends)
        _appends("SQLite", Ledger(folder / "appends.db"), given.appends)
        for every in (100, 4):
            ledger = Ledger(folder / f"whole-{every}.db")
            _fill(ledger, given.entries, every)
            _verify(ledger, every, given.repeat)
        if given.postgres:
            key, password = folder / "postgres.key", os.environ.get("PGPASSWORD")
            ledger = Ledger(given.postgres, key=key, password=password)
            _appends("PostgreSQL", ledger, given.appends)
            _verify(ledger, 4, given.repeat)


def _appends(name: str, ledger: Ledger, count: int) -> None:
    def append() -> None:
        for number in range(count):
            ledger.append(
                "batch.received" if number % 4 else "verdict",
                at=NOW, via="gate", subject=DIGEST, refs=[DIGEST], run=RUN, detail={"n": number},
            )  # fmt: skip

    with ledger.kept_open(), _timed() as kept:
        started = time.process_time()
        append()
        processor = time.process_time() - started
    print(
        f"{name}: {count / kept():,.0f} durable appends/s, a verdict in four; "
        f"{processor / count * 1000:.2f} ms of processor time each"
    )


def _bare(path: Path, count: int) -> None:
    """What the disk and SQLite allow: the same bytes in a table without hashes or index."""
    body = bytes(500)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as opened:
        opened.execute("PRAGMA journal_mode=WAL")
        opened.execute("PRAGMA synchronous=FULL")
        opened.execute("CREATE TABLE bare(idx INTEGER PRIMARY KEY, body BLOB)")
        with _timed() as wall:
            for number in range(count):
                opened.execute("INSERT INTO bare VALUES (?, ?)", (number, body))
    print(f"SQLite alone: {count / wall():,.0f} durable transactions/s")


def _fill(ledger: Ledger, count: int, every: int) -> None:
    """One transaction for all: what is measured comes afterwards."""
    ledger.append("error", at=NOW, via="cli")
    with ledger.store.writing() as session:
        for index in range(1, count):
            said = "batch.received" if index % every else "verdict"
            body = encode(
                Event(name=said, at=NOW, via="gate", subject=DIGEST, refs=(DIGEST,), run=RUN)
            )
            leaf = leaf_hash(body)
            row = (index, time_text(NOW), body, leaf)
            session.run("INSERT INTO entry(idx, at, body, leaf) VALUES (?, ?, ?, ?)", row)
            tree.grow(session, ledger.where, index, leaf)
            if said == "verdict":
                heads.sign_head(session, ledger.where, ledger.key, index + 1)


def _verify(ledger: Ledger, every: int, repeat: int) -> None:
    keys = [ledger.key.public()]
    walls, processors = [], []
    for _ in range(repeat):
        started = time.process_time()
        with _timed() as wall:
            verified = verify_store(ledger.store, keys)
        walls.append(wall())
        processors.append(time.process_time() - started)
    print(
        f"verify {verified.entries:,} entries and {verified.checkpoints:,} checkpoints "
        f"(one in {every}): {min(walls):.2f} s, {min(processors):.2f} s of it processor time"
    )


@contextmanager
def _timed() -> Iterator[Callable[[], float]]:
    started, ended = time.perf_counter(), 0.0
    yield lambda: ended - started
    ended = time.perf_counter()


if __name__ == "__main__":
    main()
