"""The thirteen attacks on a ledger's database, and what catches each.

Every case is run twice: with the database and the public key alone, and with one checkpoint that
was kept elsewhere. What is missed without that is asserted as missed: the documentation says so.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from auditor.errors import LedgerError
from auditor.ledger import Ledger, LedgerTampered
from auditor.ledger.events import leaf_hash
from auditor.transparency.checkpoint import Seen
from auditor.transparency.refused import LogForked, LogRefused

COUNT, EVERY = 130, 20
#: The verdict of entry 119 is the last one: behind it lie ten entries that no checkpoint covers.
LAST = 120


@dataclass(frozen=True)
class Scene:
    """A ledger, a checkpoint over all of it that was kept elsewhere, and one from long ago."""

    database: Any
    pin: Seen
    old_pin: Seen


@pytest.fixture
def scene(copy: Callable[[int, int], Any], tmp_path: Path) -> Scene:
    database = copy(COUNT, EVERY)
    twin = tmp_path / "twin"
    shutil.copytree(database.path.parent, twin)
    pin = Ledger(twin / "ledger.db").checkpoint()
    assert pin.size == COUNT
    old_pin = database.ledger.newest()
    assert old_pin is not None
    assert old_pin.size == LAST
    return Scene(database, pin, old_pin)


def test_an_honest_ledger_verifies_under_every_pin(scene: Scene) -> None:
    for pin in (None, scene.pin, scene.old_pin):
        verified = scene.database.verify(pin)
        # Seven: that of the first entry, and one of each of six verdicts.
        assert (verified.entries, verified.checkpoints) == (COUNT, 7)
        assert (verified.newest.size, verified.uncovered) == (LAST, COUNT - LAST)


def caught(scene: Scene, said: str) -> None:
    """By the database and the public key alone, so with a pin as well."""
    for pin in (None, scene.pin, scene.old_pin):
        with pytest.raises(LedgerTampered, match=f"LEDGER_TAMPERED: .*{re.escape(said)}"):
            scene.database.verify(pin)


def missed_without_pin(scene: Scene, with_pin: type[LogRefused], code: str) -> None:
    scene.database.verify(None)
    with pytest.raises(with_pin, match=code):
        scene.database.verify(scene.pin)


def test_case_96a_edit_body(scene: Scene) -> None:
    """Change the body of an entry."""
    with scene.database.open() as opened:
        opened.execute(
            "UPDATE entry SET body = ? WHERE idx = 7", (scene.database.body_of(7, said="recall"),)
        )
    caught(scene, "entry 7 differs from its hash")


def test_case_96b_edit_body_and_leaf(scene: Scene) -> None:
    """Change the body of an entry, and its leaf hash with it."""
    body = scene.database.body_of(7, said="error")
    with scene.database.open() as opened:
        row = (body, leaf_hash(body))
        opened.execute("UPDATE entry SET body = ?, leaf = ? WHERE idx = 7", row)
    caught(scene, "the stored subtrees of level 1 are wrong")


def test_case_96c_edit_and_rehash_all(scene: Scene) -> None:
    """Change the body of an entry and every hash above it."""
    bodies = scene.database.bodies()
    bodies[7] = scene.database.body_of(7, said="error")
    scene.database.rewrite(bodies)
    caught(scene, "the entries are not those of checkpoint 20")


def test_case_96d_delete_from_the_middle(scene: Scene) -> None:
    """Remove an entry and leave the gap."""
    with scene.database.open() as opened:
        opened.execute("DELETE FROM entry WHERE idx = 7")
    caught(scene, "entry 7 is missing")


def test_case_96e_delete_renumber_and_rehash(scene: Scene) -> None:
    """Remove an entry, close the gap, compute every hash again."""
    bodies = scene.database.bodies()
    scene.database.rewrite(bodies[:7] + bodies[8:])
    caught(scene, "the entries are not those of checkpoint 20")


def test_case_96f_reorder_and_rehash(scene: Scene) -> None:
    """Exchange two entries, compute every hash again."""
    bodies = scene.database.bodies()
    bodies[7], bodies[8] = bodies[8], bodies[7]
    scene.database.rewrite(bodies)
    caught(scene, "the entries are not those of checkpoint 20")


def test_case_96g_insert_backdated_and_rehash(scene: Scene) -> None:
    """Put an entry with an old date among the old ones, compute every hash again."""
    bodies = scene.database.bodies()
    scene.database.rewrite([*bodies[:8], scene.database.body_of(7, said="recall"), *bodies[8:]])
    caught(scene, "the entries are not those of checkpoint 20")


def test_case_96h_truncate_and_leave_the_checkpoints(scene: Scene) -> None:
    """Drop the newest entries, keep every checkpoint."""
    scene.database.rewrite(scene.database.bodies()[: LAST - 10])
    caught(scene, f"checkpoint {LAST} covers more than the {LAST - 10} entries")


def test_case_96i_delete_all_checkpoints(scene: Scene) -> None:
    """Remove every checkpoint, so that nothing contradicts the entries."""
    with scene.database.open() as opened:
        opened.execute("DELETE FROM checkpoint")
    caught(scene, "there is no checkpoint")


def test_case_96i_delete_the_newest_checkpoints_only(scene: Scene) -> None:
    """Remove the checkpoint of one verdict, keep the verdict."""
    with scene.database.open() as opened:
        opened.execute("DELETE FROM checkpoint WHERE size = ?", (LAST,))
    caught(scene, f"the checkpoint of entry {LAST - 1} is missing")


def test_case_96i_pretend_to_be_from_before_checkpoints(scene: Scene) -> None:
    """Remove the tables of subtrees and checkpoints, and call the file an old ledger."""
    with scene.database.open() as opened:
        opened.execute("DROP TABLE node")
        opened.execute("DROP TABLE checkpoint")
        opened.execute("PRAGMA user_version = 1")
    caught(scene, "no checkpoint covers it")


def test_case_96j_rewrite_and_sign_with_an_own_key(scene: Scene, tmp_path: Path) -> None:
    """Write another history and sign it with a key made for the purpose."""
    bodies = scene.database.bodies()
    bodies[7] = scene.database.body_of(7, said="error")
    scene.database.rewrite(bodies)
    scene.database.sign_anew(Ledger(tmp_path / "strangers.db"))
    caught(scene, "checkpoint 1 does not verify (NOTE_UNKNOWN_KEY")


def test_case_96k_restore_an_old_backup(scene: Scene) -> None:
    """Go back to an earlier state, with the checkpoints of then. Missed without a pin."""
    scene.database.rewrite(scene.database.bodies()[:100], drop="size > 100")
    missed_without_pin(scene, LogRefused, "LEDGER_ROLLBACK: The log has 100 entries; 130 were")


def test_case_96l_drop_entries_behind_the_last_checkpoint(scene: Scene) -> None:
    """Drop what no stored checkpoint covers. Missed without a pin that covers it."""
    scene.database.rewrite(scene.database.bodies()[:LAST])
    missed_without_pin(scene, LogRefused, "LEDGER_ROLLBACK")
    scene.database.verify(scene.old_pin)


def test_case_96m_rewrite_with_the_stolen_key(scene: Scene) -> None:
    """Write another history and sign it with the ledger's own key. Missed without a pin."""
    bodies = scene.database.bodies()
    bodies[7] = scene.database.body_of(7, said="error")
    scene.database.rewrite(bodies)
    scene.database.sign_anew(scene.database.ledger)
    missed_without_pin(scene, LogForked, "LEDGER_FORK")
    with pytest.raises(LogForked) as forked:
        scene.database.verify(scene.old_pin)
    newest = scene.database.ledger.newest()
    assert newest is not None
    assert (forked.value.seen, forked.value.given) == (scene.old_pin.note, newest.note)


