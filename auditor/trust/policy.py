"""The trust policy as typed values: keys, sources, delegations, roles, named policies.

`auditor.trust.parsing` makes one out of bytes; nothing here says who signed it, see
`auditor.trust.chain`. Fields whose value is None (or empty) restrict nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

from auditor.provenance.keys import PublicKey
from auditor.provenance.refused import Refused, printable

POLICY_TYPE: Final = "https://auditor.example/trust-policy/v1"
#: The DSSE payload type: a signature over a policy is never one over a statement.
PAYLOAD_TYPE: Final = "application/vnd.auditor.trust-policy+json"
#: Releases of quarantined rows come from sources below this name, signed by the gate.
RELEASES: Final = "release/"

Unsigned = Literal["note", "hold", "reject"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    """A public key, whose it is and when it counts. `keyid` is `public.keyid`.

    `revoked_at`: signatures from then on do not count. `compromised_since`: neither do those from
    then on, and every batch that the key vouched for since is to be recalled.
    """

    keyid: str
    public: PublicKey
    principal: str
    not_before: datetime
    not_after: datetime
    revoked_at: datetime | None = None
    compromised_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """Keys that may act, and how many *principals* among their owners must have."""

    keyids: tuple[str, ...] = ()
    threshold: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLimits:
    """Upper bounds for one batch of a source; None: the site's own."""

    files: int | None = None
    bytes: int | None = None
    rows: int | None = None
    decoded_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source(Role):
    """What a source may send and on whose signature.

    `delegation` is the pattern the terms come from, None where the source has its own. `schema`
    holds schema fingerprints (hex sha256), `contributors` the only ids that may have rows.
    """

    name: str
    suppliers: frozenset[str] | None = None
    contributors: frozenset[str] | None = None
    licenses: frozenset[str] | None = None
    methods: frozenset[str] | None = None
    uri_prefixes: tuple[str, ...] | None = None
    schema: frozenset[str] | None = None
    sequence: Literal["strict", "monotonic"] = "strict"
    max_age: timedelta | None = None
    limits: SourceLimits = field(default_factory=SourceLimits)
    row_provenance: Literal["required", "optional"] = "optional"
    trust: Literal["baseline", "known", "new"] = "new"
    mutable: bool = False
    delegation: str | None = None
    terminating: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate(Role):
    """Keys that sign attestations, and the verifier ids (URIs) they may sign as."""

    verifiers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Releaser:
    """People who may decide about quarantined rows; `threshold` of them must agree."""

    principals: tuple[str, ...] = ()
    threshold: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """Witnesses of the ledger (C2SP vkeys); `quorum` of them must have cosigned, 0 for none."""

    vkeys: tuple[str, ...] = ()
    quorum: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Who may do what besides the sources. `ledger` holds the log's C2SP vkeys."""

    gate: Gate = field(default_factory=Gate)
    releaser: Releaser = field(default_factory=Releaser)
    ledger: tuple[str, ...] = ()
    status: Role = field(default_factory=Role)
    witness: Witness = field(default_factory=Witness)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedPolicy:
    """A version of the gate's settings that root has approved, and its policy digest."""

    version: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustPolicy:
    """One version of the trust policy. `sha256` is the digest of its payload: what a pin names."""

    version: int
    expires: datetime
    root: Role
    keys: Mapping[str, TrustedKey]
    sources: Mapping[str, Source]
    delegations: Mapping[str, Source]
    roles: Roles
    policies: Mapping[str, NamedPolicy]
    unsigned: Unsigned
    sha256: str

    def source(self, name: str) -> Source:
        """The terms of a source: its own, else those of the longest pattern that covers it.

        Raises:
            Refused: SOURCE_UNKNOWN.
        """
        return self.candidates(name)[0]

    def candidates(self, name: str) -> tuple[Source, ...]:
        """All terms under which a source may be vouched for, the closest first; never empty.

        A source with terms of its own has no others. Patterns follow from the longest to the
        shortest, up to the first that is terminating.

        Raises:
            Refused: SOURCE_UNKNOWN.
        """
        if name in self.sources:
            return (self.sources[name],)
        found: list[Source] = []
        for pattern in sorted(self.delegations, key=len, reverse=True):
            if not name.startswith(pattern.removesuffix("*")):
                continue
            found.append(self.delegations[pattern])
            if found[-1].terminating:
                break
        if not found:
            text = f'The trust policy knows no source "{printable(name)}".'
            raise Refused("SOURCE_UNKNOWN", text)
        return tuple(found)

    def keys_for(self, role: Role) -> tuple[TrustedKey, ...]:
        """The keys of a role or source, whatever their standing (see `thresholds`)."""
        return tuple(self.keys[keyid] for keyid in role.keyids)

    def keys_of(self, principals: Iterable[str]) -> tuple[TrustedKey, ...]:
        """The keys of people, whatever their standing."""
        wanted = frozenset(principals)
        return tuple(key for key in self.keys.values() if key.principal in wanted)

    def principals(self, role: Role) -> frozenset[str]:
        """Whose keys a role or source has."""
        return frozenset(key.principal for key in self.keys_for(role))
