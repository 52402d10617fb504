"""A private copy of the beginning of a ledger: what was known at some moment, to try things on."""

from __future__ import annotations

from pathlib import Path

from auditor.ledger import tree
from auditor.ledger.events import time_text
from auditor.ledger.proving import Ledger


def copy_before(ledger: Ledger, index: int, path: Path, *, origin: str) -> Ledger:
    """A new ledger in a file, with the entries before `index` byte for byte; it has its own key.

    Raises:
        LedgerError: an entry cannot be believed, or the copy cannot be written.
    """
    copied = Ledger(path, origin=origin)
    copied.store.create()
    with copied.store.writing() as session:
        for entry in ledger.entries(0, index):
            row = (entry.idx, time_text(entry.event.at), entry.body, entry.leaf)
            session.run("INSERT INTO entry(idx, at, body, leaf) VALUES (?, ?, ?, ?)", row)
            tree.grow(session, copied.where, entry.idx, entry.leaf)
    return copied
