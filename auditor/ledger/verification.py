"""Holds a whole ledger against its own hashes, its checkpoints, and one that was seen before.

Everything is computed again from the bodies. The stored hashes are only compared with that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import ne
from typing import Final

from auditor.ledger.events import KEY_CHANGED, decode
from auditor.ledger.faults import LedgerTampered
from auditor.ledger.heads import SIGNED, read_note
from auditor.ledger.store import Row, Session, Store
from auditor.transparency.checkpoint import Seen
from auditor.transparency.merkle import Node, levels, tree_root
from auditor.transparency.note import VerifierKey
from auditor.transparency.refused import LogForked, LogRefused

_ENTRIES: Final = "SELECT idx, at, body, leaf FROM entry WHERE idx >= ? ORDER BY idx LIMIT ?"
_PAGE: Final = 10_000
_AT: Final = b'"at":"'
_TIME: Final = 20  # characters of a time
_SKIP: Final = len(_AT)
_EVENT: Final = b'"event":"'
_CHANGED: Final = b'%s%s"' % (_EVENT, KEY_CHANGED.encode())
_SIGNED: Final = tuple(b'%s%s"' % (_EVENT, name.encode()) for name in sorted(SIGNED))


@dataclass(frozen=True, slots=True)
class Verified:
    """What was verified: how many entries and checkpoints, and the newest of these."""

    entries: int
    checkpoints: int
    newest: Seen

    @property
    def uncovered(self) -> int:
        """Entries behind the newest checkpoint: who can write there can drop them unseen."""
        return self.entries - self.newest.size


def verify_store(store: Store, keys: Sequence[VerifierKey], pin: Seen | None = None) -> Verified:
    """Verify everything in the database by the log's keys.

    Raises:
        LedgerTampered: an entry, subtree or checkpoint is not what was written, or is missing.
        LogRefused: LEDGER_ROLLBACK, or `LogForked` with both notes: it contradicts `pin`.
    """
    with store.reading() as session:
        found = _Found(store.where)
        for page in _pages(session):
            found.take(page)
        if session.bare:
            raise LedgerTampered(
                store.where,
                "no checkpoint covers it: it was written before there were any, or "
                "they were removed; the next append to an old ledger signs one",
            )
        tree = levels(found.leaves)
        _compare_nodes(session, store.where, tree)
        checkpoints = _checkpoints(session, found, keys)
    node = reader(tree)
    _require_checkpoints(found, checkpoints, node)
    verified = Verified(len(found.leaves), len(checkpoints), checkpoints[-1])
    if pin is not None:
        require_pin(pin, verified, node)
    return verified


def require_pin(pin: Seen, verified: Verified, node: Node) -> None:
    """Raise `LogRefused` unless the log whose subtrees `node` returns starts with that of `pin`."""
    newest = verified.newest
    if pin.checkpoint.origin != newest.checkpoint.origin:
        raise LogRefused("CHECKPOINT_ORIGIN", "The pinned checkpoint is of another log.")
    if pin.size > verified.entries:
        raise LogRefused(
            "LEDGER_ROLLBACK",
            f"The log has {verified.entries} entries; {pin.size} were seen before.",
        )
    if tree_root(pin.size, node) != pin.root:
        raise LogForked(
            f"The first {pin.size} entries are not those that were seen before.",
            pin.note,
            newest.note,
        )


class _Found:
    """The entries that were read: their leaves, and which of them a checkpoint must follow."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.leaves: list[bytes] = []
        self.signed: list[int] = []
        self.changes: list[tuple[int, str]] = []  # a log of so many entries got this key

    def take(self, page: Sequence[Row]) -> None:
        """Verify each entry alone; column by column, which is twice as fast as row by row."""
        indexes, times, bodies, leaves = zip(*page, strict=True)
        start = len(self.leaves)
        self._compare(indexes, range(start, start + len(page)), "is missing")
        self._compare(map(type, bodies), [bytes] * len(bodies), "is not bytes")
        hashes = [hashlib.sha256(b"\x00" + body).digest() for body in bodies]
        self._compare(leaves, hashes, "differs from its hash")
        # Keys are in order and quotes escaped: the first "at" and the last "event" are the entry's.
        said = [body[(at := body.find(_AT) + _SKIP) : at + _TIME] for body in bodies]
        self._compare(map(str.encode, map(str, times)), said, "has another time than its body")
        found = [body.rfind(_EVENT) for body in bodies]
        self.signed += [
            start + at
            for at, (body, place) in enumerate(zip(bodies, found, strict=True))
            if body.startswith(_SIGNED, place)
        ]
        self.changes += [
            (start + at + 1, self._new_key(start + at, body))
            for at, (body, place) in enumerate(zip(bodies, found, strict=True))
            if body.startswith(_CHANGED, place)
        ]
        self.leaves += hashes

    def _new_key(self, index: int, body: bytes) -> str:
        try:
            return str(decode(body).detail["key"])
        except (ValueError, KeyError) as error:
            raise LedgerTampered(self.where, f"entry {index} changes to no key") from error

    def keys_at(self, size: int, keys: Sequence[VerifierKey]) -> list[VerifierKey]:
        """Those of the log's keys that may have signed for so many entries.

        The checkpoint of a change is signed by both keys. From then on the old one does not count,
        and before that the new one does not.
        """
        past = [key for at, key in self.changes if at < size]
        coming = {key for at, key in self.changes if at > size}
        return [k for k in keys if str(k) not in coming and (not past or str(k) == past[-1])]

    def _compare(self, stored: Iterable[object], right: Sequence[object], what: str) -> None:
        found = list(stored)
        if found != list(right):
            at = next(at for at, pair in enumerate(zip(found, right, strict=True)) if ne(*pair))
            raise LedgerTampered(self.where, f"entry {len(self.leaves) + at} {what}")


