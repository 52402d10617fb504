"""The ledger: an append-only log of what was decided, by whom and when.

It is a Merkle log (RFC 6962) with signed checkpoints: an edit, a gap, another order are evident.
Without a checkpoint kept elsewhere it is not evident that somebody restored an old backup, or
rewrote it as a whole with the ledger's own key.
"""

from auditor.ledger.events import EVENTS, MAX_BODY, Event, Line, Via, leaf_hash
from auditor.ledger.faults import Conflict, LedgerFull, LedgerTampered
from auditor.ledger.log import ANY, NONE_YET, Entry
from auditor.ledger.proving import Ledger

__all__ = [
    "ANY",
    "EVENTS",
    "MAX_BODY",
    "NONE_YET",
    "Conflict",
    "Entry",
    "Event",
    "Ledger",
    "LedgerFull",
    "LedgerTampered",
    "Line",
    "Via",
    "leaf_hash",
]
