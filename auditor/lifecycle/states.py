"""The two state machines: a batch, and a set of rows that was set aside. No other edge exists.

A state is never stored: it is what the ledger's events lead to. Each edge is one event, written
before its effect, so that a crash in between is finished by whoever looks next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol, TypeVar

from auditor.model import Mode, Scalar, Verdict
from auditor.provenance.refused import Refused


class Said(Protocol):
    """What is read of a ledger event."""

    @property
    def name(self) -> str:
        """The event."""
        ...

    @property
    def at(self) -> datetime:
        """When it was written."""
        ...

    @property
    def refs(self) -> tuple[str, ...]:
        """The digests it names."""
        ...

    @property
    def run(self) -> str | None:
        """The run it belongs to."""
        ...

    @property
    def principal(self) -> str:
        """Who acted."""
        ...

    @property
    def detail(self) -> Mapping[str, Scalar]:
        """Small facts."""
        ...


class BatchState(StrEnum):
    """Where a batch is."""

    RECEIVED = "RECEIVED"
    SCREENING = "SCREENING"
    ACCEPTED = "ACCEPTED"
    QUARANTINED = "QUARANTINED"
    REJECTED = "REJECTED"
    HELD = "HELD"
    RECALLED = "RECALLED"


class SetState(StrEnum):
    """Where a set of rows is that was set aside."""

    QUARANTINED = "QUARANTINED"
    UNDER_REVIEW = "UNDER_REVIEW"
    RELEASE_REQUESTED = "RELEASE_REQUESTED"
    RELEASED = "RELEASED"
    DENIED = "DENIED"
    EXPIRED = "EXPIRED"
    PURGED = "PURGED"


State = TypeVar("State", BatchState, SetState)

#: (state, what happens) -> state. A verdict happens under its own name, such as ACCEPT.
BATCH_EDGES: Final[Mapping[tuple[BatchState, str], BatchState]] = {
    (BatchState.RECEIVED, "batch.screening"): BatchState.SCREENING,
    # A run that broke off before it screened anything; the batch may come again.
    (BatchState.RECEIVED, "batch.held"): BatchState.HELD,
    (BatchState.SCREENING, "batch.held"): BatchState.HELD,
    (BatchState.SCREENING, Verdict.ACCEPT.value): BatchState.ACCEPTED,
    (BatchState.SCREENING, Verdict.QUARANTINE.value): BatchState.QUARANTINED,
    (BatchState.SCREENING, Verdict.REJECT.value): BatchState.REJECTED,
    (BatchState.HELD, "batch.screening"): BatchState.SCREENING,
    (BatchState.ACCEPTED, "recall"): BatchState.RECALLED,
    (BatchState.QUARANTINED, "recall"): BatchState.RECALLED,
}
#: A second `review.opened` takes a request back: its approvals are void.
SET_EDGES: Final[Mapping[tuple[SetState, str], SetState]] = {
    (SetState.QUARANTINED, "review.opened"): SetState.UNDER_REVIEW,
    (SetState.QUARANTINED, "expired"): SetState.EXPIRED,
    (SetState.UNDER_REVIEW, "release.requested"): SetState.RELEASE_REQUESTED,
    (SetState.UNDER_REVIEW, "release.denied"): SetState.DENIED,
    (SetState.UNDER_REVIEW, "expired"): SetState.EXPIRED,
    (SetState.RELEASE_REQUESTED, "review.opened"): SetState.UNDER_REVIEW,
    (SetState.RELEASE_REQUESTED, "release.denied"): SetState.DENIED,
    (SetState.RELEASE_REQUESTED, "released"): SetState.RELEASED,
    (SetState.RELEASE_REQUESTED, "expired"): SetState.EXPIRED,
    (SetState.DENIED, "expired"): SetState.EXPIRED,
    (SetState.EXPIRED, "purged"): SetState.PURGED,
}
#: Events that add to a state without leaving it.
WITHIN: Final[frozenset[tuple[SetState, str]]] = frozenset(
    {
        (SetState.RELEASE_REQUESTED, "release.approved"),
        (SetState.RELEASED, "ratified"),
    }
)
#: States in which nothing was decided for good; silence ends them in EXPIRED, never in RELEASED.
UNDECIDED: Final = frozenset(state for state, event in SET_EDGES if event == "expired")


#: Events that name a signed decision of a person first.
DECIDED: Final = frozenset({"release.requested", "release.approved", "release.denied", "ratified"})
_LET_IN: Final = frozenset({Verdict.ACCEPT.value, Verdict.QUARANTINE.value})


def published(event: Said) -> bool:
    """Whether an event is the verdict of a gate that let rows in."""
    gated = event.detail.get("mode") == Mode.GATE.value
    return event.name == "verdict" and gated and event.detail.get("verdict") in _LET_IN


def following(edges: Mapping[tuple[State, str], State], state: State, event: str) -> State:
    """The state after an event.

    Raises:
        Refused: STATE_TRANSITION, there is no such edge.
    """
    found = edges.get((state, event))
    if found is None:
        raise Refused("STATE_TRANSITION", f'Nothing leads from {state.value} by "{event}".')
    return found


def batch_state(events: Iterable[Said]) -> BatchState | None:
    """Where a batch is after the gate's events about it; None before the first one.

    Several runs of the same bytes follow each other: after HELD they are screened again.

    Raises:
        Refused: STATE_TRANSITION.
    """
    state: BatchState | None = None
    for event in events:
        if event.detail.get("mode", Mode.GATE.value) != Mode.GATE.value:
            continue
        if event.name == "batch.received" and state in (None, BatchState.HELD):
            state = state or BatchState.RECEIVED
        elif state is not None and (what := _batch_event(event)):
            state = following(BATCH_EDGES, state, what)
    return state


def _batch_event(event: Said) -> str | None:
    if event.name == "verdict":
        return str(event.detail.get("verdict"))
    known = {name for _, name in BATCH_EDGES} | {"batch.received"}
    return event.name if event.name in known else None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetHistory:
    """A set of rows as its events tell it. Digests are those of signed decisions.

    `approvals` are those since the request that is open; the request is not among them. `since`:
    when the state began. `released_by`: the run that published it; `finished` by `ratified`.
    """

    state: SetState
    created_at: datetime
    since: datetime
    request: str | None = None
    approvals: tuple[str, ...] = ()
    released_by: str | None = None
    break_glass: bool = False
    ratified: str | None = None

    def after(self, event: Said) -> SetHistory:
        """The same after one more event about the set.

        Raises:
            Refused: STATE_TRANSITION.
        """
        if (self.state, event.name) in WITHIN:
            return self._within(event)
        moved = replace(self, state=following(SET_EDGES, self.state, event.name), since=event.at)
        if event.name == "review.opened":
            return replace(moved, request=None, approvals=())
        if event.name == "release.requested":
            return replace(moved, request=_decision(event), approvals=())
        if event.name == "released":
            emergency = event.detail.get("break_glass") is True
            return replace(moved, released_by=event.run, break_glass=emergency)
        return moved

    def _within(self, event: Said) -> SetHistory:
        if event.name == "release.approved":
            return replace(self, approvals=(*self.approvals, _decision(event)))
        if not self.break_glass or self.ratified is not None:
            raise Refused("STATE_TRANSITION", "There is no emergency release to ratify.")
        return replace(self, ratified=_decision(event))


def _decision(event: Said) -> str:
    if not event.refs:
        raise Refused("STATE_TRANSITION", f'"{event.name}" names no decision.')
    return event.refs[0]


def set_history(created_at: datetime, events: Iterable[Said]) -> SetHistory:
    """Fold the events about a set, in the ledger's order.

    Raises:
        Refused: STATE_TRANSITION for an event that nothing leads to.
    """
    history = SetHistory(state=SetState.QUARANTINED, created_at=created_at, since=created_at)
    for event in events:
        history = history.after(event)
    return history


def require_possible(state: SetState, event: str) -> None:
    """Refuse what cannot happen to a set in this state, before anybody signs for it.

    Raises:
        Refused: STATE_TRANSITION.
    """
    if (state, event) not in WITHIN:
        following(SET_EDGES, state, event)
