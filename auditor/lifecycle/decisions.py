"""A person's decision about rows that were set aside: written, read, and held against the policy.

An in-toto statement in a DSSE envelope, signed with the key of a person. It names everything it
was made about: the set, the batch, the gate's policy, the request it answers and the findings that
are no longer to count. Of anything else it says nothing, so that every change makes it void.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from auditor.provenance import dsse, statement
from auditor.provenance.digests import is_sha256, sha256
from auditor.provenance.dsse import Envelope
from auditor.provenance.fields import Fields
from auditor.provenance.refused import Refused, printable
from auditor.provenance.statement import Statement
from auditor.provenance.strict_json import Json
from auditor.provenance.times import SKEW, format_time
from auditor.trust import thresholds
from auditor.trust.policy import TrustedKey, TrustPolicy
from auditor.trust.thresholds import GOOD, standing

PREDICATE_TYPE: Final = "https://auditor.example/attestation/quarantine-decision/v1"
#: How long a decision counts.
VALID: Final = timedelta(hours=72)
#: Least people behind a release, whatever the policy says.
PEOPLE: Final = 2
SHORTEST_REASON: Final = 20
LONGEST_REASON: Final = 2000

_FIELDS: Final = frozenset(
    {
        *("decision", "batch", "policy", "request", "rows", "waives", "reasonCode", "reason"),
        *("evidence", "createdOn", "expiresOn", "entry"),
    }
)


class Kind(StrEnum):
    """What is decided. A request for a release is the requester's own vote for it."""

    RELEASE = "release"
    BREAK_GLASS = "break-glass"
    DENY = "deny"
    RATIFY = "ratify"


