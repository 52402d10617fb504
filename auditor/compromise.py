"""What a key is behind: what it signed here, and the batches that are published because of it.

Any key: of a source that vouched, of the gate that attested, of a person who let rows go. Time is
the ledger's. A document says itself when it was signed, and a thief writes what he likes. Shell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from auditor.ledger import Entry, Ledger
from auditor.lifecycle.states import DECIDED, published


@dataclass(frozen=True, slots=True)
class Candidate:
    """A published batch: its ledger entry, when, its digest, its run and its attestation.

    `why`: what the key did for it.
    """

    idx: int
    at: datetime
    batch: str
    run: str | None
    attestation: str
    why: str


def recall_candidates(ledger: Ledger, keyid: str, since: datetime | None) -> Iterator[Candidate]:
    """The batches that were let in because of a key, by what it signed at ledger time >= `since`.

    Raises:
        LedgerError: the ledger cannot be read, or was tampered with.
    """
    decisions: set[str] = set()
    for entry in _since(ledger, since):
        said = entry.event
        if entry.name in DECIDED and keyid in _keys(entry, "signed_by"):
            decisions.add(said.refs[0])
        if not published(said) or said.subject is None:
            continue
        because = {
            "vouched for": keyid in _keys(entry, "signers"),
            "attested": keyid in _keys(entry, "signed_by"),
            "let go": bool(decisions.intersection(said.refs)),
        }
        if why := ", ".join(words for words, holds in because.items() if holds):
            yield Candidate(entry.idx, said.at, said.subject, said.run, said.refs[0], why)


def signed_with(ledger: Ledger, keyid: str, since: datetime) -> Iterator[Entry]:
    """The entries since then that rest on a signature of this key.

    Verdicts of every kind, decisions about rows, recalls, frozen data sets; what a source signed is
    an entry only once it was let in: see `recall_candidates`.

    Raises:
        LedgerError: the ledger cannot be read, or was tampered with.
    """
    return (entry for entry in _since(ledger, since) if keyid in _keys(entry, "signed_by"))


def _since(ledger: Ledger, since: datetime | None) -> Iterator[Entry]:
    return (e for e in ledger.entries() if since is None or e.event.at >= since)


def _keys(entry: Entry, role: str) -> list[str]:
    return str(entry.event.detail.get(role, "")).split()
