"""What people have said is no attack: written, read, and held against the trust policy.

An in-toto statement in a DSSE envelope. Each entry is about one rule and one scope: a batch or file
by its digest, a contributor, or a column. It has a reason, somebody who answers for it, and an end.
A gate obeys one that releasers signed; one about a contributor needs two of them, for it excuses
rows that nobody has seen yet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, cast

from auditor.model import Family, Rule
from auditor.provenance import dsse, statement
from auditor.provenance.digests import document_digest, is_sha256
from auditor.provenance.fields import Fields
from auditor.provenance.refused import Refused, printable
from auditor.provenance.strict_json import Json
from auditor.provenance.times import SKEW, format_time
from auditor.trust import thresholds
from auditor.trust.policy import TrustedKey, TrustPolicy
from auditor.trust.thresholds import GOOD, standing

PREDICATE_TYPE: Final = "https://auditor.example/attestation/suppressions/v1"
#: How long one may last.
LONGEST: Final = timedelta(days=90)
#: Releasers who have to agree about a contributor.
PEOPLE: Final = 2
#: Entries in one statement.
MOST: Final = 1000
SHORTEST_REASON: Final = 20
LONGEST_REASON: Final = 2000
#: Families whose claims are certain, and about what the batch is, not about what its rows hold.
NEVER: Final = frozenset({Family.INTEGRITY, Family.PROVENANCE, Family.POLICY})

Scope = Literal["content", "contributor", "column"]
SCOPES: Final[tuple[Scope, ...]] = ("content", "contributor", "column")
_FIELDS: Final = frozenset({"rule", "scope", "value", "reason", "approver", "expiresOn"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """Findings of `rule` about `value` are noted, up to `expires_on`.

    `value`: of scope `content` the sha256 of a batch or of a file in it, of `contributor` the id,
    of `column` the name.
    """

    rule: str
    scope: Scope
    value: str
    reason: str
    approver: str
    expires_on: datetime

    @property
    def words(self) -> str:
        """How a finding says it."""
        ends = f"until {self.expires_on:%Y-%m-%d}"
        return f"for {self.scope} {self.value} {ends} by {self.approver}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """The entries of a statement, and when it was made."""

    entries: tuple[Suppression, ...]
    created_on: datetime

    @property
    def sha256(self) -> str:
        """What they say, whoever signed it and in whatever order: a part of the policy digest."""
        return digest_of(self.entries)


def digest_of(entries: Iterable[Suppression]) -> str:
    """Lowercase hex sha256 of the canonical JSON of the entries."""
    return document_digest(_images(entries))


def build(entries: Sequence[Suppression], created_on: datetime) -> bytes:
    """The canonical payload, ready to be signed.

    Raises:
        Refused: what a reader would refuse.
    """
    listed = _images(entries)
    predicate: dict[str, Json] = {"suppressions": listed, "createdOn": format_time(created_on)}
    payload = statement.build("suppressions", digest_of(entries), PREDICATE_TYPE, predicate)
    read(payload)
    return payload


def read(payload: bytes) -> Listed:
    """The entries in a payload, whoever signed it.

    Raises:
        Refused: with the code of the first rule that is broken; SUPPRESSION_TERM for one that lasts
            longer than 90 days.
    """
    said = statement.read(payload, PREDICATE_TYPE)
    predicate = said.predicate
    predicate.require_known(("suppressions", "createdOn"), "suppressions")
    created_on = predicate.time("createdOn")
    entries = tuple(map(_entry, predicate.sections("suppressions")))
    if not 0 < len(entries) <= MOST:
        raise Refused("LIMIT", f"There are {len(entries)} suppressions, not 1 to {MOST}.")
    for one in entries:
        require_term(one, created_on)
    if said.subject() != ("suppressions", digest_of(entries)):
        raise Refused("SUBJECT_DIGEST", "The list of suppressions has another digest.")
    return Listed(entries=entries, created_on=created_on)


def require_term(one: Suppression, created_on: datetime) -> None:
    """Refuse what lasts for longer than 90 days from when it was made (SUPPRESSION_TERM)."""
    if one.expires_on > created_on + LONGEST:
        ends, made = format_time(one.expires_on), format_time(created_on)
        text = f"That of {printable(one.rule)} was made on {made} and ends on {ends}."
        raise Refused("SUPPRESSION_TERM", text)


def require_allowed(
    entries: Iterable[Suppression], rules: dict[str, Rule], required: Collection[str]
) -> None:
    """Refuse rules that cannot be suppressed.

    Raises:
        Refused: SUPPRESSION_RULE.
    """
    for one in entries:
        if one.rule not in rules:
            raise Refused("SUPPRESSION_RULE", f'There is no rule "{printable(one.rule)}".')
        family = rules[one.rule].family
        if family in NEVER:
            text = f"{one.rule} is of the family {family}, which nothing excuses."
            raise Refused("SUPPRESSION_RULE", text)
        if one.rule in required:
            raise Refused("SUPPRESSION_RULE", f"{one.rule} is required by policy.required.")


def require_signed(envelope: bytes, policy: TrustPolicy, at: datetime) -> tuple[str, ...]:
    """The releasers behind a statement that a gate may obey at a time, sorted.

    Who is named as the contributor of an entry does not count for it.

    Raises:
        Refused: UNSIGNED, DECISION_PRINCIPAL, DECISION_THRESHOLD, TIME_FUTURE, KEY_REVOKED,
            KEY_EXPIRED, KEY_NOT_YET_VALID, or a code of `read`.
    """
    opened = dsse.parse(envelope)
    opened.require_type(dsse.IN_TOTO)
    listed = read(opened.payload)
    if not opened.signatures:
        raise Refused("UNSIGNED", "The suppressions carry no signature.")
    signed = thresholds.signers(opened, policy.keys_of(policy.roles.releaser.principals))
    if not signed:
        raise Refused("DECISION_PRINCIPAL", "No releaser signed the suppressions.")
    good = tuple(key for key in signed if standing(key, at) == GOOD)
    if not good:
        thresholds.require(opened, signed, 1, at)  # says what is wrong with the keys
    if at + SKEW < listed.created_on:
        raise Refused("TIME_FUTURE", f"They were made on {format_time(listed.created_on)}.")
    for one in listed.entries:
        _require_people(one, good)
    return tuple(sorted({key.principal for key in good}))


def _require_people(one: Suppression, good: tuple[TrustedKey, ...]) -> None:
    needed = PEOPLE if one.scope == "contributor" else 1
    others = [k for k in good if one.scope != "contributor" or k.principal != one.value]
    if (found := thresholds.voices(others)) < needed:
        who = f"about {one.scope} {printable(one.value)}"
        raise Refused("DECISION_THRESHOLD", f"{found} of {needed} people agreed {who}.")


def _images(entries: Iterable[Suppression]) -> list[Json]:
    images: list[dict[str, Json]] = [
        {
            "rule": one.rule,
            "scope": one.scope,
            "value": one.value,
            "reason": one.reason,
            "approver": one.approver,
            "expiresOn": format_time(one.expires_on),
        }
        for one in entries
    ]
    return cast(list[Json], sorted(images, key=lambda image: [str(v) for v in image.values()]))


def _entry(fields: Fields) -> Suppression:
    fields.require_known(_FIELDS, "a suppression")
    scope = fields.text("scope")
    if scope not in SCOPES:
        raise Refused("FIELD_VALUE", f'"{printable(scope)}" is not one of {", ".join(SCOPES)}.')
    one = Suppression(
        rule=fields.text("rule"),
        scope=scope,
        value=fields.text("value"),
        reason=fields.text("reason"),
        approver=fields.text("approver"),
        expires_on=fields.time("expiresOn"),
    )
    if scope == "content" and not is_sha256(one.value):
        raise Refused("DIGEST_ALGORITHM", f"{fields.where} needs a sha256 in lowercase hex.")
    if not one.value or not one.approver.strip():
        raise Refused("FIELD_VALUE", f"{fields.where} names nothing, or nobody.")
    if not SHORTEST_REASON <= len(one.reason.strip()) <= LONGEST_REASON:
        text = f"A suppression has a reason of {SHORTEST_REASON} to {LONGEST_REASON} characters."
        raise Refused("DECISION_REASON", text)
    return one
