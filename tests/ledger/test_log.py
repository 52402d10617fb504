from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from auditor.errors import LedgerError
from auditor.ledger import Conflict, Ledger, LedgerFull, LedgerTampered

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
RUN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
OTHER_RUN = "01ARZ3NDEKTSV4RRFFQ69G5FAW"
BATCH = hashlib.sha256(b"a batch").hexdigest()
OTHER = hashlib.sha256(b"another").hexdigest()


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "log" / "ledger.db")


def path_of(ledger: Ledger) -> Path:
    return Path(ledger.where)


@contextlib.contextmanager
def raw(ledger: Ledger) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path_of(ledger), isolation_level=None)) as opened:
        yield opened


def without_triggers(ledger: Ledger, *statements: str) -> None:
    with raw(ledger) as opened:
        for name in ("entry_dense", "entry_no_update", "entry_no_delete"):
            opened.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            opened.execute(statement)


def test_nothing_is_made_before_the_first_append(ledger: Ledger) -> None:
    assert list(ledger.entries()) == []
    assert ledger.find(run=RUN) == ()
    assert ledger.head_of(BATCH) == -1
    assert not path_of(ledger).parent.exists()


def test_only_a_verdict_names_an_attestation(ledger: Ledger) -> None:
    assert not ledger.names(OTHER), "no ledger yet"
    ledger.append("batch.held", at=NOON, via="gate", subject=BATCH, refs=[OTHER], run=RUN)
    ledger.append("verdict", at=NOON, via="gate", subject=OTHER, run=RUN)
    assert not ledger.names(OTHER), "held, and the subject of a verdict, but named by none"
    ledger.append("verdict", at=NOON, via="gate", subject=BATCH, refs=[BATCH, OTHER], run=RUN)
    assert ledger.names(OTHER)
    assert not ledger.names(OTHER[:-1])


def test_entries_come_back_in_order_with_their_leaves(ledger: Ledger) -> None:
    assert ledger.append("batch.received", at=NOON, via="gate", subject=BATCH, run=RUN) == 0
    assert ledger.append("batch.screening", at=NOON, via="gate", subject=BATCH, run=RUN) == 1
    assert ledger.append("error", at=NOON, via="cli", run=OTHER_RUN) == 2
    entries = list(ledger.entries())
    assert [entry.idx for entry in entries] == [0, 1, 2]
    assert [entry.name for entry in entries] == ["batch.received", "batch.screening", "error"]
    assert all(e.leaf == hashlib.sha256(b"\x00" + e.body).digest() for e in entries)
    assert [entry.idx for entry in ledger.entries(1, 2)] == [1]
    assert [entry.idx for entry in ledger.entries(2)] == [2]


def test_find_by_run_subject_and_event(ledger: Ledger) -> None:
    for event, subject, run in [
        ("batch.received", BATCH, RUN),
        ("batch.received", OTHER, OTHER_RUN),
        ("verdict", BATCH, RUN),
    ]:
        ledger.append(event, at=NOON, via="gate", subject=subject, run=run)
    assert [entry.idx for entry in ledger.find(run=RUN)] == [0, 2]
    assert [entry.idx for entry in ledger.find(subject=OTHER)] == [1]
    assert [entry.idx for entry in ledger.find(run=RUN, event="verdict")] == [2]
    assert ledger.find(run=OTHER_RUN, subject=BATCH) == ()
    assert ledger.head_of(BATCH) == 2
    with pytest.raises(LedgerError, match="needs a run or a subject"):
        ledger.find(event="verdict")


