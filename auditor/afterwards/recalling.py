"""`auditor recall`: takes published batches back, and names what was made from them. Shell.

Each batch is one event `recall`, and all that a command reaches are written in one transaction. The
next status names them, and from then on no training job loads them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from auditor.afterwards import freezing
from auditor.afterwards.desk import Desk, NotDecided, Person
from auditor.afterwards.left_behind import Left, left_behind
from auditor.afterwards.selecting import Known, Selector, known, selected
from auditor.errors import ConfigError
from auditor.ledger import Entry, Event, Line
from auditor.lifecycle import recalls
from auditor.lifecycle.recalls import Published, along_parents
from auditor.lifecycle.states import BATCH_EDGES, batch_state
from auditor.provenance import dsse
from auditor.provenance.refused import Refused
from auditor.signing import FileSigner, add_signature, unsigned_envelope
from auditor.workspace.durable import write_durably

#: Where the signed decisions are kept, below `runs`.
FOLDER: Final = "recalls"


@dataclass(slots=True)
class Recalled:
    """What a recall did and what it concerns.

    `batches` are all that it reached, `new` the runs among them that were not recalled before.
    `left`: what they left in the baseline. `unknown` says what could not be looked into: it may be
    concerned as well.
    """

    batches: tuple[Published, ...]
    new: frozenset[str]
    datasets: tuple[str, ...] = ()
    trained: tuple[freezing.Consumed, ...] = ()
    left: Left = field(default_factory=Left)
    unknown: tuple[str, ...] = ()
    decision: str | None = None


def recall(desk: Desk, selector: Selector, reason: str, person: Person | None = None) -> Recalled:
    """Recall the selected batches and whatever was made from them.

    Where a trust policy names releasers, `person` must be one; any of them may do it alone.
    Without one the decision is unsigned and the principal is `local`.

    Raises:
        ConfigError: nothing is selected, or a signature is needed and there is none.
        NotDecided: whoever signed is no releaser.
    """
    among = known(desk)
    chosen = selected(desk, selector, among)
    if not chosen:
        what = f"no published batch is of {selector.by} {selector.value}"
        raise ConfigError("\n".join([what, *among.unknown]))
    return recall_runs(desk, chosen, selector.image(), reason, _signed(desk, person), among)


def recall_runs(
    desk: Desk,
    chosen: Collection[str],
    selector: Mapping[str, str],
    reason: str,
    seal: Callable[[bytes], tuple[bytes, str]],
    among: Known,
) -> Recalled:
    """Recall these runs, which are `among` the known; `seal` says whose the statement is.

    What could not be looked into when they were chosen is part of what is told.
    """
    reached = along_parents(chosen, [run.published() for run in among.runs])
    # Looked up before the states: whoever recalls one of them meanwhile makes this command fail.
    heads = {one.batch_sha256: desk.ledger.head_of(one.batch_sha256) for one in reached}
    todo = [one for one in reached if _published(desk, one)]
    found = Recalled(batches=reached, new=frozenset(one.run for one in todo))
    if todo:
        try:
            payload = recalls.build(selector, reached, reason, desk.now)
        except Refused as refused:
            raise NotDecided(refused) from refused
        envelope, principal = seal(payload)
        found.decision = _keep(desk, envelope)
        decided = _Decided(found.decision, principal, dsse.signed_by(envelope))
        lines = [_line(desk, one, heads[one.batch_sha256], decided) for one in todo]
        desk.ledger.append_all(lines)
    _name_what_follows(desk, found, among)
    return found


def unsigned(payload: bytes) -> tuple[bytes, str]:
    """The seal of a site without a trust policy, and of what a schedule does by itself."""
    return unsigned_envelope(payload), "local"


def _signed(desk: Desk, person: Person | None) -> Callable[[bytes], tuple[bytes, str]]:
    policy = desk.policy
    if policy is None or not policy.roles.releaser.principals:
        return unsigned
    if person is None:
        raise ConfigError("a recall needs --sign-with KEY: the key of a releaser; one is enough")

    def seal(payload: bytes) -> tuple[bytes, str]:
        signer = FileSigner(person.key, person.passphrase_env)
        envelope = add_signature(unsigned_envelope(payload), signer)
        try:
            return envelope, recalls.require_releaser(envelope, policy, desk.now).principal
        except Refused as refused:
            raise NotDecided(refused) from refused

    return seal


def _published(desk: Desk, one: Published) -> bool:
    """Whether a recall of this batch is still to be logged."""
    state = batch_state(entry.event for entry in desk.ledger.find(run=one.run))
    return state is not None and (state, "recall") in BATCH_EDGES


def _keep(desk: Desk, envelope: bytes) -> str:
    folder = desk.roots.runs / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256(envelope).hexdigest()
    write_durably(folder / f"{digest}.dsse.json", envelope)
    return digest


@dataclass(frozen=True, slots=True)
class _Decided:
    """A recall as it is kept: its digest, whose it is, and the ids of their keys."""

    sha256: str
    principal: str
    keys: str


def _line(desk: Desk, one: Published, head: int, decided: _Decided) -> Line:
    said = Event(
        name="recall",
        at=desk.now,
        via="cli",
        subject=one.batch_sha256,
        # All three names: a training job may know the batch by any of them.
        refs=(one.attestation_sha256, one.published_sha256, decided.sha256),
        run=one.run,
        principal=decided.principal,
        detail={"signed_by": decided.keys},
    )
    return Line(event=said, expect=head)


def _name_what_follows(desk: Desk, found: Recalled, among: Known) -> None:
    entries: tuple[Entry, ...] = tuple(desk.ledger.entries())
    attestations = {one.attestation_sha256 for one in found.batches}
    frozen, unknown = freezing.holding(desk, entries, attestations)
    found.datasets = tuple(sorted(frozen))
    found.trained = tuple(freezing.consumed(entries, attestations | set(frozen.values())))
    found.left = left_behind(desk, found.batches, among.runs)
    found.unknown = (*among.unknown, *unknown, *found.left.unknown)
