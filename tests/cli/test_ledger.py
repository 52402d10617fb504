"""`auditor ledger`: what it prints, what it writes, and its exit codes."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from auditor.ledger import Ledger
from auditor.transparency import note, proof

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def ledger(bare: Any) -> Ledger:
    """A ledger at its usual place, with a verdict and something behind it."""
    made = Ledger(bare.root / ".auditor" / "ledger.db")
    for name in ("batch.received", "batch.screening", "verdict", "batch.received"):
        made.append(name, at=NOON, via="gate")
    return made


def test_show(bare: Any, ledger: Ledger) -> None:
    done = bare.call("ledger", "show")
    assert done.code == 0
    lines = dict(line.split(maxsplit=1) for line in done.out.splitlines())
    assert note.parse_vkey(lines["key"]) == ledger.key.public()
    assert lines["checkpoint"] == "3 entries, 1 more since"
    newest = ledger.newest()
    assert newest is not None
    assert bare.call("ledger", "show", "--note").out.encode() == newest.note


def test_where_there_is_no_ledger(bare: Any) -> None:
    for command in (["show"], ["verify"], ["prove", "0"], ["export", "--tiles", "t"]):
        done = bare.call("ledger", *command)
        assert (done.code, "no ledger yet" in done.err) == (2, True), done.err
    assert not (bare.root / ".auditor" / "ledger.db").exists()
    assert bare.call("ledger", "verify", "--ledger", "nowhere.db").code == 2


def test_verify_says_what_is_not_covered_and_what_no_pin_means(bare: Any, ledger: Ledger) -> None:
    done = bare.call("ledger", "verify")
    assert done.code == 0
    assert "verified: 4 entries, 2 checkpoint(s), the newest of 3" in done.out
    assert "not covered yet: 1 entries" in done.out
    assert "no pin: an old backup" in done.out


def test_a_pin_moves_on_and_catches_an_old_backup(bare: Any, ledger: Ledger) -> None:
    path = bare.root / ".auditor" / "ledger.db"
    backup = path.read_bytes()
    ledger.append("verdict", at=NOON, via="gate")
    assert "pin: now pin" in bare.call("ledger", "verify", "--pin", "pin").out
    assert "pin: still pin" in bare.call("ledger", "verify", "--pin", "pin").out
    ledger.append("verdict", at=NOON, via="gate")
    assert "pin: now pin" in bare.call("ledger", "verify", "--pin", "pin").out
    kept = (bare.root / "pin").read_bytes()
    path.write_bytes(backup)
    assert bare.call("ledger", "verify").code == 0, "missed without a pin, and said so"
    done = bare.call("ledger", "verify", "--pin", "pin")
    assert (done.code, done.out) == (13, "")
    assert "LEDGER_ROLLBACK: The log has 4 entries; 6 were seen before" in done.err
    assert (bare.root / "pin").read_bytes() == kept


def test_case_111_a_fork_keeps_both_notes(bare: Any, ledger: Ledger) -> None:
    """The log's own key signs another history: refused, and both checkpoints are kept."""
    bare.call("ledger", "verify", "--pin", "pin")
    path = bare.root / ".auditor" / "ledger.db"
    path.unlink()
    other = Ledger(path)
    for name in ("error", "batch.screening", "verdict"):
        other.append(name, at=NOON, via="gate")
    done = bare.call("ledger", "verify", "--pin", "pin")
    assert done.code == 13
    assert "LEDGER_FORK" in done.err
    assert "pin.fork contradict each other" in done.err
    newest = other.newest()
    assert newest is not None
    assert (bare.root / "pin.fork").read_bytes() == newest.note
    assert (bare.root / "pin").read_bytes() != newest.note


def test_a_file_that_is_no_pin_is_a_mistake_and_not_overwritten(bare: Any, ledger: Ledger) -> None:
    bare.write("pin", "my notes\n")
    done = bare.call("ledger", "verify", "--pin", "pin")
    assert (done.code, "not a pin of this ledger" in done.err) == (2, True)
    assert (bare.root / "pin").read_text() == "my notes\n"


def test_a_pin_that_cannot_be_written_is_a_mistake(bare: Any, ledger: Ledger) -> None:
    done = bare.call("ledger", "verify", "--pin", "nowhere/pin")
    assert (done.code, "the pin cannot be written" in done.err) == (2, True)


