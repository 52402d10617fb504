"""Checkpoints and proofs of a real ledger file."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.errors import LedgerError, TrustError
from auditor.ledger import Ledger, LedgerTampered
from auditor.ledger.events import Event, encode, leaf_hash
from auditor.ledger.verification import verify_store
from auditor.transparency import note, proof
from auditor.transparency.checkpoint import open_checkpoint
from auditor.transparency.refused import LogRefused

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
BATCH = hashlib.sha256(b"a batch").hexdigest()
OTHER = hashlib.sha256(b"another").hexdigest()


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.db")


def say(ledger: Ledger, *names: str) -> None:
    for name in names:
        ledger.append(name, at=NOON, via="gate", subject=BATCH)


def sizes(ledger: Ledger) -> list[int]:
    with ledger.store.reading() as session:
        return [row[0] for row in session.all("SELECT size FROM checkpoint ORDER BY size")]


def test_the_first_entry_and_every_verdict_release_and_recall_are_signed_for(
    ledger: Ledger,
) -> None:
    say(ledger, "batch.received", "batch.screening", "verdict", "batch.held", "released")
    say(ledger, "consumed", "recall", "ratified", "error")
    assert sizes(ledger) == [1, 3, 5, 7, 8]
    newest = ledger.newest()
    assert newest is not None
    assert newest.size == 8
    assert newest.checkpoint.origin == "auditor.local/ledger"


def test_the_key_is_made_once_for_its_owner_alone(ledger: Ledger) -> None:
    assert ledger.newest() is None
    say(ledger, "verdict")
    key = ledger.key.path
    assert key.name == "ledger.db.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    made = key.read_bytes()
    assert b"BEGIN PRIVATE KEY" in made
    say(ledger, "verdict")
    assert key.read_bytes() == made
    vkey = str(ledger.key.public())
    assert note.parse_vkey(vkey).name == "auditor.local/ledger"


@pytest.mark.parametrize("spoil", ["readable", "text", "another kind"])
def test_a_key_that_is_exposed_or_no_key_signs_nothing(ledger: Ledger, spoil: str) -> None:
    say(ledger, "verdict")
    if spoil == "readable":
        ledger.key.path.chmod(0o644)
    elif spoil == "text":
        ledger.key.path.write_text("not a key")
    else:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        ledger.key.path.write_bytes(pem)
    with pytest.raises(TrustError, match="the ledger's key"):
        say(ledger, "verdict")
    assert len(list(ledger.entries())) == 1
    say(ledger, "batch.held")
    assert len(list(ledger.entries())) == 2, "what is not signed for needs no key"


def test_every_entry_is_proven_to_whoever_has_the_public_key(ledger: Ledger) -> None:
    say(ledger, *["batch.received", "batch.screening", "verdict"] * 3)
    vkey = note.parse_vkey(str(ledger.key.public()))
    for entry in ledger.entries():
        proven = proof.verify(ledger.prove(entry.idx), [vkey])
        assert (proven.index, proven.body) == (entry.idx, entry.body)
        assert proven.seen.size == {0: 1, 1: 3, 2: 3, 3: 6, 4: 6, 5: 6}.get(entry.idx, 9)


def test_what_no_checkpoint_covers_is_not_proven_yet(ledger: Ledger) -> None:
    say(ledger, "verdict", "batch.received")
    with pytest.raises(LedgerError, match="no checkpoint covers entry 1 yet"):
        ledger.prove(1)
    for absent in (-1, 2):
        with pytest.raises(LedgerError, match=f"no entry {absent}"):
            ledger.prove(absent)
    assert ledger.checkpoint().size == 2
    assert ledger.checkpoint() == ledger.newest(), "asked again, the same note"
    assert proof.verify(ledger.prove(1), [ledger.key.public()]).index == 1


def test_the_proof_of_an_attestation_is_that_of_its_verdict(ledger: Ledger) -> None:
    assert ledger.proof_of(OTHER) is None
    ledger.append("batch.held", at=NOON, via="gate", subject=BATCH, refs=[OTHER])
    assert ledger.proof_of(OTHER) is None
    ledger.append("verdict", at=NOON, via="gate", subject=BATCH, refs=[BATCH, OTHER])
    say(ledger, "verdict")
    file = ledger.proof_of(OTHER)
    assert file is not None
    proven = proof.verify(file, [ledger.key.public()])
    assert proven.index == 1
    proof.require_verdict(proven, OTHER)
    say(ledger, "verdict")
    assert ledger.proof_of(OTHER) == file, "the same bytes, whenever it is asked for"


def test_a_checkpoint_continues_every_older_one(ledger: Ledger) -> None:
    seen = []
    for _ in range(7):
        say(ledger, "batch.received", "verdict")
        newest = ledger.newest()
        assert newest is not None
        seen.append(newest)
    keys = [ledger.key.public()]
    for old in seen:
        assert proof.verify_continuation(ledger.continuation(old.size), old, keys) == seen[-1]
        assert proof.verify_continuation(ledger.continuation(old.size, 14), old, keys).size == 14
    for old, new in [(3, 2), (-1, None), (15, None), (2, 5), (2, 99)]:
        with pytest.raises(LedgerError):
            ledger.continuation(old, new)


def test_there_is_no_proof_where_there_is_no_ledger(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="no entry 0"):
        ledger.prove(0)
    with pytest.raises(LedgerError, match="no checkpoint"):
        ledger.continuation(0)
    with pytest.raises(LedgerError, match="no ledger yet"):
        ledger.checkpoint()


def test_a_proof_of_a_changed_entry_is_never_handed_out(copy: Callable[[int, int], Any]) -> None:
    database = copy(20, 5)
    bodies = database.bodies()
    database.rewrite([*bodies[:7], database.body_of(7, said="error"), *bodies[8:]])
    with pytest.raises(LedgerTampered, match="PROOF_INCLUSION"):
        database.ledger.prove(7)


# ------------------------------------------------------------------- ledgers from before the tree

OLD_SCHEMA = """
CREATE TABLE entry(
  idx INTEGER PRIMARY KEY, at TEXT NOT NULL,
  body BLOB NOT NULL CHECK(length(body)<=65535), leaf BLOB NOT NULL);
