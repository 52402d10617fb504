"""What earlier batches of this gate published, for the runs that come after.

A run writes its record into its own folder before the verdict. The database is an index over these
records, in the order of the ledger: it can be deleted, and the next run builds it again.
"""

from auditor.history.past import Past
from auditor.history.record import Record, Written, write
from auditor.history.store import HistoryDamaged, HistoryStore
from auditor.history.sync import catch_up

__all__ = [
    "HistoryDamaged",
    "HistoryStore",
    "Past",
    "Record",
    "Written",
    "catch_up",
    "write",
]
