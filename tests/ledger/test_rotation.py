"""A log gets a new key: the old one announces it in the log, and counts for nothing after that."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from auditor.cli import app
from auditor.errors import LedgerError
from auditor.ledger import Ledger, LedgerTampered
from auditor.ledger.key import LedgerKey
from auditor.ledger.tiles import export
from auditor.ledger.verification import verify_store
from auditor.transparency import proof
from auditor.transparency.checkpoint import Checkpoint, issue, open_checkpoint
from auditor.transparency.note import VerifierKey
from auditor.transparency.refused import LogRefused

NOON = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger of four entries, two of them verdicts."""
    made = tmp_path / "ledger.db"
    for name in ("batch.received", "verdict", "batch.received", "verdict"):
        Ledger(made).append(name, at=NOON, via="gate")
    return made


@pytest.fixture
def rotated(path: Path) -> tuple[Ledger, VerifierKey, VerifierKey]:
    """The same with a new key, and two verdicts after that; the old and the new key."""
    ledger = Ledger(path)
    old = ledger.key.public()
    new = ledger.change_key(NOON, "cli")
    for _ in "ab":
        Ledger(path).append("verdict", at=NOON, via="gate")
    return ledger, old, new


Rotated = tuple[Ledger, VerifierKey, VerifierKey]


def test_old_checkpoints_stay_and_the_new_key_goes_on(rotated: Rotated) -> None:
    ledger, old, new = rotated
    assert ledger.key.known() == [new, old]
    assert verify_store(ledger.store, [new, old]).entries == 7
    assert ledger.newest([new]) is not None
    before, after = ledger.prove(1), ledger.prove(6)
    assert proof.verify(before, [old]).index == 1
    assert proof.verify(after, [new]).index == 6
    for file, key in ((before, new), (after, old)):
        with pytest.raises(LogRefused, match="NOTE_UNKNOWN_KEY"):
            proof.verify(file, [key])
    # Whoever knows the old key alone is led to the new one, and the other way round.
    for key in (old, new):
        told = proof.verify(ledger.prove(4), [key]).event
        assert (told["event"], told["detail"]) == ("ledger.key_changed", {"key": str(new)})


def test_one_key_alone_is_not_enough_for_the_whole_log(rotated: Rotated) -> None:
    ledger, old, new = rotated
    for keys in ([old], [new], []):
        with pytest.raises(LedgerTampered, match="NOTE_UNKNOWN_KEY"):
            verify_store(ledger.store, keys)


def test_an_old_proof_can_be_made_anew_under_the_new_key(rotated: Rotated) -> None:
    ledger, _, new = rotated
    newest = ledger.newest()
    assert newest is not None
    assert proof.verify(ledger.prove(1, under=newest), [new]).index == 1


def test_the_old_key_signs_nothing_after_the_change(copy: Any) -> None:
    """A thief of the retired key has the database too."""
    base = copy(5, 5)
    ledger = base.ledger
    stolen = ledger.key.private()
    new = ledger.change_key(NOON, "cli")
    ledger.append("verdict", at=NOON, via="gate")
    known = ledger.key.known()
    verify_store(ledger.store, known)
    newest = ledger.newest()
    assert newest is not None
    root = newest.checkpoint.root
    forged = issue(Checkpoint(newest.checkpoint.origin, 7, root), stolen)
    with base.open() as opened:
        opened.execute("UPDATE checkpoint SET note = ? WHERE size = 7", (forged,))
    with pytest.raises(LedgerTampered, match="checkpoint 7 does not verify"):
        verify_store(ledger.store, known)
    with pytest.raises(LedgerTampered, match="does not verify"):
        ledger.append("verdict", at=NOON, via="gate")
    assert open_checkpoint(forged, known), "by itself it would pass"
    assert str(new) != str(known[1])


def test_the_new_key_signs_nothing_before_the_change(rotated: Rotated, copy: Any) -> None:
    base = copy(5, 5)
    ledger = base.ledger
    ledger.change_key(NOON, "cli")
    seen = ledger.newest()
    assert seen is not None
    with base.open() as opened:
        ((size, note),) = opened.execute("SELECT size, note FROM checkpoint WHERE size = 5")
        text = open_checkpoint(note, ledger.key.known()).checkpoint
        forged = issue(text, ledger.key.private())
        opened.execute("UPDATE checkpoint SET note = ? WHERE size = ?", (forged, size))
    with pytest.raises(LedgerTampered, match="checkpoint 5 does not verify"):
        verify_store(ledger.store, ledger.key.known())