def test_more_entries_than_a_page(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditor.ledger.log._PAGE", 3)
    for _ in range(7):
        ledger.append("error", at=NOON, via="cli")
    assert [entry.idx for entry in ledger.entries()] == list(range(7))
    assert [entry.idx for entry in ledger.entries(1, 6)] == list(range(1, 6))


def test_expect_lets_one_of_two_claims_through(ledger: Ledger) -> None:
    assert ledger.append("batch.received", at=NOON, via="gate", subject=BATCH, expect=-1) == 0
    with pytest.raises(Conflict, match="entry 0 about"):
        ledger.append("batch.received", at=NOON, via="gate", subject=BATCH, expect=-1)
    ledger.append("batch.received", at=NOON, via="gate", subject=OTHER, expect=-1)
    assert ledger.append("verdict", at=NOON, via="gate", subject=BATCH, expect=0) == 2
    assert len(list(ledger.entries())) == 3


def test_expect_without_a_subject_and_refs_as_text_are_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="needs a subject"):
        ledger.append("error", at=NOON, via="cli", expect=3)
    with pytest.raises(LedgerError, match="sequence of digests"):
        ledger.append("error", at=NOON, via="cli", refs=BATCH)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET at = '1999-01-01T00:00:00Z'",
        "DELETE FROM entry",
        "INSERT OR REPLACE INTO entry VALUES (0, '', x'', x'')",
        "INSERT INTO entry VALUES (7, '', x'', x'')",
        "INSERT INTO entry VALUES (NULL, '', x'', x'')",
        "UPDATE node SET hash = x''",
        "DELETE FROM node",
        "INSERT OR REPLACE INTO node VALUES (1, 0, x'')",
        "UPDATE checkpoint SET note = x''",
        "DELETE FROM checkpoint",
        "INSERT OR REPLACE INTO checkpoint VALUES (1, x'')",
    ],
)
def test_the_triggers_stop_accidents(ledger: Ledger, statement: str) -> None:
    for _ in range(2):
        ledger.append("error", at=NOON, via="cli")
    with raw(ledger) as opened, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        opened.execute(statement)
    assert len(list(ledger.entries())) == 2


def test_the_file_is_in_wal_mode_and_holds_three_tables(ledger: Ledger) -> None:
    ledger.append("error", at=NOON, via="cli")
    with raw(ledger) as opened:
        assert opened.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        tables = opened.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        plan = opened.execute(
            "EXPLAIN QUERY PLAN SELECT idx FROM entry WHERE "
            "json_extract(CAST(body AS TEXT), '$.subject.sha256') = 'x' ORDER BY idx DESC"
        ).fetchall()
    assert tables == [("entry",), ("node",), ("checkpoint",)]
    assert "USING INDEX entry_subject" in plan[0][3]
    assert {path.name for path in path_of(ledger).parent.iterdir()} == {
        "ledger.db",
        "ledger.db.key",
    }


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE entry SET body = CAST(replace(body, 'gate', 'cli') AS BLOB)", "differs"),
        ("UPDATE entry SET leaf = x'00'", "differs"),
        ("UPDATE entry SET body = CAST(body AS TEXT)", "differs"),
        ("UPDATE entry SET at = '1999-01-01T00:00:00Z'", "another time"),
        ("DELETE FROM entry WHERE idx = 1", "entry 1 is missing"),
        ("DELETE FROM entry WHERE idx = 0", "entry 0 is missing"),
    ],
)
def test_an_edit_behind_our_back_is_noticed(ledger: Ledger, statement: str, said: str) -> None:
    for _ in range(3):
        ledger.append("batch.received", at=NOON, via="gate", subject=BATCH, run=RUN)
    without_triggers(ledger, statement)
    with pytest.raises(LedgerTampered, match=f"LEDGER_TAMPERED: .*{said}"):
        list(ledger.entries())


def test_a_forged_entry_with_a_right_hash_but_no_event_is_noticed(ledger: Ledger) -> None:
    ledger.append("error", at=NOON, via="cli")
    body = b'{"v":1}'
    leaf = hashlib.sha256(b"\x00" + body).hexdigest()
    without_triggers(ledger, f"INSERT INTO entry VALUES (1, '2026', x'{body.hex()}', x'{leaf}')")
    with pytest.raises(LedgerTampered, match="entry 1 is not an event"):
        list(ledger.entries())


def test_an_append_that_relies_on_a_forged_entry_is_refused(ledger: Ledger) -> None:
    ledger.append("batch.received", at=NOON, via="gate", subject=BATCH)
    without_triggers(ledger, "UPDATE entry SET leaf = x'00'")
    with pytest.raises(LedgerTampered):
        ledger.append("verdict", at=NOON, via="gate", subject=BATCH, expect=0)