# ------------------------------------------------------------ the gate itself, on such a database

VERDICT = 500


def append_verdict(database: Any) -> None:
    database.ledger.append("verdict", at=database.now, via="gate", subject=database.batch(VERDICT))


@pytest.mark.parametrize("attack", ["edit", "delete", "reorder", "truncate", "checkpoints", "old"])
def test_the_gate_signs_no_checkpoint_over_a_changed_history(scene: Scene, attack: str) -> None:
    bodies = scene.database.bodies()
    changed = {
        "edit": [*bodies[:7], scene.database.body_of(7, said="error"), *bodies[8:]],
        "delete": bodies[:7] + bodies[8:],
        "reorder": [*bodies[:7], bodies[8], bodies[7], *bodies[9:]],
        "truncate": bodies[:100],
    }
    if attack in changed:
        scene.database.rewrite(changed[attack])
    else:
        with scene.database.open() as opened:
            opened.execute("DELETE FROM checkpoint")
            if attack == "old":
                opened.execute("DROP TABLE node")
                opened.execute("DROP TABLE checkpoint")
                opened.execute("PRAGMA user_version = 1")
    before = scene.database.bodies()
    with pytest.raises(LedgerError, match=r"LEDGER_TAMPERED|no checkpoint signed with it"):
        append_verdict(scene.database)
    assert scene.database.bodies() == before, "not even the entry was written"


def test_the_gate_signs_nothing_without_its_key(scene: Scene) -> None:
    scene.database.ledger.key.path.unlink()
    with pytest.raises(LedgerError, match="key is missing; restore it"):
        append_verdict(scene.database)
    assert not scene.database.ledger.key.path.exists(), "a new key would hide the loss of the old"


def test_the_gate_signs_nothing_under_another_origin(scene: Scene) -> None:
    elsewhere = Ledger(scene.database.path, origin="elsewhere.example/ledger")
    with pytest.raises(LedgerTampered, match="NOTE_UNKNOWN_KEY"):
        elsewhere.append("verdict", at=scene.database.now, via="gate")