def test_a_crash_after_the_announcement_is_finished_by_the_next_append(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(_: LedgerKey) -> None:
        raise OSError("the machine stops here")

    old = Ledger(path).key.public()
    with monkeypatch.context() as patch:
        patch.setattr(LedgerKey, "hand_over", dies)
        with pytest.raises(OSError, match="stops here"):
            Ledger(path).change_key(NOON, "cli")
    assert Ledger(path).key.public() == old
    Ledger(path).append("verdict", at=NOON, via="gate")
    assert Ledger(path).key.public() != old
    assert verify_store(Ledger(path).store, Ledger(path).key.known()).entries == 6


def test_a_crash_before_the_announcement_changes_nothing(path: Path) -> None:
    Ledger(path).key.successor.make()
    old = Ledger(path).key.public()
    Ledger(path).append("verdict", at=NOON, via="gate")
    assert Ledger(path).key.known() == [old]
    new = Ledger(path).change_key(NOON, "cli")
    assert Ledger(path).key.known() == [new, old]


def test_a_second_rotate_after_a_crash_announces_nothing_twice(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(LedgerKey, "hand_over", lambda _: None)
        announced = Ledger(path).change_key(NOON, "cli")
    assert Ledger(path).change_key(NOON, "cli") == announced
    names = [entry.name for entry in Ledger(path).entries()]
    assert names.count("ledger.key_changed") == 1


def test_another_host_with_the_old_key_cannot_write(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.key"
    shutil.copyfile(LedgerKey(path.with_name("ledger.db.key")).path, other)
    other.chmod(0o600)
    Ledger(path).change_key(NOON, "cli")
    elsewhere = Ledger(path, key=other)
    with pytest.raises(LedgerError, match="new key since entry 4"):
        elsewhere.append("verdict", at=NOON, via="gate")
    Ledger(path).append("verdict", at=NOON, via="gate")
    with pytest.raises(LedgerTampered, match="NOTE_UNKNOWN_KEY"):
        elsewhere.append("verdict", at=NOON, via="gate")
    assert verify_store(Ledger(path).store, Ledger(path).key.known()).entries == 6


def test_a_change_to_no_key_is_found(path: Path) -> None:
    with pytest.raises(LedgerError, match="key is missing"):
        Ledger(path).append("ledger.key_changed", at=NOON, via="cli")
    assert len(list(Ledger(path).entries())) == 4


def test_twice(rotated: Rotated) -> None:
    ledger, first, second = rotated
    third = ledger.change_key(NOON, "cli")
    assert ledger.key.known() == [third, first, second]
    assert verify_store(ledger.store, ledger.key.known()).entries == 8
    ledger.append("verdict", at=NOON, via="gate")
    assert verify_store(ledger.store, ledger.key.known()).entries == 9


def test_exports_go_on(path: Path, tmp_path: Path) -> None:
    export(Ledger(path), tmp_path / "mirror")
    Ledger(path).change_key(NOON, "cli")
    assert export(Ledger(path), tmp_path / "mirror").size == 5


def test_the_command(path: Path, tmp_path: Path) -> None:
    old = Ledger(path).key.public()
    pin = ("--pin", str(tmp_path / "pin"))
    verify = ("ledger", "verify", "--ledger", str(path))
    assert CliRunner().invoke(app, [*verify, *pin]).exit_code == 0
    done = CliRunner().invoke(app, ["ledger", "rotate", "--ledger", str(path)])
    assert done.exit_code == 0, done.output
    new = Ledger(path).key.public()
    assert f"old key  {old}\nnew key  {new}\n" in done.output
    assert CliRunner().invoke(app, [*verify, *pin]).exit_code == 0
    alone = CliRunner().invoke(app, [*verify, "--key", str(new)])
    assert alone.exit_code == 13, alone.output
    both = CliRunner().invoke(app, [*verify, "--key", str(new), "--key", str(old)])
    assert both.exit_code == 0, both.output


def test_a_list_of_earlier_keys_that_others_may_write_is_refused(rotated: Rotated) -> None:
    from auditor.errors import TrustError

    ledger, _, _ = rotated
    before = ledger.key.path.with_name(f"{ledger.key.path.name}.before")
    before.chmod(0o666)
    with pytest.raises(TrustError, match="others may use"):
        ledger.key.known()
    before.chmod(0o600)
    before.write_text("not a key")
    with pytest.raises(TrustError, match="not a list of verifier keys"):
        ledger.key.known()


def test_a_note_of_both_keys_is_the_announcement_alone(rotated: Rotated) -> None:
    ledger, _, _ = rotated
    with ledger.store.reading() as session:
        notes = dict(session.all("SELECT size, note FROM checkpoint"))
    lines = {size: note.count(b"\xe2\x80\x94 ") for size, note in notes.items()}
    assert lines == {1: 1, 2: 1, 4: 1, 5: 2, 6: 1, 7: 1}
