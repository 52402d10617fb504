"""Several processes, and processes that are killed, on one ledger."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from auditor.ledger import Conflict, Ledger
from auditor.ledger.verification import verify_store

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
BATCH = hashlib.sha256(b"a batch").hexdigest()
SPAWN = multiprocessing.get_context("spawn")

WRITE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from auditor.ledger import Ledger

ledger = Ledger(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    said = "error" if number % 3 else "verdict"
    idx = ledger.append(said, at=datetime.now(UTC), via="cli", detail={"number": number})
    print(idx, flush=True)
"""


def writer(path: Path, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITE, str(path), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def claim(path: Path, barrier: object, results: object) -> None:
    ledger = Ledger(path)
    barrier.wait()  # type: ignore[attr-defined]
    for round_ in range(10):
        subject = hashlib.sha256(str(round_).encode()).hexdigest()
        try:
            ledger.append("batch.received", at=NOON, via="gate", subject=subject, expect=-1)
        except Conflict:
            continue
        results.put(round_)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_case_114_four_writers_leave_no_gap_and_no_fork(tmp_path: Path) -> None:
    """Four processes that append 300 entries each, at once, one in three of them signed for."""
    path = tmp_path / "ledger.db"
    writers = [writer(path, 300) for _ in range(4)]
    told = [int(line) for each in writers for line in each.communicate()[0].split()]
    assert [each.returncode for each in writers] == [0] * 4
    assert sorted(told) == list(range(1200))
    assert [entry.idx for entry in Ledger(path).entries()] == list(range(1200))
    verified = verify_store(Ledger(path).store, [Ledger(path).key.public()])
    assert verified.entries == 1200
    assert verified.checkpoints >= 400


def test_exactly_one_of_two_processes_wins_a_claim(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    barrier, results = SPAWN.Barrier(2), SPAWN.Queue()
    claimants = [SPAWN.Process(target=claim, args=(path, barrier, results)) for _ in range(2)]
    for each in claimants:
        each.start()
    won = [results.get(timeout=600) for _ in range(10)]
    for each in claimants:
        each.join(60)
    assert [each.exitcode for each in claimants] == [0, 0]
    assert sorted(won) == list(range(10))
    assert results.empty()
    assert len(list(Ledger(path).entries())) == 10


@pytest.mark.slow
def test_case_113_a_writer_killed_in_the_middle_leaves_it_intact(tmp_path: Path) -> None:
    """SIGKILL in the middle of appending, twenty times."""
    path = tmp_path / "ledger.db"
    chance = random.Random(7)
    acknowledged = 0
    for _ in range(20):
        killed = writer(path, 1_000_000)
        assert killed.stdout is not None
        killed.stdout.readline()
        time.sleep(chance.uniform(0, 0.05))
        os.kill(killed.pid, signal.SIGKILL)
        lines = killed.communicate()[0].split()
        acknowledged = int(lines[-1]) if lines else acknowledged
        entries = list(Ledger(path).entries())
        assert [entry.idx for entry in entries] == list(range(len(entries)))
        assert len(entries) > acknowledged, "what was acknowledged is there"
        verified = verify_store(Ledger(path).store, [Ledger(path).key.public()])
        assert verified.entries == len(entries)
    assert Ledger(path).append("error", at=NOON, via="cli") == len(entries)
