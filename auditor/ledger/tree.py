"""The Merkle tree in the tables: level 0 is `entry.leaf`, the levels above are `node`."""

from __future__ import annotations

from functools import cache
from typing import Final

from auditor.ledger.faults import LedgerTampered
from auditor.ledger.store import Session
from auditor.transparency.merkle import HASH_BYTES, Node, completed_by

_ADD: Final = "INSERT INTO node(level, pos, hash) VALUES (?, ?, ?)"


def node_of(session: Session, where: str) -> Node:
    """Reads complete subtrees, each once; one that is missing is `LedgerTampered`."""

    @cache
    def node(level: int, position: int) -> bytes:
        if level:
            query, at = "SELECT hash FROM node WHERE level = ? AND pos = ?", (level, position)
            rows = session.all(query, at)
        else:
            rows = session.all("SELECT leaf FROM entry WHERE idx = ?", (position,))
        found = rows[0][0] if rows else None
        if not isinstance(found, bytes) or len(found) != HASH_BYTES:
            raise LedgerTampered(where, f"the hash of subtree {level}/{position} is missing")
        return found

    return node


def grow(session: Session, where: str, index: int, leaf: bytes) -> None:
    """Add the subtrees that the entry at `index` completes."""
    for complete in completed_by(index, leaf, node_of(session, where)):
        session.run(_ADD, complete)


def grow_over(session: Session, where: str, count: int) -> None:
    """Lay the tree over `count` entries that were written without one."""
    for index, leaf in session.all("SELECT idx, leaf FROM entry ORDER BY idx"):
        if index >= count:
            break
        grow(session, where, index, leaf)
