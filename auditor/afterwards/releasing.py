"""The release of rows that were set aside: a batch of its own, screened, signed, logged. Shell.

`released` and the verdict of the release are logged together: before that nothing has happened, and
what a crash left invisible after it is shown by the next command.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Final

from auditor.afterwards import release_screening
from auditor.afterwards.deciding import Agreed, agreed, void
from auditor.afterwards.desk import Desk, NotDecided
from auditor.afterwards.quarantined import Aside
from auditor.ledger import Entry
from auditor.lifecycle.decisions import Kind
from auditor.lifecycle.states import SetState
from auditor.model import Mode
from auditor.pipeline import Steps, begin, decide_step, finish
from auditor.provenance.refused import Refused
from auditor.run import Job, Progress, Release, Result
from auditor.trust.policy import RELEASES

#: Reasons that cannot heal: the request has to be made again.
_VOID: Final = frozenset({"DECISION_SET", "DECISION_POLICY", "DECISION_EXPIRED"})
_VERIFIED: Final = "AUDITOR_PROVENANCE_VERIFIED"


def release(
    desk: Desk,
    prefix: str,
    *,
    progress: Progress | None = None,
    clock: Callable[[], dt.datetime] | None = None,
) -> Result:
    """Publish the rows of a set if enough people agreed and the rules agree with them.

    Whatever is not ACCEPT is HOLD: nothing is published, and the set stays where it was.

    Raises:
        NotDecided: the decisions do not count, with the code; a request that can no longer count
            is taken back.
    """
    desk.require_clock()
    desk.roots.recover(desk.ledger, desk.now)
    aside = desk.find(prefix)
    at, head = _moment(desk, aside)
    found = _agreed(desk, aside, at, head)
    _require_parent(desk, aside)
    waived = release_screening.waived_by(aside, found.request.waives, desk.roots.runs)
    job = Job(
        settings=desk.settings,
        mode=Mode.GATE,
        table=release_screening.released_rows(aside),
        name=f"{RELEASES}{aside.logged.resource}",
        release=_release(aside, found, head),
        clock=clock or (lambda: desk.now),
        progress=progress,
    )
    steps = Steps(
        screen=lambda run, ingested: release_screening.screen(run, ingested, aside, waived),
        decide=lambda run, said: release_screening.whole_or_held(decide_step(run, said)),
    )
    return finish(begin(job), steps)


def verdicts(desk: Desk, aside: Aside) -> tuple[Entry, ...]:
    """The verdicts under which the rows of a set were published."""
    entries = desk.ledger.entries(aside.created.idx)
    return tuple(e for e in entries if e.name == "verdict" and aside.set_sha256 in e.event.refs)


def unfinished(desk: Desk, aside: Aside) -> bool:
    """Whether an emergency release was ratified, and is not published as such yet."""
    if aside.history.ratified is None:
        return False
    return all(entry.idx < aside.head for entry in verdicts(desk, aside))


def _moment(desk: Desk, aside: Aside) -> tuple[dt.datetime, int | None]:
    """When the decisions have to count, and what `released` is appended after."""
    history = aside.history
    if history.state is SetState.RELEASE_REQUESTED:
        return desk.now, aside.head
    if unfinished(desk, aside):
        newest = desk.ledger.find(subject=aside.set_sha256)[-1]
        return newest.event.at, None
    text = f"The rows are {history.state.value}; only what was requested can be released."
    raise desk.refusal(aside, Refused("STATE_TRANSITION", text), "released")


def _agreed(desk: Desk, aside: Aside, at: dt.datetime, head: int | None) -> Agreed:
    try:
        return agreed(desk, aside, at)
    except NotDecided as refused:
        if head is not None and refused.code in _VOID:
            void(desk, aside, refused.code)
        raise


def _require_parent(desk: Desk, aside: Aside) -> None:
    if desk.ledger.find(subject=aside.logged.report.batch_digest, event="recall"):
        text = f"{aside.logged.resource}, which the rows came with, was recalled."
        raise desk.refusal(aside, Refused("PARENT_RECALLED", text), "released")


def _release(aside: Aside, found: Agreed, head: int | None) -> Release:
    emergency = found.request.kind is Kind.BREAK_GLASS and aside.history.ratified is None
    return Release(
        set_sha256=aside.set_sha256,
        parent_sha256=aside.logged.attestation_sha256,
        vouched=_VERIFIED in aside.logged.summary.levels,
        under=found.digests,
        people=tuple(dict.fromkeys(name for vote in found.votes for name in vote.principals)),
        reasons=tuple(vote.decision.reason for vote in found.votes),
        break_glass=emergency,
        head=head,
    )
