"""The order of a verification: evidence and what was seen before in, a verdict or a code out. Pure.

1 whom to trust; 2 signature; 3 types; 4 signer and gate; 5 dataset; 6 verdict; 7 levels; 8 policy;
9 times; 10 status; 11 recalls; 12 proof and log; 13 the list of files. Files come after all that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from auditor.provenance import status as statuses
from auditor.provenance import summary as summaries
from auditor.provenance.digests import sha256
from auditor.provenance.refused import Refused
from auditor.provenance.status import Status
from auditor.provenance.summary import Summary
from auditor.provenance.times import SKEW, format_time, parse_time
from auditor.transparency import proof as proofs
from auditor.transparency.proof import Proven
from auditor.transparency.refused import LogRefused
from auditor.verify.demands import (
    Demands,
    judge,
    judge_status,
    names_of,
    require_not_recalled,
)
from auditor.verify.envelopes import signed_payload
from auditor.verify.history import joined
from auditor.verify.refused import NotVerified
from auditor.verify.seen import Memory
from auditor.verify.trust import Authority, Trust

#: What would show that the ledger was rolled back or has two histories: a store of what this
#: verifier saw before, witnesses who cosigned the checkpoint, or nothing.
Protection = Literal["seen", "witness", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The files that were given, as bytes. `consistency` joins a checkpoint to an earlier one."""

    attestation: bytes
    proof: bytes | None = None
    status: bytes | None = None
    consistency: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What was verified. `memory` is to be remembered; not every site has a status and a log."""

    summary: Summary
    attestation_sha256: str
    status: Status | None
    proven: Proven | None
    memory: Memory
    witnessed: bool


def examine(
    evidence: Evidence, trust: Trust, asked: Demands, *, memory: Memory, now: datetime
) -> Accepted:
    """Judge the evidence.

    Raises:
        NotVerified, Refused, LogRefused, KeyRefused: with the code of the first demand not met.
    """
    authority = trust.resolve(now, memory.policy)
    digest = sha256(evidence.attestation)
    logged = in_log(evidence, authority, lambda proven: proofs.require_verdict(proven, digest))
    # A key's standing is that of the time in the ledger, never of a time that the signer claims.
    at = logged.at if isinstance(logged, Logged) else now
    said = summaries.read(signed_payload(evidence.attestation, authority.gate, at))
    judge(said, asked, authority, now)
    status = fresh_status(evidence.status, authority, memory, now)
    if status is not None:
        require_not_recalled(names_of(said, digest), status)
    if isinstance(logged, Exception):
        raise logged
    if logged is not None:
        _require_origin(said, logged)
        memory = remembered(evidence, authority, logged, status, memory, now)
    summaries.require_outputs(said)
    return Accepted(
        summary=said,
        attestation_sha256=digest,
        status=status,
        proven=logged.proven if logged else None,
        memory=replace(
            memory,
            status=status.issued_on if status else memory.status,
            policy=authority.version or memory.policy,
        ),
        witnessed=logged is not None and authority.quorum > 0,
    )


@dataclass(frozen=True, slots=True)
class Logged:
    """An entry that is proven to be in the log, and its time there."""

    proven: Proven
    at: datetime


def in_log(
    evidence: Evidence, authority: Authority, require: Callable[[Proven], None]
) -> Logged | NotVerified | LogRefused | Refused | None:
    """The entry that the proof proves; or why there is none, to be raised in its turn.

    None where nobody is trusted to keep a log, and nothing was given. `require` raises for an
    entry that says something else.
    """
    if not authority.ledger and evidence.proof is None:
        return None
    if evidence.proof is None:
        return NotVerified("PROOF_MISSING", "There is no proof beside the attestation.")
    try:
        proven = proofs.verify(
            evidence.proof,
            authority.ledger,
            witnesses=authority.witnesses,
            quorum=authority.quorum,
        )
        require(proven)
        return Logged(proven, parse_time(str(proven.event.get("at"))))
    except (LogRefused, Refused) as refused:
        return refused


def fresh_status(
    envelope: bytes | None, authority: Authority, memory: Memory, now: datetime
) -> Status | None:
    """The status, verified and fresh; None where nobody signs one.

    Raises:
        NotVerified, Refused: with the code of what is wrong with it.
    """
    if envelope is None:
        if authority.status.keys:
            raise NotVerified("STATUS_MISSING", "Whoever is trusted here signs a status.")
        return None
    status = statuses.read(signed_payload(envelope, authority.status, now))
    judge_status(status, memory.status, now)
    if authority.version is not None and authority.version.version < status.policy_version:
        mine, theirs = authority.version.version, status.policy_version
        text = f"Version {mine} is offered here, the status is of version {theirs}."
        raise Refused("POLICY_ROLLBACK", text)
    return status


def remembered(
    evidence: Evidence,
    authority: Authority,
    logged: Logged,
    status: Status | None,
    memory: Memory,
    now: datetime,
) -> Memory:
    """The checkpoints to remember, once they are one history.

    Raises:
        NotVerified: CLOCK_ROLLBACK, CONSISTENCY_MISSING.
        LogRefused: see `history.joined`.
    """
    if logged.at > now + SKEW:
        text = f"The ledger has this entry at {format_time(logged.at)}; the clock says less."
        raise NotVerified("CLOCK_ROLLBACK", text)
    checkpoints = joined(
        memory.checkpoints,
        logged.proven.seen,
        authority,
        status=status,
        consistency=evidence.consistency,
        now=now,
    )
    return replace(memory, checkpoints=checkpoints)


def _require_origin(said: Summary, logged: Logged) -> None:
    if said.ledger_origin not in (None, logged.proven.seen.checkpoint.origin):
        text = "The attestation names another log than the one that proves it."
        raise LogRefused("CHECKPOINT_ORIGIN", text)
