"""Who audits a delivery: one ledger append decides. No Prefect here.

A claim is a `batch.received` entry whose subject is the delivery's key. It names the run in its
detail; what became of the claim is what the ledger says about that run. Claims are made after the
run's mark is locked: a process that dies afterwards is found by recovery, which logs `batch.held`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from auditor.ledger import NONE_YET, Conflict, Entry, Ledger
from auditor.model import Scalar
from auditor_flows.inbox import Delivery

#: A delivery whose audits break off this often waits for a person: it may be what breaks them.
ATTEMPTS: Final = 3
_CLAIM: Final = "batch.received"
_INTERRUPTED: Final = "interrupted"


class Stand(StrEnum):
    """What became of a delivery so far."""

    NEW = "new"
    BUSY = "being audited"
    DECIDED = "decided"
    HELD = "held"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The newest claim: its ledger index, run and outcome, and how many there were."""

    stand: Stand
    head: int = NONE_YET
    run: str = ""
    attempts: int = 0

    def is_due(self) -> bool:
        """Whether a watcher may audit by itself: never seen, or broken off not too often."""
        broken_off = self.stand is Stand.INTERRUPTED and self.attempts < ATTEMPTS
        return self.stand is Stand.NEW or broken_off


def standing(ledger: Ledger, delivered: Delivery) -> Standing:
    """What the ledger knows. Call `Workspace.recover` first: it logs the dead as held.

    Raises:
        LedgerError: it cannot be read.
    """
    claims = ledger.find(subject=delivered.key, event=_CLAIM)
    if not claims:
        return Standing(stand=Stand.NEW)
    newest = claims[-1]
    run = str(newest.event.detail.get("run_id", ""))
    return Standing(
        stand=_outcome(ledger.find(run=run)) if run else Stand.HELD,
        head=newest.idx,
        run=run,
        attempts=len(claims),
    )


def _outcome(said: tuple[Entry, ...]) -> Stand:
    names = {entry.name for entry in said}
    if "verdict" in names:
        return Stand.DECIDED
    reasons = [entry.event.detail.get("reason") for entry in said if entry.name == "batch.held"]
    if not reasons:
        return Stand.BUSY
    return Stand.INTERRUPTED if reasons[-1] == _INTERRUPTED else Stand.HELD


def take(ledger: Ledger, delivered: Delivery, run: str, known: Standing, *, now: datetime) -> None:
    """Claim a delivery for a run, as one append.

    Raises:
        Conflict: somebody is auditing it, or claimed it since `known`; nothing was written.
        LedgerError: it cannot be written.
    """
    if known.stand is Stand.BUSY:
        raise Conflict(f"{delivered.name}: run {known.run} is auditing it")
    detail: dict[str, Scalar] = {"what": "delivery", "run_id": run, "attempt": known.attempts + 1}
    if known.run:
        detail["after"] = known.run
    ledger.append(
        _CLAIM,
        at=now,
        via="gate",
        subject=delivered.key,
        refs=[delivered.digest],
        detail=detail,
        expect=known.head,
    )
