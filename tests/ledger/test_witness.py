"""What a witness cosigns, and what it refuses with which status."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditor.errors import LedgerError
from auditor.ledger import Ledger
from auditor.ledger.witness import NotCosigned, Witness
from auditor.transparency import note
from auditor.transparency.checkpoint import Checkpoint, issue, open_checkpoint
from auditor.transparency.proof import ConsistencyProof, verify

KEY = Ed25519PrivateKey.from_private_bytes(b"\x09" * 32)
NAME = "witness.example/w1"
NOW = 1_800_000_000


@pytest.fixture
def database(copy: Callable[[int, int], Any]) -> Any:
    return copy(20, 5)


@pytest.fixture
def witness(database: Any, tmp_path: Path) -> Witness:
    return Witness(NAME, KEY, [database.vkey], tmp_path / "state")


def status(witness: Witness, request: bytes) -> tuple[int, int | None]:
    with pytest.raises(NotCosigned) as refused:
        witness.cosign(request, NOW)
    return refused.value.status, refused.value.size


def test_checkpoints_in_a_row_are_cosigned(database: Any, witness: Witness) -> None:
    own = note.public_half(NAME, KEY, note.COSIGNATURE)
    for old, new in [(0, 5), (5, 10), (10, 10), (10, 20)]:
        request = database.ledger.continuation(old, new)
        line = witness.cosign(request, NOW)
        cosigned = request.partition(b"\n\n")[2] + line
        seen = open_checkpoint(cosigned, [database.vkey], witnesses=[own], quorum=1)
        assert seen.size == new


def test_a_proof_under_a_cosigned_checkpoint(database: Any, witness: Witness) -> None:
    request = database.ledger.continuation(0)
    cosigned = request.partition(b"\n\n")[2] + witness.cosign(request, NOW)
    own = note.public_half(NAME, KEY, note.COSIGNATURE)
    under = open_checkpoint(cosigned, [database.vkey], witnesses=[own], quorum=1)
    file = database.ledger.prove(3, under=under)
    assert verify(file, [database.vkey], witnesses=[own], quorum=1).index == 3
    plain = database.ledger.prove(3)
    with pytest.raises(Exception, match="NOTE_QUORUM"):
        verify(plain, [database.vkey], witnesses=[own], quorum=1)


def test_case_112_a_stale_old_size(database: Any, witness: Witness) -> None:
    """A request that starts from another size than the witness saw: 409 and its size."""
    assert status(witness, database.ledger.continuation(5, 10)) == (409, 0)
    witness.cosign(database.ledger.continuation(0, 10), NOW)
    for old in (0, 5):
        assert status(witness, database.ledger.continuation(old, 20)) == (409, 10)
    witness.cosign(database.ledger.continuation(10, 20), NOW)
    assert status(witness, database.ledger.continuation(10, 10)) == (409, 20)


def test_case_111_another_root_for_a_size_that_was_seen(database: Any, witness: Witness) -> None:
    """Two checkpoints of one size, both signed by the log: 409, and the first one stays."""
    witness.cosign(database.ledger.continuation(0, 20), NOW)
    other = issue(Checkpoint("auditor.local/ledger", 20, b"\x07" * 32), database.ledger.key.make())
    assert status(witness, ConsistencyProof(20, (), other).to_bytes()) == (409, 20)
    witness.cosign(database.ledger.continuation(20, 20), NOW)


def test_a_log_that_does_not_continue_itself(database: Any, witness: Witness) -> None:
    witness.cosign(database.ledger.continuation(0, 5), NOW)
    bodies = database.bodies()
    database.rewrite([database.body_of(9, said="error"), *bodies[1:]])
    database.sign_anew(database.ledger)
    assert status(witness, database.ledger.continuation(5, 20)) == (422, None)
    assert status(witness, database.ledger.continuation(5, 5)) == (409, 5)


def test_proof_lines_must_be_those_that_are_needed(database: Any, witness: Witness) -> None:
    newest = database.ledger.newest()
    extra = ConsistencyProof(0, (newest.root,), newest.note).to_bytes()
    assert status(witness, extra) == (422, None)
    witness.cosign(database.ledger.continuation(0, 5), NOW)
    missing = ConsistencyProof(5, (), newest.note).to_bytes()
    assert status(witness, missing) == (422, None)


def test_requests_of_strangers(database: Any, witness: Witness, tmp_path: Path) -> None:
    newest = database.ledger.newest()
    assert status(witness, b"") == (400, None)
    assert status(witness, b"old 0\n\nno note") == (400, None)
    assert status(witness, ConsistencyProof(21, (), newest.note).to_bytes()) == (400, None)
    elsewhere = issue(Checkpoint("elsewhere.example", 20, newest.root), KEY)
    assert status(witness, ConsistencyProof(0, (), elsewhere).to_bytes()) == (404, None)
    forged = issue(newest.checkpoint, KEY)
    assert status(witness, ConsistencyProof(0, (), forged).to_bytes()) == (403, None)
    assert not (tmp_path / "state").exists()


def test_what_the_witness_saw_is_not_believed_once_it_was_changed(
    database: Any, witness: Witness, tmp_path: Path
) -> None:
    witness.cosign(database.ledger.continuation(0, 5), NOW)
    (seen,) = (p for p in (tmp_path / "state").iterdir() if p.suffix != ".lock")
    seen.write_bytes(Ledger(database.path).newest().note[:-10])  # type: ignore[union-attr]
    with pytest.raises(LedgerError, match="not what this witness wrote"):
        witness.cosign(database.ledger.continuation(5, 20), NOW)
