"""`auditor quarantine expire|purge`: what time does. Silence ends in EXPIRED, never in a release.

Shell; meant for a schedule, at least once a day.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from auditor.afterwards import quarantined
from auditor.afterwards.deciding import ratification
from auditor.afterwards.desk import BREAK_GLASS, Desk
from auditor.afterwards.quarantined import ROWS, Aside
from auditor.afterwards.recalling import recall_runs, unsigned
from auditor.afterwards.releasing import unfinished, verdicts
from auditor.afterwards.selecting import known
from auditor.errors import AuditorError
from auditor.lifecycle.states import UNDECIDED, SetState, require_possible
from auditor.provenance.refused import Refused


@dataclass(frozen=True, slots=True)
class Done:
    """What happened to the set of a run: `expired`, `purged`, `recalled`.

    `believed`: False where it cannot be told what became of the set; `what` says why.
    """

    run: str
    what: str
    believed: bool = True


def due(desk: Desk) -> Iterator[Done]:
    """All that a schedule has to do: `expire`, then `purge_due`."""
    yield from expire(desk)
    # A set that cannot be believed was named by the first.
    yield from (one for one in purge_due(desk) if one.believed)


def expire(desk: Desk) -> Iterator[Done]:
    """Everything that is due: rows nobody decided about, and emergencies nobody ratified."""
    patience = dt.timedelta(days=desk.settings.quarantine.undecided_days)
    for aside in quarantined.every(desk.roots, desk.ledger):
        if isinstance(aside, AuditorError):
            yield Done("-", str(aside), believed=False)
            continue
        history = aside.history
        if history.state in UNDECIDED and desk.now >= history.created_at + patience:
            _log(desk, aside, "expired")
            yield Done(aside.run, "expired")
        elif why := _unratified(desk, aside):
            for run in _recall(desk, aside):
                yield Done(run, f"recalled: {why}")
        elif history.state is SetState.PURGED and aside.has_rows():
            _remove(aside)  # a crash came between the event and this
            yield Done(aside.run, "purged")


def purge_due(desk: Desk) -> Iterator[Done]:
    """Purge what expired longer ago than the settings want it kept."""
    kept = dt.timedelta(days=desk.settings.quarantine.retention_days)
    for aside in quarantined.every(desk.roots, desk.ledger):
        if isinstance(aside, AuditorError):
            yield Done("-", str(aside), believed=False)
            continue
        history = aside.history
        if history.state is SetState.EXPIRED and desk.now >= history.since + kept:
            yield purge(desk, aside.run)


def purge(desk: Desk, prefix: str) -> Done:
    """Delete the rows of an expired set; the ledger and the decisions stay.

    Raises:
        NotDecided: STATE_TRANSITION.
    """
    aside = desk.find(prefix)
    if aside.history.state is not SetState.PURGED:
        try:
            require_possible(aside.history.state, "purged")
        except Refused as refused:
            raise desk.refusal(aside, refused, "purged") from refused
        _log(desk, aside, "purged")
    _remove(aside)
    return Done(aside.run, "purged")


def _unratified(desk: Desk, aside: Aside) -> str:
    """Why an emergency release has to be taken back; empty where it need not be."""
    history = aside.history
    if history.state is not SetState.RELEASED or not history.break_glass:
        return ""
    if desk.now < history.since + BREAK_GLASS:
        return ""
    if history.ratified is None:
        return "nobody ratified the emergency release"
    if not unfinished(desk, aside):
        return ""
    # It was never published as ratified: somebody may have written the entry past the command.
    refused = ratification(desk, aside)
    return f"the emergency release was not ratified ({refused})" if refused else ""


def _recall(desk: Desk, aside: Aside) -> frozenset[str]:
    """Recall what an emergency published; none where that was done, or nothing was published."""
    runs = {str(entry.event.run) for entry in verdicts(desk, aside)}
    if not runs:
        return frozenset()
    reason = "an emergency release that no second person ratified within 24 hours"
    selector = {"batch": aside.set_sha256}
    return recall_runs(desk, runs, selector, reason, unsigned, known(desk)).new


def _log(desk: Desk, aside: Aside, event: str) -> None:
    desk.ledger.append(
        event,
        at=desk.now,
        via="cli",
        subject=aside.set_sha256,
        run=aside.run,
        expect=aside.head,
    )


def _remove(aside: Aside) -> None:
    (aside.folder / ROWS).unlink(missing_ok=True)