#: Reason code -> what it means. Counted over the years, they say what rules get wrong.
REASONS: Final = {
    "false-positive": "the rule was wrong about these rows",
    "confirmed-by-source": "the source was asked, and stands by these rows",
    "known-change": "a change of the source that was announced",
    "intended-copies": "repetition that is meant",
    "emergency": "cannot wait for a second person; needs to be ratified",
    "poisoned": "the rows are what the rule says",
    "not-settled": "nobody could tell",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a decision has to be about. Digests are lowercase hex sha256.

    `policy_sha256`: the gate's policy digest. `request_sha256`: the signed request that is
    answered, None for the request itself and for a refusal without one. `entry_sha256`: the entry
    of the ledger that says that the rows were set aside, by its leaf hash; no other ledger has it.
    """

    set_sha256: str
    batch: str
    batch_sha256: str
    policy_sha256: str
    request_sha256: str | None = None
    entry_sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a person says. `waives`: (rule, finding) pairs that are not to count again."""

    kind: Kind
    about: About
    rows: int
    reason_code: str
    reason: str
    created_on: datetime
    expires_on: datetime
    waives: tuple[tuple[str, str], ...] = ()
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """A decision of people who may decide. `sha256` is that of the envelope."""

    decision: Decision
    keys: tuple[TrustedKey, ...]
    sha256: str

    @property
    def principals(self) -> tuple[str, ...]:
        """Who they are."""
        return tuple(sorted({key.principal for key in self.keys}))


def build(decision: Decision) -> bytes:
    """The canonical payload, ready to be signed.

    Raises:
        Refused: what a reader would refuse.
    """
    about = decision.about
    waives: list[Json] = [{"rule": rule, "finding": one} for rule, one in decision.waives]
    evidence: list[Json] = [{"sha256": digest} for digest in decision.evidence]
    predicate: dict[str, Json] = {
        "decision": decision.kind.value,
        "batch": {"name": about.batch, "digest": {"sha256": about.batch_sha256}},
        "policy": {"digest": {"sha256": about.policy_sha256}},
        "rows": decision.rows,
        "waives": waives,
        "reasonCode": decision.reason_code,
        "reason": decision.reason,
        "evidence": evidence,
        "createdOn": format_time(decision.created_on),
        "expiresOn": format_time(decision.expires_on),
    }
    if about.request_sha256 is not None:
        predicate["request"] = {"sha256": about.request_sha256}
    if about.entry_sha256 is not None:
        predicate["entry"] = {"sha256": about.entry_sha256}
    payload = statement.build(
        f"quarantine:{about.batch}", about.set_sha256, PREDICATE_TYPE, predicate
    )
    read(payload)
    return payload


def read(payload: bytes) -> Decision:
    """The decision in a payload, whoever signed it.

    Raises:
        Refused: with the code of the first rule that is broken.
    """
    said = statement.read(payload, PREDICATE_TYPE)
    predicate = said.predicate
    predicate.require_known(_FIELDS, "a decision")
    decision = Decision(
        kind=_kind(predicate),
        about=_about(said),
        rows=predicate.count("rows"),
        reason_code=predicate.text("reasonCode"),
        reason=predicate.text("reason"),
        created_on=predicate.time("createdOn"),
        expires_on=predicate.time("expiresOn"),
        waives=tuple((w.text("rule"), w.text("finding")) for w in predicate.sections("waives")),
        evidence=tuple(map(_sha256, predicate.sections("evidence"))),
    )
    _require_reason(decision)
    if not decision.created_on < decision.expires_on <= decision.created_on + VALID:
        raise Refused("TIME_ORDER", "A decision ends after it is made, within 72 hours.")
    return decision


def vote(
    envelope: bytes,
    *,
    policy: TrustPolicy,
    about: About,
    barred: Collection[str],
    at: datetime,
) -> Vote:
    """A decision that counts at a time: by a releaser, about exactly this, in time.

    `barred`: principals who sent the rows, or may speak for who did. Key and decision have to
    stand at `at`, the time of the effect.

    Raises:
        Refused: DECISION_PRINCIPAL, DECISION_CONTRIBUTOR, DECISION_SET, DECISION_POLICY,
            DECISION_EXPIRED, a KEY, DSSE, JSON or FIELD code.
    """
    opened = dsse.parse(envelope)
    opened.require_type(dsse.IN_TOTO)
    keys = _releasers(opened, policy, barred, at)
    decision = read(opened.payload)
    _require_about(decision.about, about)
    if at + SKEW < decision.created_on or at >= decision.expires_on:
        span = f"{format_time(decision.created_on)} to {format_time(decision.expires_on)}"
        raise Refused("DECISION_EXPIRED", f"It counts from {span}, now is {format_time(at)}.")
    return Vote(decision=decision, keys=keys, sha256=sha256(envelope))


def require_enough(votes: Sequence[Vote], policy: TrustPolicy) -> None:
    """Demand that enough people are behind these votes; who votes twice counts once.

    Raises:
        Refused: DECISION_THRESHOLD.
    """
    needed = max(PEOPLE, policy.roles.releaser.threshold)
    found = thresholds.voices([key for one in votes for key in one.keys])
    if found < needed:
        raise Refused("DECISION_THRESHOLD", f"{found} of {needed} people agreed.")


def signers_of(envelope: bytes, policy: TrustPolicy) -> tuple[TrustedKey, ...]:
    """The releasers who signed an envelope, whether or not it counts any more."""
    keys = policy.keys_of(policy.roles.releaser.principals)
    return thresholds.signers(dsse.parse(envelope), keys)


def barred(policy: TrustPolicy, source: str | None, names: Iterable[str]) -> frozenset[str]:
    """Principals who may not decide about rows: who may sign for their source, and who sent them.

    `names`: ids of contributors and of the supplier, as the batch has them.
    """
    found = set(names)
    try:
        terms = policy.candidates(source) if source else ()
    except Refused:  # a source that the policy no longer knows: nobody may speak for it
        terms = ()
    for one in terms:
        found |= policy.principals(one)
        found |= one.suppliers or frozenset()
    return frozenset(found)


def _releasers(
    opened: Envelope, policy: TrustPolicy, barred: Collection[str], at: datetime
) -> tuple[TrustedKey, ...]:
    if not opened.signatures:
        raise Refused("UNSIGNED", "The decision carries no signature.")
    people = policy.roles.releaser.principals
    signed = thresholds.signers(opened, policy.keys_of(people))
    if not signed:
        others = thresholds.signers(opened, policy.keys.values())
        who = f'"{others[0].principal}"' if others else "Somebody who is not in the trust policy"
        raise Refused("DECISION_PRINCIPAL", f"{who} signed, and is no releaser.")
    for key in signed:
        if key.principal in barred:
            text = f'"{key.principal}" sent these rows, or may speak for who did.'
            raise Refused("DECISION_CONTRIBUTOR", text)
        if (code := standing(key, at)) != GOOD:
            text = f"The key {key.keyid} of {key.principal} does not count at {format_time(at)}."
            raise Refused(code, text)
    return signed


def _require_about(found: About, wanted: About) -> None:
    if found.policy_sha256 != wanted.policy_sha256:
        raise Refused("DECISION_POLICY", "The gate's policy is another one by now.")
    if found != wanted:
        text = "It is about another set of rows, batch, request or ledger."
        raise Refused("DECISION_SET", text)


def _require_reason(decision: Decision) -> None:
    if decision.reason_code not in REASONS:
        listed = ", ".join(REASONS)
        text = f'"{printable(decision.reason_code)}" is no reason code; it is one of {listed}.'
        raise Refused("DECISION_REASON", text)
    if (decision.kind is Kind.BREAK_GLASS) != (decision.reason_code == "emergency"):
        raise Refused("DECISION_REASON", '"emergency" is for break-glass, and for nothing else.')
    if len(decision.reason.strip()) < SHORTEST_REASON or len(decision.reason) > LONGEST_REASON:
        text = f"A reason has {SHORTEST_REASON} to {LONGEST_REASON} characters."
        raise Refused("DECISION_REASON", text)


def _kind(predicate: Fields) -> Kind:
    text = predicate.text("decision")
    try:
        return Kind(text)
    except ValueError as error:
        raise Refused("FIELD_VALUE", f'"{printable(text)}" is no decision.') from error


def _about(said: Statement) -> About:
    predicate = said.predicate
    name, set_sha256 = said.subject()
    batch = predicate.section("batch")
    if name != f"quarantine:{batch.text('name')}":
        raise Refused("DECISION_SET", f'The subject "{printable(name)}" is of another batch.')
    request, entry = predicate.optional_section("request"), predicate.optional_section("entry")
    return About(
        set_sha256=set_sha256,
        batch=batch.text("name"),
        batch_sha256=batch.digest("digest"),
        policy_sha256=predicate.section("policy").digest("digest"),
        request_sha256=_sha256(request) if request else None,
        # None in what was decided before decisions named it: that is about nothing any more.
        entry_sha256=_sha256(entry) if entry else None,
    )


def _sha256(fields: Fields) -> str:
    text = fields.text("sha256")
    if not is_sha256(text):
        raise Refused("DIGEST_ALGORITHM", f"{fields.where} needs a sha256 in lowercase hex.")
    return text
