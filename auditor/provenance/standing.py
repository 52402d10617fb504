"""Whether a published attestation still stands, beside a new one of the same files.

A published folder is never written twice: its files and the attestation that came with them stay.
The new run's attestation lies in the run's own folder, and the ledger names it there. Only where a
training job could do nothing with the old one (damaged, expired, without the signature or level
that the new one has) does the new one take its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from auditor.provenance import attestation, dsse, statement
from auditor.provenance.attestation import EXTENSION
from auditor.provenance.refused import Refused, printable

#: What one person let in; to have it is no merit.
_EMERGENCY: Final = "AUDITOR_BREAK_GLASS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a training job asks of an attestation, as it says it itself; no signature is verified.

    `subject` is the sha256 of the published files, `signers` are ids of keys.
    """

    subject: str
    verifier: str
    policy: str
    policy_version: int
    passed: bool
    levels: frozenset[str]
    verified_at: datetime
    valid_until: datetime
    signers: frozenset[str]


def read(envelope: bytes) -> Standing:
    """What an attestation says.

    Raises:
        Refused: it is none, with the code of the first rule that is broken.
    """
    opened = dsse.parse(envelope)
    opened.require_type(dsse.IN_TOTO)
    said = statement.read(opened.payload, attestation.PREDICATE_TYPE)
    predicate, extension = said.predicate, said.predicate.section(EXTENSION)
    return Standing(
        subject=said.subject()[1],
        verifier=predicate.section("verifier").text("id"),
        policy=predicate.section("policy").text("uri"),
        policy_version=extension.count("policyVersion"),
        passed=predicate.text("verificationResult") == "PASSED",
        levels=frozenset(predicate.texts("verifiedLevels")),
        verified_at=predicate.time("timeVerified"),
        valid_until=extension.time("validUntil"),
        signers=frozenset(one.keyid for one in opened.signatures),
    )


def fallen(old: bytes, new: bytes) -> str:
    """Why the published attestation `old` can no longer stand where `new` could; empty if it can.

    `new` is ours; should it not be readable, nothing is replaced by it.
    """
    try:
        after = read(new)
    except Refused:
        return ""
    try:
        before = read(old)
    except Refused as refused:
        return f"it cannot be read ({printable(refused.code)})"
    return next(_reasons(before, after), "")


def _reasons(before: Standing, after: Standing) -> Iterator[str]:
    if before.subject != after.subject or not before.passed:
        yield "it is not about these files"
    if before.signers and not after.signers:
        return  # whatever it lacks, nobody could verify the new one at all
    if before.valid_until <= after.verified_at:
        yield "it has expired"
    if not after.signers <= before.signers:
        yield "the key in use did not sign it"
    if before.verifier != after.verifier or before.policy != after.policy:
        yield "it names another gate or policy"
    if before.policy_version < after.policy_version:
        yield "it is of an older policy"
    if _EMERGENCY in before.levels - after.levels:
        yield "it was released in an emergency"
    if missing := after.levels - before.levels - {"AUDITOR_NO_BASELINE", _EMERGENCY}:
        yield f"it lacks the level {printable(min(missing))}"
