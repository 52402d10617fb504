"""A frozen data set counts once the log holds it: a gate's key alone makes none."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from auditor.cli import app
from auditor.issuing import statement
from auditor.ledger import Ledger
from auditor.ledger.tiles import export
from auditor.provenance.digests import sha256
from auditor.provenance.strict_json import canonical
from auditor.transparency import note as notes
from auditor.verify import RollbackUnprotected

pytestmark = pytest.mark.slow


def test_without_a_proof(made: Any) -> None:
    """Somebody with the gate's key freezes the batches that he likes, and leaves the log out."""
    given = made.write()
    (made.root / "frozen" / f"{made.name}.proof.tlog").unlink()
    assert made.world.refused(**given) == "PROOF_MISSING"
    assert made.code(proof="frozen/none.proof.tlog") == "PROOF_MISSING"


def test_a_proof_of_another_set(made: Any) -> None:
    """The proof of a set that was frozen is put beside one that was not."""
    other = made.proof
    made.sign(made.world.gate, made.parents[:1])
    assert made.code(proof=other) == "PROOF_EVENT"
    with made.world.verify(**made.given()) as verified:
        assert verified.table().num_rows == 100


def test_a_proof_of_another_event(made: Any) -> None:
    """The log names the list, but not as frozen: as a verdict, or as recalled."""
    made.log(event="verdict")
    assert made.code() == "PROOF_EVENT"
    batch = made.root / made.parents[0].published_sha256
    assert made.code(proof=(batch / "proof.tlog").read_bytes()) == "PROOF_EVENT"


def test_a_proof_of_another_log(made: Any, tmp_path: Path) -> None:
    """The thief of the gate's key keeps a log of his own."""
    made.log(Ledger(tmp_path / "other.db"))
    assert made.code() == "NOTE_UNKNOWN_KEY"


def test_the_frozen_list_in_the_place_of_a_batch(made: Any) -> None:
    """A verdict on a list is no verdict on a batch, nor is its entry."""
    assert made.world.refused(proof=made.proof) == "PROOF_EVENT"


def test_nobody_is_trusted_to_keep_a_log(made: Any) -> None:
    """As for a batch: a proof that nobody can verify is refused, none is demanded."""
    bare = made.world.trust(ledger=None)
    assert made.code(policy=bare) == "NOTE_UNKNOWN_KEY"
    for parent in made.parents:
        (made.root / parent.published_sha256 / "proof.tlog").unlink()
    with pytest.warns(RollbackUnprotected):
        verified = made.world.verify(**made.given(policy=bare, proof=None))
    with verified:
        assert verified.table().num_rows == 300


def test_a_flipped_bit_anywhere_in_the_proof(made: Any) -> None:
    """Every byte of the proof matters but for signatures of strangers."""
    for at in range(0, len(made.proof), 41):
        changed = bytearray(made.proof)
        changed[at] ^= 1
        code = made.code(proof=bytes(changed))
        assert code.startswith(("PROOF_", "NOTE_", "CHECKPOINT_")), (at, code)


def test_a_log_entry_of_the_future(made: Any) -> None:
    """The clock of the training job is behind the log."""
    ledger, later = made.world.ledger, made.world.now + dt.timedelta(hours=1)
    digest = sha256(made.envelope)
    index = ledger.append("dataset.frozen", at=later, via="cli", subject=digest)
    assert made.code(proof=ledger.prove(index)) == "CLOCK_ROLLBACK"


def test_witnesses_have_to_cosign_it(made: Any) -> None:
    """A quorum of witnesses is demanded: for the list as for each batch."""
    witness, name = Ed25519PrivateKey.generate(), "witness.test/w"
    vkey = str(notes.public_half(name, witness, notes.COSIGNATURE))
    newest = made.world.ledger.newest()
    path = made.world.root / "cosigned"
    line = notes.cosign(notes.parse(newest.note), name, witness, int(made.world.now.timestamp()))
    path.write_bytes(newest.note + line)
    said = json.loads(statement(made.world.ledger, now=made.world.now))
    said["predicate"]["checkpoint"] = path.read_text()
    status = made.world.sign(canonical(said), made.world.online)
    trust = made.world.trust(witnesses=[vkey], quorum=1)
    given = made.write() | {"policy": trust, "seen": None, "status": status}
    assert made.world.refused(**given) == "NOTE_QUORUM"
    assert renew(made.root, made.world, "--checkpoint", str(path)).exit_code == 0
    with made.world.verify(**given) as verified:
        assert verified.table().num_rows == 300
        assert verified.rollback_protection == "witness"


