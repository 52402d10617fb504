"""Whom a training job trusts: a pinned trust policy, or a few keys named in the call itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from auditor.plain_file import read_plain
from auditor.provenance.keys import PublicKey, public_key
from auditor.provenance.refused import printable
from auditor.provenance.strict_json import MAX_BYTES
from auditor.transparency.note import VerifierKey, parse_vkey
from auditor.trust import chain
from auditor.trust.policy import Role, TrustedKey, TrustPolicy
from auditor.verify.refused import NotVerified

#: A public key: its file, its text (PEM or hex), or the key itself.
Key = PublicKey | str | os.PathLike[str]

_ALWAYS: Final = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Voices:
    """Keys that may sign, and how many of their owners must have."""

    keys: tuple[TrustedKey, ...] = ()
    threshold: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """What is trusted at the moment of a verification.

    `verifiers` are the gate ids that the gate's keys may sign as; `policies` the versions of the
    gate's settings that were approved, by name. `ledger` and `witnesses` are the log's keys.
    `version` says which trust policy this is, where it is one.
    """

    gate: Voices
    verifiers: frozenset[str]
    status: Voices = field(default_factory=Voices)
    ledger: tuple[VerifierKey, ...] = ()
    witnesses: tuple[VerifierKey, ...] = ()
    quorum: int = 0
    policies: Mapping[str, int] = field(default_factory=dict)
    version: chain.Seen | None = None


@dataclass(frozen=True, slots=True)
class Pin:
    """A trust policy in a file, and the digest of one of its versions."""

    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom to trust; made by `pinned` or `keys`. A policy is read anew at every verification."""

    source: Pin | Authority

    def resolve(self, now: datetime, seen: chain.Seen | None) -> Authority:
        """What is trusted now.

        Raises:
            Refused: a POLICY code: the policy has expired, is older than one seen before, ...
        """
        if isinstance(self.source, Authority):
            return self.source
        pin, read = self.source, _reader(self.source.path.parent)
        policy = chain.resolve(read, pin.path.name, pin=pin.sha256, now=now, seen=seen)
        return _authority(policy)

    @classmethod
    def pinned(cls, path: str | os.PathLike[str], *, sha256: str) -> Trust:
        """The signed trust policy in a file, reached from the version whose digest is given.

        Args:
            path: `trust.dsse.json`; older versions lie beside it as `trust.<version>.dsse.json`.
            sha256: digest of the payload of any version, from a place that whoever writes the
                file cannot write to.
        """
        return cls(Pin(Path(path), sha256))

    @classmethod
    def keys(
        cls,
        *,
        gate: Key | Iterable[Key],
        verifier: str,
        ledger: str | None = None,
        status: Key | None = None,
        witnesses: Iterable[str] = (),
        quorum: int = 0,
    ) -> Trust:
        """A few keys, for a site without a trust policy: nothing is revoked, nothing rotates.

        Args:
            gate: public key of the gate, or several, of which one must have signed.
            verifier: the id (URI) that the gate signs as.
            ledger: the log's verifier key (`name+hash+key`); with it a proof is required.
            status: public key of the status role; with it a fresh status is required.
            witnesses: verifier keys of witnesses.
            quorum: how many of them must have cosigned.
        """
        given = [gate] if isinstance(gate, PublicKey | str | os.PathLike) else list(gate)
        if not given or not verifier:
            raise ValueError("name at least one key of the gate, and the id that it signs as")
        keys = tuple(_trusted(one, f"gate-{number}") for number, one in enumerate(given))
        witness_keys = tuple(map(parse_vkey, witnesses))
        if not 0 <= quorum <= len(witness_keys):
            raise ValueError(
                f"a quorum of {quorum} of {len(witness_keys)} witnesses makes no sense"
            )
        authority = Authority(
            gate=Voices(keys),
            verifiers=frozenset({verifier}),
            status=Voices((_trusted(status, "status"),) if status is not None else ()),
            ledger=(parse_vkey(ledger),) if ledger else (),
            witnesses=witness_keys,
            quorum=quorum,
        )
        return cls(authority)


def _authority(policy: TrustPolicy) -> Authority:
    roles = policy.roles
    return Authority(
        gate=_voices(policy, roles.gate),
        verifiers=frozenset(roles.gate.verifiers),
        status=_voices(policy, roles.status),
        ledger=tuple(map(parse_vkey, roles.ledger)),
        witnesses=tuple(map(parse_vkey, roles.witness.vkeys)),
        quorum=roles.witness.quorum,
        policies={name: named.version for name, named in policy.policies.items()},
        version=chain.Seen(policy.version, policy.sha256),
    )


def _voices(policy: TrustPolicy, role: Role) -> Voices:
    return Voices(policy.keys_for(role), role.threshold)


def _reader(folder: Path) -> Callable[[str], bytes | None]:
    def read(name: str) -> bytes | None:
        try:
            return read_plain(folder / name, MAX_BYTES)
        except FileNotFoundError:
            return None

    return read


def _trusted(key: Key, principal: str) -> TrustedKey:
    public = key if isinstance(key, PublicKey) else public_key(_text(key))
    return TrustedKey(
        keyid=public.keyid,
        public=public,
        principal=principal,
        not_before=_ALWAYS[0],
        not_after=_ALWAYS[1],
    )


def _text(key: str | os.PathLike[str]) -> bytes:
    """A key is text where it can be no file name: PEM, or hex of the right length."""
    text = os.fspath(key)
    written = text.lstrip().startswith("-----BEGIN") or (
        len(text) in (64, 66, 130) and all(c in "0123456789abcdefABCDEF" for c in text)
    )
    if written and isinstance(key, str):
        return text.encode()
    try:
        return read_plain(Path(text), MAX_BYTES)
    except OSError as error:
        what = f"{printable(text)}: {error.strerror}."
        raise NotVerified("KEY_MISSING", what) from error