CREATE INDEX entry_subject ON entry(json_extract(CAST(body AS TEXT), '$.subject.sha256'));
CREATE INDEX entry_run ON entry(json_extract(CAST(body AS TEXT), '$.run'));
CREATE TRIGGER entry_dense BEFORE INSERT ON entry
  WHEN NEW.idx IS NOT (SELECT coalesce(max(idx) + 1, 0) FROM entry)
  BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER entry_no_update BEFORE UPDATE ON entry
  BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER entry_no_delete BEFORE DELETE ON entry
  BEGIN SELECT RAISE(ABORT, 'append-only'); END;
PRAGMA application_id = 1096107084;
PRAGMA user_version = 1;
"""


@pytest.fixture
def old(ledger: Ledger) -> Ledger:
    """A ledger of version 1 with eleven entries, verdicts among them."""
    opened = sqlite3.connect(ledger.where)
    opened.executescript(OLD_SCHEMA)
    for number in range(11):
        name = "verdict" if number % 3 == 2 else "batch.received"
        body = encode(Event(name=name, at=NOON, via="gate", subject=BATCH))
        row = (number, "2026-11-22T12:00:00Z", body, leaf_hash(body))
        opened.execute("INSERT INTO entry VALUES (?, ?, ?, ?)", row)
    opened.commit()
    opened.execute("PRAGMA journal_mode=WAL")
    opened.close()
    return ledger


def test_an_old_ledger_is_read_as_it_is(old: Ledger) -> None:
    assert len(list(old.entries())) == 11
    assert old.newest() is None
    assert not old.key.path.exists()
    with pytest.raises(LedgerError, match="there is no checkpoint"):
        old.continuation(0)


@pytest.mark.parametrize("event", ["batch.received", "verdict"])
def test_the_first_append_to_an_old_ledger_covers_all_of_it(old: Ledger, event: str) -> None:
    say(old, event)
    assert sizes(old) == [12]
    keys = [old.key.public()]
    assert verify_store(old.store, keys).entries == 12
    assert proof.verify(old.prove(2), keys).index == 2
    say(old, "verdict")
    assert verify_store(old.store, keys).checkpoints == 2


def test_a_checkpoint_can_be_asked_for_over_an_old_ledger(old: Ledger) -> None:
    assert old.checkpoint().size == 11
    assert verify_store(old.store, [old.key.public()]).uncovered == 0


# --------------------------------------------------------------------------------- any bit at all

COLUMNS = {
    "entry": ("idx", "at", "body", "leaf"),
    "node": ("level", "pos", "hash"),
    "checkpoint": ("size", "note"),
}


def flip(value: int | str | bytes, bit: int) -> int | bytes:
    if isinstance(value, int):
        return value ^ 1 << bit % 16
    raw = bytearray(value if isinstance(value, bytes) else value.encode())
    raw[bit // 8 % len(raw)] ^= 1 << bit % 8
    return bytes(raw)


@settings(max_examples=100)
@given(data=st.data())
def test_any_bit_changed_in_any_row_is_refused(
    built: Callable[[int, int], Path],
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("flip") / "ledger"
    shutil.copytree(built(20, 5), folder)
    ledger = Ledger(folder / "ledger.db")
    table = data.draw(st.sampled_from(sorted(COLUMNS)))
    column = data.draw(st.sampled_from(COLUMNS[table]))
    opened = sqlite3.connect(ledger.where)
    guards = "SELECT type, name FROM sqlite_schema WHERE type = 'trigger' OR name LIKE 'entry!_%' "
    for kind, name in opened.execute(guards + "ESCAPE '!'").fetchall():
        opened.execute(f"DROP {kind} {name}")
    keys = COLUMNS["node"][:2] if table == "node" else COLUMNS[table][:1]
    rows = opened.execute(f"SELECT {', '.join(keys)}, {column} FROM {table}").fetchall()
    *key, value = data.draw(st.sampled_from(rows))
    changed = flip(value, data.draw(st.integers(0, 4000)))
    where = " AND ".join(f"{name} = ?" for name in keys)
    target = "CAST(? AS TEXT)" if isinstance(value, str) else "?"
    try:
        opened.execute(f"UPDATE {table} SET {column} = {target} WHERE {where}", [changed, *key])
    except sqlite3.IntegrityError:
        return  # the number of another row: the database itself refuses
    opened.commit()
    opened.close()
    with pytest.raises(LedgerError):
        verify_store(ledger.store, [ledger.key.public()])


def test_a_checkpoint_of_another_key_is_not_trusted(ledger: Ledger, tmp_path: Path) -> None:
    say(ledger, "verdict")
    other = Ledger(tmp_path / "other.db")
    say(other, "verdict")
    newest = ledger.newest()
    assert newest is not None
    with pytest.raises(LogRefused, match="NOTE_UNKNOWN_KEY"):
        open_checkpoint(newest.note, [other.key.public()])
    with pytest.raises(LedgerTampered, match="NOTE_UNKNOWN_KEY"):
        ledger.newest([other.key.public()])
