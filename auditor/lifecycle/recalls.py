"""A recall: which batches, why, and what was made from them. Statement, and the way down.

One releaser may do it alone: stopping is cheap, and what was recalled by mistake can be sent again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from auditor.provenance import dsse, statement
from auditor.provenance.digests import document_digest
from auditor.provenance.fields import Fields
from auditor.provenance.refused import Refused
from auditor.provenance.strict_json import Json
from auditor.provenance.times import format_time
from auditor.trust import thresholds
from auditor.trust.policy import TrustedKey, TrustPolicy

PREDICATE_TYPE: Final = "https://auditor.example/attestation/recall/v1"
_FIELDS: Final = frozenset({"selector", "recalled", "reason", "createdOn"})
#: What batches may be selected by.
SELECTORS: Final = ("key", "source", "contributor", "batch", "since")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A published batch as far as a recall needs it; digests are lowercase hex sha256.

    `known_as`: every digest that others may name it by: its attestation, its published files, the
    bytes that came in, its manifest. `made_from`: what it names so itself.
    """

    run: str
    resource: str
    batch_sha256: str
    attestation_sha256: str
    published_sha256: str
    known_as: frozenset[str]
    made_from: frozenset[str]


def along_parents(chosen: Iterable[str], batches: Sequence[Published]) -> tuple[Published, ...]:
    """The chosen runs and all that was made from them, whatever number of steps away.

    `chosen` are runs. The order is that of `batches`.
    """
    found = set(chosen)
    while True:
        tainted = {digest for one in batches if one.run in found for digest in one.known_as}
        same = {one.batch_sha256 for one in batches if one.run in found}
        more = {
            one.run for one in batches if one.made_from & tainted or one.batch_sha256 in same
        } - found
        if not more:
            return tuple(one for one in batches if one.run in found)
        found |= more


def build(
    selector: Mapping[str, str], batches: Sequence[Published], reason: str, created_on: datetime
) -> bytes:
    """The canonical payload, ready to be signed.

    Raises:
        Refused: what a reader would refuse.
    """
    listed: list[Json] = [
        {"name": f"dataset:{one.resource}", "digest": {"sha256": one.attestation_sha256}}
        for one in batches
    ]
    predicate: dict[str, Json] = {
        "selector": dict(selector),
        "recalled": listed,
        "reason": reason,
        "createdOn": format_time(created_on),
    }
    payload = statement.build("recall", document_digest(listed), PREDICATE_TYPE, predicate)
    read(payload)
    return payload


def read(payload: bytes) -> frozenset[str]:
    """The attestations that a statement recalls, whoever signed it.

    Raises:
        Refused: with the code of the first rule that is broken.
    """
    said = statement.read(payload, PREDICATE_TYPE)
    predicate = said.predicate
    predicate.require_known(_FIELDS, "a recall")
    selector = predicate.section("selector")
    if not selector.values or not set(selector.values) <= set(SELECTORS):
        raise Refused("FIELD_VALUE", f"A recall selects by one of {', '.join(SELECTORS)}.")
    for name in selector.values:
        selector.text(name)
    predicate.time("createdOn")
    if not predicate.text("reason").strip():
        raise Refused("DECISION_REASON", "A recall needs a reason.")
    recalled = [Fields(one.values, one.where) for one in predicate.sections("recalled")]
    if said.subject() != ("recall", document_digest([dict(one.values) for one in recalled])):
        raise Refused("SUBJECT_DIGEST", "The list of recalled batches has another digest.")
    return frozenset(one.digest("digest") for one in recalled)


def require_releaser(envelope: bytes, policy: TrustPolicy, at: datetime) -> TrustedKey:
    """The releaser who signed; one is enough.

    Raises:
        Refused: DECISION_PRINCIPAL, KEY_REVOKED, KEY_EXPIRED, KEY_NOT_YET_VALID or a DSSE code.
    """
    opened = dsse.parse(envelope)
    opened.require_type(dsse.IN_TOTO)
    keys = policy.keys_of(policy.roles.releaser.principals)
    if not thresholds.signers(opened, keys):
        raise Refused("DECISION_PRINCIPAL", "No releaser signed the recall.")
    return thresholds.require(opened, keys, 1, at)[0]
