"""Brings the history up to the ledger: what every run does first, and a gate once it is done.

A crash between the verdict and the history therefore loses nothing, and neither does deleting the
history: entries that are not in it yet are read again from the run folders, in the ledger's order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from auditor.errors import LedgerError
from auditor.history.record import Written
from auditor.history.store import HistoryStore
from auditor.ledger import Entry, Ledger

#: Where the record of a run may be: its folder, or its stage while it is not visible yet.
Folders = Callable[[str], Sequence[Path]]


def catch_up(store: HistoryStore, ledger: Ledger, folders: Folders) -> list[str]:
    """Add what the ledger published since; the runs whose record cannot be found.

    Raises:
        LedgerError: a record is not the one that the ledger names, or the history is not of this
            ledger, or cannot be used.
    """
    _refuse_other_ledger(store, ledger)
    absent = []
    for seq, run, sha256 in store.missing():
        if not _add(store, seq, sha256, folders(run)):
            absent.append(run)
    start, _ = store.progress()
    last: Entry | None = None
    for entry in ledger.entries(start):
        last = entry
        by, named = entry.event.run, published(entry)
        if by is None or named is None:
            continue
        if not _add(store, entry.idx, named, folders(by)):
            store.miss(entry.idx, by, named)
            absent.append(by)
    # Where nothing was published yet there is nothing to keep: an audit makes no file.
    if last is not None and store.path.exists():
        store.advance(last.idx + 1, last.leaf)
    return absent


def published(entry: Entry) -> str | None:
    """The digest of a verdict's record, where it published rows and left one."""
    if entry.name != "verdict" or len(entry.event.refs) < 3:
        return None
    return entry.event.refs[2]


def _add(store: HistoryStore, seq: int, sha256: str, places: Sequence[Path]) -> bool:
    for folder in places:
        record = Written(folder, sha256).read()
        if record is not None:
            store.add(seq, record)
            return True
    return False


def _refuse_other_ledger(store: HistoryStore, ledger: Ledger) -> None:
    following, leaf = store.progress()
    if not following:
        return
    same = next(iter(ledger.entries(following - 1, following)), None)
    if same is None or same.leaf != leaf:
        raise LedgerError(
            f"{store.path}: this history was built from another ledger than {ledger.where}; put "
            "that ledger back, or delete the history: the next run builds it again"
        )