def _pages(session: Session) -> Iterator[Sequence[Row]]:
    start = 0
    while page := session.all(_ENTRIES, (start, _PAGE)):
        yield page
        start = page[-1][0] + 1


def _compare_nodes(session: Session, where: str, tree: Sequence[Sequence[bytes]]) -> None:
    for level, expected in enumerate(tree[1:], 1):
        stored = session.all("SELECT pos, hash FROM node WHERE level = ? ORDER BY pos", (level,))
        if stored != list(enumerate(expected)):
            raise LedgerTampered(where, f"the stored subtrees of level {level} are wrong")
    (extra,) = session.all("SELECT count(*) FROM node WHERE level >= ?", (max(len(tree), 1),))
    if extra[0]:
        raise LedgerTampered(where, "there are subtrees of entries that are not there")


def _checkpoints(session: Session, found: _Found, keys: Sequence[VerifierKey]) -> list[Seen]:
    rows = session.all("SELECT size, note FROM checkpoint ORDER BY size")
    if not rows:
        raise LedgerTampered(found.where, "there is no checkpoint")
    signers = {size: found.keys_at(size, keys) if found.changes else keys for size, _ in rows}
    return [read_note(note, size, found.where, signers[size]) for size, note in rows]


def _require_checkpoints(found: _Found, checkpoints: Sequence[Seen], node: Node) -> None:
    """Every checkpoint fits the entries, and every verdict since the first one has its own."""
    for seen in checkpoints:
        if seen.size > len(found.leaves):
            text = f"checkpoint {seen.size} covers more than the {len(found.leaves)} entries"
            raise LedgerTampered(found.where, text)
        if tree_root(seen.size, node) != seen.root:
            raise LedgerTampered(
                found.where, f"the entries are not those of checkpoint {seen.size}"
            )
    sizes = {seen.size for seen in checkpoints}
    for index in found.signed:
        if index >= checkpoints[0].size and index + 1 not in sizes:
            raise LedgerTampered(found.where, f"the checkpoint of entry {index} is missing")


def reader(tree: Sequence[Sequence[bytes]]) -> Node:
    """Subtrees of a tree in memory."""
    return lambda level, position: tree[level][position]
