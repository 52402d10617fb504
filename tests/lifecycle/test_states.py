"""The two state machines: the edges there are, and that there is no other."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

import pytest

from auditor.lifecycle.states import (
    BATCH_EDGES,
    SET_EDGES,
    UNDECIDED,
    WITHIN,
    BatchState,
    SetState,
    batch_state,
    following,
    require_possible,
    set_history,
)
from auditor.provenance.refused import Refused

NOON = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
EVENTS = sorted({event for _, event in (*SET_EDGES, *WITHIN)})


@dataclass
class Happened:
    name: str
    refs: tuple[str, ...] = ("a" * 64,)
    run: str | None = "run"
    principal: str = "ann"
    detail: dict[str, Any] = field(default_factory=dict)
    at: dt.datetime = NOON


def history(*names: str | Happened) -> Any:
    events = [name if isinstance(name, Happened) else Happened(name) for name in names]
    return set_history(NOON, events)


@pytest.mark.parametrize("state", list(SetState))
@pytest.mark.parametrize("event", EVENTS)
def test_case_143_no_other_edge_of_a_set(state: SetState, event: str) -> None:
    """Whatever is not in the table cannot happen: DENIED to RELEASED least of all."""
    allowed = {
        SetState.QUARANTINED: {"review.opened", "expired"},
        SetState.UNDER_REVIEW: {"release.requested", "release.denied", "expired"},
        SetState.RELEASE_REQUESTED: {
            *("release.approved", "review.opened", "release.denied", "released", "expired"),
        },
        SetState.DENIED: {"expired"},
        SetState.RELEASED: {"ratified"},
        SetState.EXPIRED: {"purged"},
        SetState.PURGED: set(),
    }
    if event in allowed[state]:
        require_possible(state, event)
        return
    with pytest.raises(Refused) as refused:
        require_possible(state, event)
    assert refused.value.code == "STATE_TRANSITION"


def test_silence_ends_what_is_undecided_and_never_releases() -> None:
    assert {
        *(SetState.QUARANTINED, SetState.UNDER_REVIEW),
        *(SetState.RELEASE_REQUESTED, SetState.DENIED),
    } == UNDECIDED
    assert {e for (s, e), to in SET_EDGES.items() if to is SetState.RELEASED} == {"released"}


def test_a_set_is_what_its_events_say() -> None:
    asked = Happened("release.requested", refs=("1" * 64,))
    agreed = Happened("release.approved", refs=("2" * 64,))
    found = history("review.opened", asked, agreed)
    assert (found.state, found.request, found.approvals) == (
        *(SetState.RELEASE_REQUESTED, "1" * 64, ("2" * 64,)),
    )
    again = Happened("release.requested", refs=("3" * 64,))
    found = history("review.opened", asked, agreed, "review.opened", again)
    assert (found.request, found.approvals) == ("3" * 64, ())


def test_an_event_that_nothing_leads_to_is_refused() -> None:
    with pytest.raises(Refused, match="STATE_TRANSITION"):
        history("review.opened", "release.denied", "released")


def test_only_an_emergency_is_ratified_and_only_once() -> None:
    start = ["review.opened", "release.requested"]
    plain = Happened("released", detail={"break_glass": False})
    with pytest.raises(Refused, match="STATE_TRANSITION"):
        history(*start, plain, "ratified")
    emergency = Happened("released", detail={"break_glass": True})
    assert history(*start, emergency, "ratified").ratified == "a" * 64
    with pytest.raises(Refused, match="STATE_TRANSITION"):
        history(*start, emergency, "ratified", "ratified")


def batch(*names: str) -> BatchState | None:
    verdicts = {"ACCEPT", "QUARANTINE", "REJECT"}
    return batch_state(
        Happened("verdict", detail={"verdict": name, "mode": "gate"})
        if name in verdicts
        else Happened(name)
        for name in names
    )


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ((), None),
        (("batch.received",), BatchState.RECEIVED),
        (("batch.received", "batch.screening", "ACCEPT"), BatchState.ACCEPTED),
        (("batch.received", "batch.screening", "QUARANTINE"), BatchState.QUARANTINED),
        (("batch.received", "batch.screening", "REJECT"), BatchState.REJECTED),
        (("batch.received", "batch.screening", "batch.held"), BatchState.HELD),
        (
            (
                *("batch.received", "batch.screening", "batch.held"),
                *("batch.received", "batch.screening", "ACCEPT", "recall"),
            ),
            BatchState.RECALLED,
        ),
    ],
)
def test_a_batch_is_what_its_events_say(events: tuple[str, ...], state: BatchState | None) -> None:
    assert batch(*events) == state


@pytest.mark.parametrize("state", [BatchState.REJECTED, BatchState.RECALLED])
def test_case_143_nothing_leads_out_of_the_end(state: BatchState) -> None:
    """A batch that was refused or recalled is screened, or accepted, again."""
    for event in {event for _, event in BATCH_EDGES}:
        with pytest.raises(Refused, match="STATE_TRANSITION"):
            following(BATCH_EDGES, state, event)
    with pytest.raises(Refused, match="STATE_TRANSITION"):
        batch("batch.received", "batch.screening", "REJECT", "ACCEPT")
