"""From the version that is pinned to the one in force, one signed step after another.

Rules of the root role of TUF (The Update Framework 1.0.33, §5.3): a version is signed by enough of
the root keys of the version before **and** by enough of its own, and its number is exactly one
higher. The first version is known by its digest, given to us out of band; it is never taken on
first use. A version that has expired is still a step on the way, but cannot be the last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from auditor.provenance import dsse, strict_json
from auditor.provenance.digests import sha256
from auditor.provenance.dsse import Envelope
from auditor.provenance.fields import Fields
from auditor.provenance.refused import Refused
from auditor.provenance.times import format_time
from auditor.trust.parsing import parse
from auditor.trust.policy import PAYLOAD_TYPE, TrustedKey, TrustPolicy
from auditor.trust.thresholds import GOOD, signers, standing, voices


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest version that was in force here before, and the digest of its payload."""

    version: int
    sha256: str


def resolve(
    read: Callable[[str], bytes | None],
    name: str,
    *,
    pin: str,
    now: datetime,
    seen: Seen | None = None,
) -> TrustPolicy:
    """The policy in force: the file `name`, walked to from the pinned version.

    Args:
        read: the bytes of a file in the policy's folder, None where there is no such file. Older
            versions are looked for under `numbered(name, version)`.
        name: the file of the newest version.
        pin: the sha256 of the payload of any version, version 1 or a later one.
        now: the time, with its zone.
        seen: what was in force here before.

    Raises:
        Refused: a POLICY code, a DSSE code, a JSON code or a FIELD code.
    """
    newest = read(name)
    if newest is None:
        raise Refused("POLICY_MISSING", f'There is no "{name}".')
    versions = [newest]
    while (version := _version_unless(versions[0], pin)) > 1:
        earlier = read(numbered(name, version - 1))
        if earlier is None:
            text = f'"{numbered(name, version - 1)}" is missing, between the pin and "{name}".'
            raise Refused("POLICY_GAP", text)
        if _version_unless(earlier, "") != version - 1:
            raise Refused("POLICY_GAP", f'"{numbered(name, version - 1)}" is another version.')
        versions.insert(0, earlier)
    return walk(versions, pin=pin, now=now, seen=seen)


def walk(
    envelopes: Sequence[bytes], *, pin: str, now: datetime, seen: Seen | None = None
) -> TrustPolicy:
    """The last of `envelopes` (versions in rising order, the pinned one first), if it is in force.

    Raises:
        Refused: see `resolve`.
        ValueError: for no envelopes or a time without zone.
    """
    if not envelopes or now.tzinfo is None:
        raise ValueError("a chain needs its first version, and the time needs a zone")
    opened = [opened_policy(envelope) for envelope in envelopes]
    current = pinned(opened[0], pin)
    require_seen(current, seen)
    for envelope in opened[1:]:
        current = following(current, envelope)
        require_seen(current, seen)
    require_in_force(current, opened[-1], now)
    require_not_older(current, seen)
    return current


def opened_policy(envelope: bytes) -> Envelope:
    """An envelope that holds a trust policy, not judged yet."""
    opened = dsse.parse(envelope)
    opened.require_type(PAYLOAD_TYPE)
    return opened


def pinned(envelope: Envelope, pin: str) -> TrustPolicy:
    """The version that the pin names; raises `Refused` (POLICY_SIGNATURE, POLICY_PIN)."""
    policy = parse(envelope.payload)
    require_signed(envelope, policy)
    if policy.sha256 != pin:
        text = f"Version {policy.version} has the digest {policy.sha256}, pinned is {pin}."
        raise Refused("POLICY_PIN", text)
    return policy


def require_signed(envelope: Envelope, policy: TrustPolicy) -> None:
    """Demand a version's own root threshold; raises `Refused` (POLICY_SIGNATURE)."""
    _require_root(envelope, policy, "its own")


def following(old: TrustPolicy, envelope: Envelope) -> TrustPolicy:
    """The version after `old`; raises `Refused` (POLICY_SIGNATURE, POLICY_ROLLBACK, POLICY_GAP)."""
    # The old root first: what nobody vouched for is not even read.
    _require_root(envelope, old, "the old")
    new = parse(envelope.payload)
    _require_root(envelope, new, "its own")
    if new.version <= old.version:
        text = f"Version {new.version} cannot follow version {old.version}."
        raise Refused("POLICY_ROLLBACK", text)
    if new.version != old.version + 1:
        raise Refused("POLICY_GAP", f"Version {new.version} came after version {old.version}.")
    return new


def require_in_force(policy: TrustPolicy, envelope: Envelope, now: datetime) -> None:
    """Refuse a version that has expired, or whose root keys no longer count.

    Raises:
        Refused: POLICY_EXPIRED or POLICY_SIGNATURE.
    """
    if now >= policy.expires:
        text = f"Version {policy.version} expired at {format_time(policy.expires)}."
        raise Refused("POLICY_EXPIRED", text)
    _require_root(envelope, policy, "its own", now)


def require_not_older(policy: TrustPolicy, seen: Seen | None) -> None:
    """Refuse a version below the one that was seen; raises `Refused` (POLICY_ROLLBACK)."""
    if seen is not None and policy.version < seen.version:
        text = f"Version {policy.version} is offered, version {seen.version} was in force here."
        raise Refused("POLICY_ROLLBACK", text)


def require_seen(policy: TrustPolicy, seen: Seen | None) -> None:
    """Refuse a chain that does not go through the very version that was seen.

    Otherwise root keys that were stolen after they had been replaced could branch off before their
    replacement: such a chain is signed as it must be, and longer than ours if the thief likes.

    Raises:
        Refused: POLICY_EQUIVOCATION.
    """
    if seen is not None and policy.version == seen.version and policy.sha256 != seen.sha256:
        text = f"Version {policy.version} is {policy.sha256}; it was {seen.sha256} before."
        raise Refused("POLICY_EQUIVOCATION", text)


def numbered(name: str, version: int) -> str:
    """The name under which an older version is kept: `trust.dsse.json` -> `trust.3.dsse.json`."""
    stem = name.removesuffix(".dsse.json")
    return f"{stem}.{version}{name[len(stem) :]}"


def missing(envelope: Envelope, policy: TrustPolicy) -> int:
    """How many more principals of this policy's root have to sign the envelope."""
    keys = (key for key in signers(envelope, policy.keys_for(policy.root)) if _unrevoked(key))
    return max(0, policy.root.threshold - voices(tuple(keys)))


def _require_root(
    envelope: Envelope, policy: TrustPolicy, whose: str, at: datetime | None = None
) -> None:
    """Demand the root threshold of `policy`.

    When a version on the way was signed nobody can tell, so there a root key counts unless it was
    revoked at all; only for the last one (`at`) does its time of validity count as well.
    """
    signed = signers(envelope, policy.keys_for(policy.root))
    good = [k for k in signed if _unrevoked(k) and (at is None or standing(k, at) == GOOD)]
    if voices(good) < policy.root.threshold:
        need = f"{voices(good)} of {policy.root.threshold} principals of {whose} root signed"
        raise Refused("POLICY_SIGNATURE", f"{need} the trust policy.")


def _unrevoked(key: TrustedKey) -> bool:
    return key.revoked_at is None and key.compromised_since is None


def _version_unless(envelope: bytes, pin: str) -> int:
    """The version that an envelope claims; 0 if it is the pinned one, where the walk begins."""
    payload = opened_policy(envelope).payload
    if sha256(payload) == pin:
        return 0
    return Fields.of(strict_json.loads(payload), "policy").count("version")
