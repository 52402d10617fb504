"""What `auditor status issue` says: recalls, the log's checkpoint, and that it continues others."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Final

from auditor.errors import LedgerError
from auditor.ledger import Entry, Ledger
from auditor.provenance import status
from auditor.provenance.status import Continuation
from auditor.transparency import merkle
from auditor.trust_files import Pinned, seen_in

if TYPE_CHECKING:
    from auditor.config import Settings
    from auditor.trust.policy import TrustPolicy

#: Earlier checkpoints that a status proves to be continued, the newest ones. Each takes about a
#: kilobyte. A training job that last looked before them needs `auditor ledger consistency`.
CONTINUED: Final = 512


def policy_in_force(settings: Settings, ledger: Ledger, now: datetime) -> TrustPolicy | None:
    """The trust policy, None where the settings name none.

    Raises:
        TrustError: it is not signed as it must be, has expired, or is older than one seen here.
        LedgerError: the ledger cannot be read.
    """
    trust = settings.trust
    if trust.policy is None or trust.sha256 is None:
        return None
    return Pinned(trust.policy, trust.sha256).load(now, seen_in(ledger))


def statement(
    ledger: Ledger, *, now: datetime, policy_version: int = 0, continued: int = CONTINUED
) -> bytes:
    """The payload of the status at `now`, ready to be signed.

    Raises:
        LedgerError: the ledger is empty, cannot be read or contradicts its own checkpoint.
    """
    newest = ledger.newest()
    if newest is None:
        raise LedgerError(f"{ledger.where}: nothing was decided yet, so there is no status")
    entries = tuple(ledger.entries())
    tree = merkle.levels(entry.leaf for entry in entries[: newest.size])
    sizes = [size for size in ledger.sizes() if 0 < size < newest.size][-continued:]
    return status.build(
        policy_version=policy_version,
        recalled=_recalled(entries),
        issued_on=now,
        checkpoint=newest.note.decode(),
        consistency=[_continuation(tree, size, newest.size) for size in sizes],
    )


def _recalled(entries: Iterable[Entry]) -> set[str]:
    """Everything that a recall names: the batch, its attestation, what it was made from."""
    recalls = [entry.event for entry in entries if entry.name == "recall"]
    return {digest for event in recalls for digest in (event.subject, *event.refs) if digest}


def _continuation(tree: list[list[bytes]], old: int, new: int) -> Continuation:
    proof = merkle.consistency_proof(old, new, lambda level, at: tree[level][at])
    return Continuation(old, tuple(base64.b64encode(one).decode() for one in proof))
