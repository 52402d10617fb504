"""The place of a batch in the order of its source, as earlier decisions fix it.

What was decided is told by the caller, out of the ledger. A batch takes a place once it was
verified and decided (ACCEPT, QUARANTINE or REJECT); HOLD takes none, and neither does a batch that
is refused here: the batch that is really the next one can still come.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from auditor.model import Scalar
from auditor.provenance.digests import sha256
from auditor.provenance.manifest import Manifest
from auditor.provenance.rules import Claim
from auditor.provenance.times import SKEW, format_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A place that is taken: which batch has it, and what the gate decided about it.

    `sha256` is the subject's digest, `content` that of the files' bytes whatever their names,
    `envelope` that of the manifest's file. `run` decided, `verdict` is what it said.
    """

    batch_id: str
    sequence: int
    sha256: str
    content: str
    envelope: str
    run: str
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The place that a verified batch may take. `head`: the ledger's newest place of the source."""

    source: str
    batch_id: str
    sequence: int
    sha256: str
    content: str
    envelope: str
    head: int

    @property
    def detail(self) -> Mapping[str, Scalar]:
        """What the verdict's entry says of it; `taken_of` reads it back."""
        return {
            "batch_id": self.batch_id,
            "sequence": self.sequence,
            "manifest": self.sha256,
            "content": self.content,
            "envelope": self.envelope,
        }


def taken_of(detail: Mapping[str, Scalar], run: str | None) -> Taken:
    """The place that an entry's detail says.

    Raises:
        KeyError: it says none.
    """
    return Taken(
        batch_id=str(detail["batch_id"]),
        sequence=int(str(detail["sequence"])),
        sha256=str(detail["manifest"]),
        content=str(detail["content"]),
        envelope=str(detail["envelope"]),
        run=run or "",
        verdict=str(detail["verdict"]),
    )


def content_digest(declared: Manifest) -> str:
    """The same for the same bytes under other names: digest of the files' sorted digests."""
    return sha256("".join(f"{one}\n" for one in sorted(f.sha256 for f in declared.files)).encode())


def equivocal(declared: Manifest, taken: Sequence[Taken]) -> Taken | None:
    """The earlier batch of the same id with another content, if there is one."""
    same = next((one for one in taken if one.batch_id == declared.batch_id), None)
    return same if same is not None and same.sha256 != declared.sha256 else None


def compare_order(declared: Manifest, taken: Sequence[Taken], *, strict: bool) -> Iterator[Claim]:
    """Why a batch is not the next one of its source: at most one claim.

    Args:
        declared: a manifest that was verified.
        taken: the places of the source that are taken, oldest first.
        strict: whether numbers rise by exactly one and each manifest names the one before; else it
            is enough that they rise.
    """
    if (other := equivocal(declared, taken)) is not None:
        yield _equivocation(declared, other)
    elif (same := _same(declared, taken)) is not None:
        yield _replay(declared, same)
    elif taken:
        yield from _compare_last(declared, taken[-1], strict)


def compare_clock(latest: datetime | None, now: datetime) -> Iterator[Claim]:
    """The machine's clock against the latest time in the ledger, None for an empty one."""
    if latest is not None and now < latest - SKEW:
        told, here = format_time(latest), format_time(now)
        text = f"The clock says {here}, the ledger has an entry of {told}."
        yield Claim("CLOCK_ROLLBACK", text, {"now": here, "latest": told})


def _same(declared: Manifest, taken: Sequence[Taken]) -> Taken | None:
    content = content_digest(declared)
    return next((t for t in taken if declared.sha256 == t.sha256 or content == t.content), None)


def _replay(declared: Manifest, same: Taken) -> Claim:
    text = f"The batch was decided before: {same.verdict} in run {same.run}"
    if same.batch_id != declared.batch_id:
        text += f', as "{same.batch_id}"'
    return Claim("REPLAY", f"{text}.", _evidence(same))


def _equivocation(declared: Manifest, other: Taken) -> Claim:
    text = (
        f'Two manifests of "{declared.name}" are signed and differ: the other one was decided '
        f"in run {other.run} ({other.verdict})."
    )
    digests: dict[str, Scalar] = {"declared": declared.sha256, "before": other.sha256}
    return Claim("BATCH_EQUIVOCATION", text, {**_evidence(other), **digests})


def _compare_last(declared: Manifest, last: Taken, strict: bool) -> Iterator[Claim]:
    found = _evidence(last) | {"sequence": declared.sequence, "last": last.sequence}
    if declared.sequence <= last.sequence:
        text = f"The batch is number {declared.sequence}, number {last.sequence} was decided."
        yield Claim("SEQUENCE_BACK", text, found)
    elif strict and declared.sequence > last.sequence + 1:
        text = f"The batch is number {declared.sequence}, expected is {last.sequence + 1}."
        yield Claim("SEQUENCE_GAP", text, found)
    elif not _linked(declared, last, strict):
        said = declared.previous or "none"
        text = f"The manifest names {said} as the batch before, that was {last.sha256}."
        yield Claim("CHAIN", text, found | {"declared": declared.previous, "before": last.sha256})


def _linked(declared: Manifest, last: Taken, strict: bool) -> bool:
    """Whether the link to the batch before holds. Behind a gap it may name one that never came."""
    if declared.previous is None:
        return not strict
    return declared.previous == last.sha256 or declared.sequence > last.sequence + 1


def _evidence(earlier: Taken) -> dict[str, Scalar]:
    return {"run": earlier.run, "verdict": earlier.verdict, "batch_id": earlier.batch_id}
