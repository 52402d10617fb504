"""What a key let in: the batches to think about when it turns out to be somebody else's. Shell.

Time is the ledger's. A manifest says itself when it was signed, and a thief writes what he likes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from auditor.ledger import Ledger

_PUBLISHED = frozenset({"ACCEPT", "QUARANTINE"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A published batch: its ledger entry, when, its digest, its run and its attestation."""

    idx: int
    at: datetime
    batch: str
    run: str | None
    attestation: str


def recall_candidates(ledger: Ledger, keyid: str, since: datetime) -> Iterator[Candidate]:
    """The batches that were let in on the word of a key, with a ledger time >= `since`.

    Raises:
        LedgerError: the ledger cannot be read, or was tampered with.
    """
    for entry in ledger.entries():
        said = entry.event
        if entry.name != "verdict" or said.at < since or said.subject is None:
            continue
        gated = said.detail.get("mode") == "gate" and said.detail.get("verdict") in _PUBLISHED
        if gated and keyid in str(said.detail.get("signers", "")).split():
            yield Candidate(entry.idx, said.at, said.subject, said.run, said.refs[0])
