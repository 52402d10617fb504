"""Checkpoints in the database: the newest is read, verified and continued, never replaced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditor.errors import LedgerError
from auditor.ledger.events import KEY_CHANGED
from auditor.ledger.faults import LedgerTampered
from auditor.ledger.key import LedgerKey
from auditor.ledger.store import Session
from auditor.ledger.tree import node_of
from auditor.transparency.checkpoint import (
    Checkpoint,
    Seen,
    issue,
    open_checkpoint,
    require_continuation,
)
from auditor.transparency.merkle import Node, consistency_proof, tree_root
from auditor.transparency.note import VerifierKey, last_signer, public_half
from auditor.transparency.refused import LogRefused

#: Events that somebody outside acts on: each is signed for in its own transaction.
SIGNED: Final = frozenset(
    {"verdict", "released", "ratified", "recall", "dataset.frozen", KEY_CHANGED}
)

_NEWEST: Final = "SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1"
_COVERING: Final = "SELECT size, note FROM checkpoint WHERE size > ? ORDER BY size LIMIT 1"


def newest(session: Session, where: str, keys: Sequence[VerifierKey]) -> Seen | None:
    """The newest checkpoint, verified; None where there is none."""
    return _seen(session, _NEWEST, (), where, keys) if not session.bare else None


def covering(session: Session, where: str, keys: Sequence[VerifierKey], index: int) -> Seen | None:
    """The first checkpoint over the entry at `index`, verified; None where there is none."""
    return _seen(session, _COVERING, (index,), where, keys) if not session.bare else None


def any_yet(session: Session) -> bool:
    """Whether there is a checkpoint."""
    return not session.bare and bool(session.all("SELECT 1 FROM checkpoint LIMIT 1"))


def sign_head(
    session: Session, where: str, key: LedgerKey, size: int, *, changing: bool = False
) -> Seen:
    """Sign the log as it stands, in the transaction that wrote it.

    With `changing` the successor of the key signs as well, and alone from then on. Reads the newest
    checkpoint, verifies it and proves that the log continues it, then signs: a log that contradicts
    its own past is `LedgerTampered`.
    """
    if any_yet(session):
        private = _in_use(session, key)
    elif key.exists() and size > 1:
        raise LedgerError(
            f"{where}: there is a key ({key.path}), but no checkpoint signed with it: somebody "
            "removed them, or this is another ledger; if the key never signed for this ledger, "
            "move it away"
        )
    else:
        private = key.make()
    node = node_of(session, where)
    own = public_half(key.origin, private)
    before = newest(session, where, [own])
    if before is not None and last_signer(before.note, key.origin) != own.key_id:
        raise LedgerError(
            f"{where}: the log has a new key since entry {before.size - 1}; put that key at "
            f"{key.path}, from where `auditor ledger rotate` was given"
        )
    checkpoint = Checkpoint(key.origin, size, tree_root(size, node))
    also = [key.successor.private()] if changing else []
    now = Seen(checkpoint, issue(checkpoint, private, *also))
    if before is not None:
        _require_continuation(before, now, node, where)
    session.run("INSERT INTO checkpoint(size, note) VALUES (?, ?)", (size, now.note))
    return now


def _in_use(session: Session, key: LedgerKey) -> Ed25519PrivateKey:
    """The key that signs now; where a crash cut its change short, that is finished here."""
    private = key.private()
    ((note,),) = session.all("SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1")
    try:
        last = last_signer(note, key.origin)
    except LogRefused:
        return private  # it is refused with its reason where it is verified
    if last == public_half(key.origin, private).key_id or not key.successor.exists():
        return private
    if last == key.successor.public().key_id:
        key.hand_over()
    return key.private()


def read_note(note: object, size: int, where: str, keys: Sequence[VerifierKey]) -> Seen:
    """A stored note, verified; `LedgerTampered` for one that is not of this size or log."""
    try:
        if not isinstance(note, bytes):
            raise LogRefused("NOTE_FORMAT", "The note is not bytes.")
        seen = open_checkpoint(note, keys)
    except LogRefused as refused:
        raise LedgerTampered(where, f"checkpoint {size} does not verify ({refused})") from refused
    if seen.size != size:
        raise LedgerTampered(where, f"checkpoint {size} is of size {seen.size}")
    return seen


def _seen(
    session: Session,
    query: str,
    values: Sequence[int],
    where: str,
    keys: Sequence[VerifierKey],
) -> Seen | None:
    rows = session.all(query, values)
    return read_note(rows[0][1], rows[0][0], where, keys) if rows else None


def _require_continuation(before: Seen, now: Seen, node: Node, where: str) -> None:
    try:
        proof = consistency_proof(before.size, now.size, node)
        require_continuation(before, now, proof)
    except (LogRefused, ValueError) as refused:
        raise LedgerTampered(
            where, f"the entries do not continue checkpoint {before.size} ({refused})"
        ) from refused
