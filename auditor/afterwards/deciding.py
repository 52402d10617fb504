"""People decide about rows that were set aside: each decision signed, kept, and then logged. Shell.

The signed decision is written first and decides nothing; the event that names it does. What comes
of a release is in `releasing`.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from auditor.afterwards.desk import BREAK_GLASS, Desk, Ground, Person
from auditor.afterwards.quarantined import Aside
from auditor.errors import ConfigError, LedgerError
from auditor.lifecycle import decisions
from auditor.lifecycle.decisions import About, Decision, Kind, Vote
from auditor.lifecycle.states import SetState, require_possible
from auditor.provenance import dsse
from auditor.provenance.refused import Refused
from auditor.signing import FileSigner, add_signature, unsigned_envelope


@dataclass(frozen=True, slots=True)
class Agreed:
    """The decisions that let a set go, the request first."""

    votes: tuple[Vote, ...]

    @property
    def request(self) -> Decision:
        """What was asked for."""
        return self.votes[0].decision

    @property
    def digests(self) -> tuple[str, ...]:
        """Of the signed decisions."""
        return tuple(vote.sha256 for vote in self.votes)


def review(desk: Desk, prefix: str) -> Aside:
    """Open the review of a set, or take an open request back: its approvals are void then.

    Raises:
        NotDecided: STATE_TRANSITION.
    """
    aside = desk.find(prefix)
    _possible(desk, aside, "review.opened")
    _log(desk, aside, "review.opened", "local", ())
    return aside


def request(
    desk: Desk, prefix: str, person: Person, ground: Ground, *, break_glass: bool = False
) -> Vote:
    """Ask for a release; the requester's own vote. It names every finding that is to be waived.

    Raises:
        NotDecided: the decision does not count, with its code.
    """
    aside = desk.find(prefix)
    kind = Kind.BREAK_GLASS if break_glass else Kind.RELEASE
    return _decide(desk, aside, "release.requested", kind, person, ground)


def approve(desk: Desk, prefix: str, person: Person, ground: Ground) -> Vote:
    """Agree to the open request.

    Raises:
        NotDecided: the decision does not count, with its code; DECISION_TWICE for a second one of
            the same person.
    """
    aside = desk.find(prefix)
    return _decide(desk, aside, "release.approved", Kind.RELEASE, person, ground)


def deny(desk: Desk, prefix: str, person: Person, ground: Ground) -> Vote:
    """Refuse a release; one releaser is enough.

    Raises:
        NotDecided: the decision does not count, with its code.
    """
    aside = desk.find(prefix)
    return _decide(desk, aside, "release.denied", Kind.DENY, person, ground)


def ratify(desk: Desk, prefix: str, person: Person, ground: Ground) -> Vote:
    """Stand by an emergency release as the second person, within 24 hours.

    Raises:
        NotDecided: the decision does not count, with its code.
    """
    aside = desk.find(prefix)
    return _decide(desk, aside, "ratified", Kind.RATIFY, person, ground)


def agreed(desk: Desk, aside: Aside, at: dt.datetime) -> Agreed:
    """The decisions that let a set go at a time, each held against what is there now.

    Raises:
        NotDecided: the first reason why they do not; DECISION_THRESHOLD where all that there are
            count and are too few.
    """
    try:
        return Agreed(_agreed(desk, aside, at))
    except Refused as refused:
        raise desk.refusal(aside, refused, "released") from refused


def ratification(desk: Desk, aside: Aside) -> str:
    """Why the decision that ratified a release does not count; empty where it does.

    An entry of the ledger is no decision: only what a person signed is.
    """
    ratified = desk.ledger.find(subject=aside.set_sha256, event="ratified")
    try:
        _agreed(desk, aside, ratified[-1].event.at)
    except (Refused, LedgerError, ConfigError) as refused:
        return str(refused)
    return ""


def _agreed(desk: Desk, aside: Aside, at: dt.datetime) -> tuple[Vote, ...]:
    history, policy = aside.history, desk.releasers()
    if history.request is None:
        raise Refused("STATE_TRANSITION", "Nobody has asked for a release.")
    barred = desk.barred(aside)

    def vote(digest: str, *kinds: Kind, answers: str | None = history.request) -> Vote:
        envelope, about = aside.decision(digest), desk.about(aside, answers)
        found = decisions.vote(envelope, policy=policy, about=about, barred=barred, at=at)
        if found.decision.kind not in kinds:
            text = f'"{found.decision.kind.value}" is not what the ledger takes it for.'
            raise Refused("DECISION_SET", text)
        return found

    votes = [vote(history.request, Kind.RELEASE, Kind.BREAK_GLASS, answers=None)]
    void: list[Refused] = []
    for digest in history.approvals:
        try:
            votes.append(_same(vote(digest, Kind.RELEASE), votes[0]))
        except Refused as refused:
            void.append(refused)
    if history.ratified is not None:
        votes.append(vote(history.ratified, Kind.RATIFY))
    if votes[0].decision.kind is Kind.BREAK_GLASS and history.ratified is None:
        return tuple(votes)
    try:
        decisions.require_enough(votes, policy)
    except Refused as too_few:
        raise void[0] if void else too_few from too_few
    return tuple(votes)


def _same(vote: Vote, request: Vote) -> Vote:
    if vote.decision.waives != request.decision.waives:
        raise Refused("DECISION_SET", "It does not agree to what was asked for.")
    return vote


def _decide(
    desk: Desk, aside: Aside, event: str, kind: Kind, person: Person, ground: Ground
) -> Vote:
    policy = desk.releasers()
    desk.require_clock()
    _possible(desk, aside, event)
    answers = None if event == "release.requested" else aside.history.request
    about = desk.about(aside, answers)
    barred = desk.barred(aside)
    try:
        payload = decisions.build(_decision(desk, aside, about, kind, ground))
        signer = FileSigner(person.key, person.passphrase_env)
        envelope = add_signature(unsigned_envelope(payload), signer)
        vote = decisions.vote(envelope, policy=policy, about=about, barred=barred, at=desk.now)
        if event in ("release.approved", "ratified"):
            _require_another(desk, aside, vote)
        if kind is Kind.RATIFY:
            _require_emergency(desk, aside, vote)
    except Refused as refused:
        raise desk.refusal(aside, refused, event) from refused
    digest = aside.keep(envelope)
    signed_by = dsse.signed_by(envelope)
    _log(desk, aside, event, vote.principals[0], (digest,), code=ground.code, signed_by=signed_by)
    return vote


def _decision(desk: Desk, aside: Aside, about: About, kind: Kind, ground: Ground) -> Decision:
    waived = [f for f in aside.logged.report.findings if f.effect == "quarantine"]
    return Decision(
        kind=kind,
        about=about,
        rows=aside.logged.report.rows_quarantined,
        reason_code=ground.code,
        reason=ground.reason,
        evidence=ground.evidence,
        waives=() if kind is Kind.DENY else tuple((one.rule, one.id) for one in waived),
        created_on=desk.now,
        expires_on=desk.now + decisions.VALID,
    )


def _require_another(desk: Desk, aside: Aside, vote: Vote) -> None:
    """Refuse a person, or a key, that has agreed already."""
    earlier = [aside.history.request, *aside.history.approvals]
    for digest in earlier:
        assert digest is not None
        known = decisions.signers_of(aside.decision(digest), desk.releasers())
        if {key.principal for key in known} & set(vote.principals):
            raise Refused("DECISION_TWICE", f'"{vote.principals[0]}" has agreed before.')


def _require_emergency(desk: Desk, aside: Aside, vote: Vote) -> None:
    """Refuse to ratify what is none, is too old, or what the request no longer stands for."""
    history = aside.history
    if not history.break_glass or history.ratified is not None:
        raise Refused("STATE_TRANSITION", "There is no emergency release to ratify.")
    if desk.now >= history.since + BREAK_GLASS:
        raise Refused("DECISION_EXPIRED", "The 24 hours of the emergency release are over.")
    decisions.require_enough([*_agreed(desk, aside, desk.now), vote], desk.releasers())


def _possible(desk: Desk, aside: Aside, event: str) -> None:
    try:
        require_possible(aside.history.state, event)
    except Refused as refused:
        raise desk.refusal(aside, refused, event) from refused
    undecided = aside.history.state not in (SetState.RELEASED, SetState.EXPIRED)
    if undecided and not aside.has_rows():
        raise ConfigError(f"{aside.folder}: the rows are gone; nothing is left to decide about")


def _log(
    desk: Desk,
    aside: Aside,
    event: str,
    principal: str,
    refs: tuple[str, ...],
    **detail: str,
) -> None:
    desk.ledger.append(
        event,
        at=desk.now,
        via="cli",
        subject=aside.set_sha256,
        refs=refs,
        run=aside.run,
        principal=principal,
        detail=detail,
        expect=aside.head,
    )


def void(desk: Desk, aside: Aside, code: str) -> None:
    """Take a request back whose decisions no longer count: the set is under review again."""
    _log(desk, aside, "review.opened", "local", (), void=code)
