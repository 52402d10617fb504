"""What a training job demands of an attestation, in the order in which it is judged. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from auditor.provenance.refused import printable
from auditor.provenance.status import VALID, Status
from auditor.provenance.summary import Summary
from auditor.provenance.times import SKEW, format_time
from auditor.verify.refused import NotVerified
from auditor.verify.trust import Authority

#: What must have been verified unless the call says otherwise.
LEVELS: Final = frozenset({"AUDITOR_POISONING_SCREENED", "AUDITOR_PROVENANCE_VERIFIED"})
#: An emergency release that one person signed.
BREAK_GLASS: Final = "AUDITOR_BREAK_GLASS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """What the caller asks for. `levels` are all needed; `break_glass` accepts that level too.

    `expiring`: whether the attestation must be valid still; in a frozen data set the status alone
    says what has become of a batch.
    """

    resource: str
    levels: Collection[str] = LEVELS
    policy_name: str | None = None
    minimum_version: int | None = None
    break_glass: bool = False
    expiring: bool = True

    @property
    def dataset(self) -> str:
        """The resource, with its scheme."""
        given = self.resource
        return given if given.startswith("dataset:") else f"dataset:{given}"


def judge(said: Summary, asked: Demands, authority: Authority, now: datetime) -> None:
    """Hold an attestation against the demands; its signature was verified before.

    Raises:
        NotVerified: with the code of the first demand that is not met.
    """
    _require_gate(said, authority)
    require_resource(said.resource, asked)
    _require_passed(said, asked)
    _require_policy(said, asked, authority)
    if said.verified_at > now + SKEW:
        raise NotVerified("TIME_FUTURE", f"It is of {format_time(said.verified_at)}.")
    if asked.expiring and said.valid_until <= now:
        text = f"It was valid until {format_time(said.valid_until)}."
        raise NotVerified("ATTESTATION_EXPIRED", text)


def judge_status(status: Status, seen: datetime | None, now: datetime) -> None:
    """Refuse a status that is not fresh, or older than one that was seen before."""
    if status.issued_on > now + SKEW:
        text = f"The status is of {format_time(status.issued_on)}, this machine's clock behind it."
        raise NotVerified("CLOCK_ROLLBACK", text)
    if now >= min(status.expires_on, status.issued_on + VALID):
        raise NotVerified("STATUS_STALE", f"The status is of {format_time(status.issued_on)}.")
    if seen is not None and status.issued_on < seen:
        raise NotVerified("STATUS_ROLLBACK", f"One of {format_time(seen)} was seen before.")


def names_of(said: Summary, attestation_sha256: str) -> set[str | None]:
    """Every digest by which a batch may be recalled: verdict, output, input, manifest, rows."""
    return {
        *(attestation_sha256, said.sha256, said.set_sha256),
        *(*said.inputs, *said.manifests, *said.released_under),
    }


def require_not_recalled(about: Collection[str | None], status: Status) -> None:
    """Refuse what has one of these digests, if any of them is recalled."""
    found = sorted(one for one in about if one and one in status.recalled)
    if found:
        raise NotVerified("RECALLED", f"{found[0]} was recalled.")


def require_resource(found: str, asked: Demands) -> None:
    """Refuse another dataset than the one that is wanted."""
    if found != asked.dataset:
        text = f'It is of "{printable(found)}", not of "{printable(asked.dataset)}".'
        raise NotVerified("RESOURCE_MISMATCH", text)


def _require_gate(said: Summary, authority: Authority) -> None:
    if said.verifier not in authority.verifiers:
        text = f'The key may not sign as "{printable(said.verifier)}".'
        raise NotVerified("VERIFIER_MISMATCH", text)


def _require_passed(said: Summary, asked: Demands) -> None:
    # Before the verdict: what only observed is never more than that, whatever it says it found.
    if said.mode != "enforce":
        raise NotVerified("NOT_ENFORCED", f'The run was of mode "{printable(said.mode)}".')
    if not said.passed or "FAILED" in said.levels:
        raise NotVerified("VERDICT_FAILED", "The gate did not let this batch in.")
    if BREAK_GLASS in said.levels and not (asked.break_glass or BREAK_GLASS in asked.levels):
        raise NotVerified("BREAK_GLASS", "It was released in an emergency.")
    missing = sorted(set(asked.levels) - said.levels)
    if missing:
        raise NotVerified("LEVEL_MISSING", f"It lacks {', '.join(map(printable, missing))}.")


def _require_policy(said: Summary, asked: Demands, authority: Authority) -> None:
    if asked.policy_name not in (None, said.policy):
        text = f'The gate ran under "{printable(said.policy)}".'
        raise NotVerified("POLICY_NAME", text)
    if authority.policies and said.policy not in authority.policies:
        text = f'The trust policy has no policy "{printable(said.policy)}".'
        raise NotVerified("POLICY_NAME", text)
    least = max(asked.minimum_version or 0, authority.policies.get(said.policy, 0))
    if said.policy_version < least:
        text = f"The gate ran under version {said.policy_version}, version {least} is required."
        raise NotVerified("POLICY_VERSION", text)