def test_files_that_are_no_ledger(ledger: Ledger) -> None:
    path_of(ledger).parent.mkdir()
    path_of(ledger).write_bytes(b"not a database at all, but long enough" * 100)
    with pytest.raises(LedgerError, match="not a ledger"):
        ledger.append("error", at=NOON, via="cli")
    path_of(ledger).unlink()
    with raw(ledger) as opened:
        opened.execute("CREATE TABLE t(x)")
    with pytest.raises(LedgerError, match="this database is not a ledger"):
        list(ledger.entries())
    path_of(ledger).unlink()
    path_of(ledger).mkdir()
    with pytest.raises(LedgerError, match="cannot be opened"):
        ledger.append("error", at=NOON, via="cli")


def test_a_ledger_of_a_later_version_is_refused(ledger: Ledger) -> None:
    ledger.append("error", at=NOON, via="cli")
    with raw(ledger) as opened:
        opened.execute("PRAGMA user_version = 3")
    with pytest.raises(LedgerError, match="newer auditor"):
        list(ledger.entries())


def test_damage_is_reported_with_advice(ledger: Ledger) -> None:
    for _ in range(50):
        ledger.append("error", at=NOON, via="cli", detail={"text": "x" * 500})
    with path_of(ledger).open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096 * 3)
    with pytest.raises(LedgerError, match=r"damaged; keep the file|LEDGER_TAMPERED"):
        list(ledger.entries())


def test_a_lock_held_too_long_says_so(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.append("error", at=NOON, via="cli")
    monkeypatch.setattr("auditor.ledger.sqlite.BUSY_SECONDS", 0.1)
    with raw(ledger) as opened:
        opened.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="another process holds the ledger"):
            ledger.append("error", at=NOON, via="cli")
        assert len(list(ledger.entries())) == 1, "reading goes on beside a writer"


def test_no_permission_says_what_to_do(ledger: Ledger) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    ledger.append("error", at=NOON, via="cli")
    path_of(ledger).chmod(0o400)
    with pytest.raises(LedgerError, match="write permission"):
        ledger.append("error", at=NOON, via="cli")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match=r"see that this user can read and write"):
        Ledger(tmp_path / "file" / "ledger.db").append("error", at=NOON, via="cli")


def test_one_object_serves_many_threads(ledger: Ledger) -> None:
    def write() -> None:
        for _ in range(5):
            ledger.append("error", at=NOON, via="cli")

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.idx for entry in ledger.entries()] == list(range(20))


FILL = """
import errno, sys
from datetime import UTC, datetime
from pathlib import Path
from auditor.errors import LedgerError
from auditor.ledger import Ledger

ledger = Ledger(Path(sys.argv[1]) / "ledger.db")
now = datetime(2026, 11, 22, tzinfo=UTC)
written = 0
try:
    while written < 1000:
        ledger.append("error", at=now, via="cli", detail={"text": "x" * 5000})
        written += 1
except OSError as error:
    assert isinstance(error, LedgerError), error
    assert error.errno == errno.ENOSPC, error
    print("full", written, error)
next(Path(sys.argv[1]).glob("ballast")).unlink()
assert len(list(ledger.entries())) == written
ledger.append("batch.held", at=now, via="gate")
print("goes on")
"""


def test_case_115_a_full_disk_is_told_apart_and_hurts_nothing(tmp_path: Path) -> None:
    """Append until the disk is full, then make room."""
    mount = tmp_path / "small"
    mount.mkdir()
    script = (
        'mount -t tmpfs -o size=1m tmpfs "$1" && head -c 400000 /dev/zero > "$1/ballast" '
        '&& exec "$2" -c "$3" "$1"'
    )
    command = ["unshare", "-m", "sh", "-c", script, "sh", str(mount), sys.executable, FILL]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"may not mount a small file system: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert "no space left for the ledger" in done.stdout
    assert "goes on" in done.stdout


def test_full_is_an_os_error_with_its_errno() -> None:
    error = LedgerFull(Path("ledger.db"))
    assert isinstance(error, OSError)
    assert error.errno == errno.ENOSPC
    assert str(error).startswith("ledger.db: no space left")
