"""Checkpoints in the database: the newest is read, verified and continued, never replaced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from auditor.errors import LedgerError
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
from auditor.transparency.note import VerifierKey, public_half
from auditor.transparency.refused import LogRefused

#: Events that somebody outside acts on: each is signed for in its own transaction.
SIGNED: Final = frozenset({"verdict", "released", "ratified", "recall"})

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


def sign_head(session: Session, where: str, key: LedgerKey, size: int) -> Seen:
    """Sign the log as it stands, in the transaction that wrote it.

    Reads the newest checkpoint, verifies it and proves that the log continues it, then signs:
    a log that contradicts its own past is `LedgerTampered`.
    """
    if any_yet(session):
        private = key.private()
    elif key.exists() and size > 1:
        raise LedgerError(
            f"{where}: there is a key ({key.path}), but no checkpoint signed with it: somebody "
            "removed them, or this is another ledger; if the key never signed for this ledger, "
            "move it away"
        )
    else:
        private = key.make()
    node = node_of(session, where)
    before = newest(session, where, [public_half(key.origin, private)])
    checkpoint = Checkpoint(key.origin, size, tree_root(size, node))
    now = Seen(checkpoint, issue(checkpoint, private))
    if before is not None:
        _require_continuation(before, now, node, where)
    session.run("INSERT INTO checkpoint(size, note) VALUES (?, ?)", (size, now.note))
    return now


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