def renew(folder: Path, world: Any, *more: str) -> Result:
    """`auditor ledger renew`."""
    ledger = str(world.root / ".auditor" / "ledger.db")
    return CliRunner().invoke(app, ["ledger", "renew", str(folder), "--ledger", ledger, *more])


def test_after_the_logs_key_was_changed(made: Any) -> None:
    """The old key is taken out of the trust policy: its proofs count no more, renewed ones do."""
    given, world = made.write(), made.world
    seen, fresh = world.root / "seen", world.root / "fresh"
    world.verify(**given, seen=seen).close()
    before = world.trust()
    world.ledger.change_key(world.now, "cli")
    world.verify(**given, policy=before, seen=fresh).close()
    for store in (seen, fresh):
        assert world.refused(**given, seen=store) == "NOTE_UNKNOWN_KEY"
    done = renew(made.root, world)
    assert (done.exit_code, "4 proof(s) written" in done.output) == (0, True), done.output
    # What was seen under the old key is still remembered, and has to be continued.
    for _ in "ab":
        with world.verify(**given, seen=seen) as verified:
            assert verified.table().num_rows == 300
        world.ledger.append("verdict", at=world.now, via="gate", refs=["1" * 64])


def test_a_new_key_does_not_hide_an_older_log(made: Any) -> None:
    """Under a new key another history is shown than the one that was seen under the old one."""
    world, folder = made.world, made.world.root / ".auditor"
    kept = {path: path.read_bytes() for path in folder.glob("ledger.db*")}
    world.ledger.append("recall", at=world.now, via="cli", subject="1" * 64)
    world.verify().close()
    for path in folder.glob("ledger.db*"):
        path.unlink()
    for path, content in kept.items():
        path.write_bytes(content)
        path.chmod(0o600)
    world.ledger.change_key(world.now, "cli")
    assert renew(made.root, world).exit_code == 0
    later = world.now + dt.timedelta(minutes=10)
    refused = {"LEDGER_FORK", "PROOF_CONSISTENCY"}
    assert world.refused(now=later, status=world.status(now=later)) in refused


def test_a_proof_under_an_exported_checkpoint(made: Any, tmp_path: Path) -> None:
    """A checkpoint that was signed for an export is continued by later ones like any other."""
    world, given = made.world, made.write()
    world.ledger.append("batch.received", at=world.now, via="gate")
    export(world.ledger, tmp_path / "mirror")
    assert renew(made.root, world).exit_code == 0
    world.ledger.append("verdict", at=world.now, via="gate", refs=["1" * 64])
    with world.verify(**given) as verified:
        assert verified.table().num_rows == 300


def test_a_renewed_proof_is_for_what_the_log_knows(made: Any) -> None:
    """Somebody puts a list of his own beside the others, and waits for the proofs to be renewed."""
    made.write()
    stray = made.root / "frozen" / "autumn.dsse.json"
    stray.write_bytes(made.world.sign(b"{}", made.world.gate))
    linked = made.root / "frozen" / "linked.dsse.json"
    linked.symlink_to(made.root / "frozen" / f"{made.name}.dsse.json")
    done = renew(made.root, made.world)
    assert done.exit_code == 13, done.output
    assert "knows nothing of autumn.dsse.json" in done.output
    assert "4 proof(s) written" in done.output
    kept = sorted(path.name for path in (made.root / "frozen").glob("*.tlog"))
    assert kept == [f"{made.name}.proof.tlog"]


def test_nothing_to_renew(made: Any, tmp_path: Path) -> None:
    assert renew(tmp_path / "none", made.world).exit_code == 2
    (tmp_path / "empty").mkdir()
    done = renew(tmp_path / "empty", made.world)
    assert (done.exit_code, "nothing published" in done.output) == (13, True), done.output
