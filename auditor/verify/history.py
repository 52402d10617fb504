"""Holds the checkpoints that are shown now against those that were seen before.

A status carries the log's newest checkpoint and proofs that it continues earlier ones. All
checkpoints of one log that are known, seen before or shown now, must turn out to be one history:
each is proven to be continued by the status, or the log grew to it only after that status.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from auditor.provenance.status import Status
from auditor.provenance.times import SKEW
from auditor.transparency import note as notes
from auditor.transparency import proof as proofs
from auditor.transparency.checkpoint import (
    Seen,
    open_checkpoint,
    parse_text,
    require_continuation,
)
from auditor.transparency.note import from_base64
from auditor.transparency.refused import LogRefused
from auditor.verify.refused import NotVerified
from auditor.verify.seen import Known
from auditor.verify.trust import Authority

#: Size of the older log -> the hashes that lead from its root to that of the newer one.
Hashes = Mapping[int, Sequence[bytes]]

#: Why a note that was good once may be refused now: keys were retired, or more is demanded.
_RETIRED: Final = frozenset({"NOTE_UNKNOWN_KEY", "NOTE_QUORUM"})


@dataclass(frozen=True, slots=True)
class Head:
    """A checkpoint that is not proven to be continued, and when the log was that long already."""

    seen: Seen
    since: datetime

    @property
    def size(self) -> int:
        """The number of entries."""
        return self.seen.size

    @property
    def origin(self) -> str:
        """The name of the log."""
        return self.seen.checkpoint.origin


def checkpoint_of(note: str | bytes, authority: Authority) -> Seen:
    """The checkpoint in a note, if a key of the log signed it and enough witnesses did.

    Raises:
        LogRefused: NOTE_* or CHECKPOINT_*.
    """
    return open_checkpoint(
        note.encode() if isinstance(note, str) else note,
        authority.ledger,
        witnesses=authority.witnesses,
        quorum=authority.quorum,
    )


def _remembered(one: Known, authority: Authority) -> Seen:
    """The checkpoint of a note that was verified when it was remembered.

    Its key, or its witnesses, may count no longer. It is held against what is shown now all the
    same: it lets nothing in, so nobody could gain by a note of his own.
    """
    try:
        return checkpoint_of(one.note, authority)
    except LogRefused as refused:
        if refused.code not in _RETIRED:
            raise
    note = one.note.encode()
    return Seen(parse_text(notes.parse(note).text), note)


def joined(
    known: Iterable[Known],
    proven: Seen,
    authority: Authority,
    *,
    status: Status | None,
    consistency: bytes | None,
    now: datetime,
) -> tuple[Known, ...]:
    """What to remember: all that was `known` or is `proven`, unless it is proven to be continued.

    Args:
        known: what was seen before.
        proven: the checkpoint that the proof of the verdict leads to.
        authority: the keys of the log.
        status: with the proofs that its checkpoint continues earlier ones.
        consistency: a proof file, as `auditor ledger consistency` writes it.
        now: the time.

    Raises:
        LogRefused: PROOF_*, NOTE_*, CHECKPOINT_*; LEDGER_FORK for two roots of one size.
        NotVerified: CONSISTENCY_MISSING where two checkpoints of a log are not joined by a proof.
    """
    heads = [Head(_remembered(one, authority), one.since) for one in known]
    heads.append(Head(proven, now))
    latest = _latest(status, authority)
    bridges = [(latest, _hashes(status))] if latest and status else []
    if consistency is not None:
        given = proofs.parse_consistency(consistency)
        newer = Head(checkpoint_of(given.note, authority), now)
        bridges.insert(0, (newer, {given.old: given.hashes}))
    for newer, hashes in bridges:
        heads = _distinct([*heads, newer])
        heads = [head for head in heads if not _continued(head, newer, hashes)]
    heads = _distinct(heads)
    for origin in {head.origin for head in heads}:
        _require_joined([head for head in heads if head.origin == origin], latest)
    return tuple(Known(head.seen.note.decode(), head.since) for head in heads)


def _latest(status: Status | None, authority: Authority) -> Head | None:
    """The checkpoint of the status."""
    if status is None or status.checkpoint is None:
        return None
    return Head(checkpoint_of(status.checkpoint, authority), status.issued_on)


def _hashes(status: Status) -> Hashes:
    return {
        one.old: [from_base64(text, "PROOF_FORMAT") for text in one.hashes]
        for one in status.consistency
    }


def _continued(head: Head, newer: Head, hashes: Hashes) -> bool:
    """Whether `newer` is proven to continue `head`; a wrong proof is refused, none is none."""
    if head.origin != newer.origin or head.size >= newer.size:
        return False
    if head.size and head.size not in hashes:
        return False
    require_continuation(head.seen, newer.seen, hashes.get(head.size, ()))
    return True


def _distinct(heads: Sequence[Head]) -> list[Head]:
    """One of each checkpoint, with the earliest time; two roots of one size are a fork."""
    found: dict[tuple[str, int], Head] = {}
    for head in heads:
        same = found.setdefault((head.origin, head.size), head)
        if same.seen.root != head.seen.root:
            require_continuation(same.seen, head.seen, ())
        if head.since < same.since:
            found[head.origin, head.size] = head
    return list(found.values())


def _require_joined(heads: Sequence[Head], latest: Head | None) -> None:
    """Refuse what is left apart, but for what the log grew to after the status was issued.

    A status must continue everything that was seen before its own time: a shorter log in a newer
    status is one that was rolled back.
    """
    if len(heads) < 2 or (latest and all(_waits(head, latest) for head in heads)):
        return
    sizes = ", ".join(str(head.size) for head in sorted(heads, key=lambda head: head.size))
    text = f"No proof joins the checkpoints of the log with {sizes} entries."
    raise NotVerified("CONSISTENCY_MISSING", text)


def _waits(head: Head, latest: Head) -> bool:
    """Whether a checkpoint is that of the status, or one that the status could not know."""
    if head.seen.checkpoint == latest.seen.checkpoint:
        return True
    return head.size > latest.size and latest.since <= head.since + SKEW