def test_a_tampered_ledger_is_refused(bare: Any, ledger: Ledger) -> None:
    import sqlite3

    opened = sqlite3.connect(ledger.where)
    opened.execute("DROP TRIGGER entry_no_update")
    opened.execute("UPDATE entry SET leaf = x'00' WHERE idx = 1")
    opened.commit()
    opened.close()
    done = bare.call("ledger", "verify")
    assert (done.code, "LEDGER_TAMPERED" in done.err) == (13, True)
    done = bare.call("ledger", "prove", "1")
    assert (done.code, "LEDGER_TAMPERED" in done.err) == (13, True)


def test_prove_and_consistency_write_what_verifies(bare: Any, ledger: Ledger) -> None:
    keys = [ledger.key.public()]
    done = bare.call("ledger", "prove", "1")
    assert proof.verify(done.out.encode(), keys).index == 1
    assert bare.call("ledger", "prove", "1", "-o", "p").code == 0
    assert (bare.root / "p").read_bytes() == done.out.encode()
    first = proof.verify(bare.call("ledger", "prove", "0").out.encode(), keys).seen
    done = bare.call("ledger", "consistency", "1")
    assert proof.verify_continuation(done.out.encode(), first, keys).size == 3
    for asked in (["prove", "3"], ["prove", "9"], ["consistency", "4"], ["consistency", "1", "2"]):
        done = bare.call("ledger", *asked)
        assert (done.code, done.out) == (2, ""), done.err


def test_an_export_is_verified_without_the_database(bare: Any, ledger: Ledger) -> None:
    assert "4 entries" in bare.call("ledger", "export", "--tiles", "t").out
    vkey = str(ledger.key.public())
    done = bare.call("ledger", "verify", "--from-export", "t", "--key", vkey, "--pin", "pin")
    assert (done.code, "verified: 4 entries" in done.out) == (0, True)
    (bare.root / "t/tile/0/000.p/4").write_bytes(b"")
    done = bare.call("ledger", "verify", "--from-export", "t", "--key", vkey)
    assert (done.code, "tile 0/000.p/4 is wrong" in done.err) == (13, True)
    assert bare.call("ledger", "verify", "--from-export", "t").code == 2, "no key to verify with"
    done = bare.call("ledger", "verify", "--key", "not a key")
    assert (done.code, "not a verifier key" in done.err) == (2, True)


def test_witness_cosigns_and_the_proof_can_be_made_under_it(bare: Any, ledger: Ledger) -> None:
    vkey = str(ledger.key.public())
    bare.call("keys", "generate", "w")
    bare.call("ledger", "consistency", "0", "-o", "request")
    asked = ["ledger", "witness", "request", "--key", "w.key", "--name", "w.example/1"]
    asked += ["--log", vkey, "--state", "seen"]
    done = bare.call(*asked)
    assert done.code == 0
    bare.write("cosigned", bare.call("ledger", "show", "--note").out + done.out)
    proven = bare.call("ledger", "prove", "2", "--checkpoint", "cosigned")
    assert "— w.example/1 " in proven.out
    assert proof.verify(proven.out.encode(), [ledger.key.public()]).index == 2
    again = bare.call(*asked)
    assert (again.code, again.out, "409" in again.err) == (13, "3\n", True)


def test_it_needs_nothing_of_the_extras(bare: Any, ledger: Ledger) -> None:
    code = (
        "import sys; from auditor.cli import app\n"
        "try: app(['ledger', 'verify', '--ledger', sys.argv[1]])\n"
        "except SystemExit as end: assert not end.code\n"
        "bad = ('auditor.config', 'pandas', 'pg8000', 'ruamel')\n"  # typer takes pydantic if there
        "print([m for m in bad if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(Path(ledger.where).absolute())]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_gate_leaves_proofs_that_a_training_job_can_verify(site: Any) -> None:
    import hashlib

    data = site.write("in/a.parquet", site.rows(200, 5))
    assert site.call("gate", data, "-q").code == 0
    (published,) = site.visible("published")
    (run,) = site.visible("runs")
    key = Ledger(site.root / ".auditor" / "ledger.db").key.public()
    for folder in (published, run):
        attested = hashlib.sha256((folder / "attestation.dsse.json").read_bytes()).hexdigest()
        proven = proof.verify((folder / "proof.tlog").read_bytes(), [key])
        proof.require_verdict(proven, attested)
    assert (published / "proof.tlog").stat().st_mode & 0o222 == 0
    assert site.call("ledger", "verify").code == 0
