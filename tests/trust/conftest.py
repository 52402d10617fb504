"""A small honest world: a vendor with a key, a batch of two files, a signed manifest."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditor.provenance import declare, dsse, keys
from auditor.provenance.authority import ConfiguredKeys
from auditor.provenance.comparison import ReceivedFile
from auditor.provenance.digests import contributor_roll, sha256
from auditor.provenance.manifest import FileEntry
from auditor.provenance.verification import Verification, verify
from auditor.trust import chain
from auditor.trust.parsing import parse
from auditor.trust.policy import PAYLOAD_TYPE, POLICY_TYPE, TrustPolicy

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
Change = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True)
class World:
    """What the supplier sent and what the gate knows. `verify` takes changes of the latter."""

    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    stranger: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    schema: tuple[tuple[str, str, bool], ...] = (
        ("x", "double", True),
        ("label", "int64", False),
        ("contributor_id", "string", True),
    )
    contributors: tuple[tuple[str, int], ...] = (("ann", 3), ("bob", 1))
    contents: tuple[tuple[str, bytes, int], ...] = (
        ("part-0.parquet", b"first", 3),
        ("more/part-1.parquet", b"second", 1),
    )

    @property
    def public(self) -> keys.PublicKey:
        return keys.public_half(self.key)

    @property
    def roll(self) -> bytes:
        return contributor_roll(dict(self.contributors))

    def entries(self) -> list[FileEntry]:
        return [
            FileEntry(name=name, sha256=sha256(content), size=len(content), rows=rows)
            for name, content, rows in self.contents
        ]

    def received(self) -> list[ReceivedFile]:
        return [
            ReceivedFile(name=e.name, sha256=e.sha256, size=e.size, rows=e.rows)
            for e in self.entries()
        ]

    def received_but(self, original: str, /, **changes: Any) -> list[ReceivedFile]:
        return [replace(f, **changes) if f.name == original else f for f in self.received()]

    def payload(self, **changes: Any) -> bytes:
        told: dict[str, Any] = {
            "source": "vendor-a/reviews",
            "batch_id": "2026-11-22",
            "sequence": 42,
            "schema_fields": self.schema,
            "label": "label",
            "contributors": dict(self.contributors),
            "created_on": NOW - timedelta(hours=1),
            "expires_on": NOW + timedelta(days=7),
            "previous": "0" * 64,
            "row_provenance": {"contributorId": "contributor_id"},
        }
        return declare.create(self.entries(), **(told | changes))

    def changed(self, change: Change) -> bytes:
        """The payload after an edit that `create` would not have made, as its author signs it."""
        document = json.loads(self.payload())
        change(document)
        return json.dumps(document).encode()

    def sign(self, payload: bytes, *signing: Ed25519PrivateKey, kind: str = dsse.IN_TOTO) -> bytes:
        message = dsse.pae(kind, payload)
        return dsse.build(
            payload,
            kind,
            [
                dsse.Signature(keys.public_half(key).keyid, key.sign(message))
                for key in signing or (self.key,)
            ],
        )

    def verify(self, envelope: bytes | None, **changes: Any) -> Verification:
        trusted = changes.pop("keys", {"vendor-a/reviews": (self.public,)})
        known: dict[str, Any] = {
            "authority": ConfiguredKeys(trusted, changes.pop("threshold", 1)),
            "files": self.received(),
            "schema_fields": self.schema,
            "contributors": dict(self.contributors),
            "roll": self.roll,
            "now": NOW,
            "kind": "training",
            "roles": {"label": "label", "contributor": "contributor_id"},
        }
        return verify(envelope, **(known | changes))


@dataclass(frozen=True)
class Realm:
    """Root keys of three people, keys of vendors, gate and releasers: an honest trust policy.

    `keys` maps a name to its private key; the principal is the name up to the first `.`, so that
    `ann.1` and `ann.2` are two keys of ann.
    """

    keys: dict[str, Ed25519PrivateKey] = field(
        default_factory=lambda: {
            name: Ed25519PrivateKey.generate()
            for name in (
                *("root-1", "root-2", "root-3", "root-4", "vendor-a.1", "vendor-a.2", "vendor-b"),
                *("partner", "gate", "status", "ann", "bob", "cat"),
            )
        }
    )

    def keyid(self, name: str) -> str:
        return keys.public_half(self.keys[name]).keyid

    def keyids(self, *names: str) -> list[str]:
        return [self.keyid(name) for name in names]

    def entry(self, name: str, **changes: Any) -> dict[str, Any]:
        return {
            "keytype": "ed25519",
            "public": keys.public_half(self.keys[name]).raw.hex(),
            "principal": name.split(".")[0],
            "not_before": "2026-01-01T00:00:00Z",
            "not_after": "2027-01-01T00:00:00Z",
            "revoked_at": None,
            "compromised_since": None,
        } | changes

    def document(self, **changes: Any) -> dict[str, Any]:
        return {
            "_type": POLICY_TYPE,
            "version": 1,
            "expires": "2026-12-01T00:00:00Z",
            "root": {"keyids": self.keyids("root-1", "root-2", "root-3"), "threshold": 2},
            "keys": {self.keyid(name): self.entry(name) for name in self.keys},
            "sources": {
                "vendor-a/reviews": {"keyids": self.keyids("vendor-a.1"), "threshold": 1},
                "vendor-b/reviews": {"keyids": self.keyids("vendor-b"), "threshold": 1},
            },
            "delegations": {
                "partner/*": {
                    "keyids": self.keyids("partner"),
                    "threshold": 1,
                    "terminating": True,
                }
            },
            "roles": {
                "gate": {
                    "keyids": self.keyids("gate"),
                    "threshold": 1,
                    "verifiers": ["https://site.example/gate/prod"],
                },
                "releaser": {"principals": ["ann", "bob", "cat"], "threshold": 2},
                "ledger": {"vkeys": []},
                "status": {"keyids": self.keyids("status"), "threshold": 1},
                "witness": {"vkeys": [], "quorum": "none"},
            },
            "policies": {"prod": {"version": 7, "digest": {"sha256": "0" * 64}}},
            "unsigned": "hold",
        } | changes

    def sign(self, document: dict[str, Any], *names: str) -> bytes:
        payload = json.dumps(document).encode()
        message = dsse.pae(PAYLOAD_TYPE, payload)
        signing = [(self.keyid(name), self.keys[name].sign(message)) for name in names]
        return dsse.build(payload, PAYLOAD_TYPE, [dsse.Signature(*one) for one in signing])

    def parsed(self, document: dict[str, Any]) -> TrustPolicy:
        """The policy of a document, whoever signed it."""
        return parse(json.dumps(document).encode())

    def policy(self, document: dict[str, Any] | None = None) -> TrustPolicy:
        """What a gate that pins this very version has in force."""
        envelope = self.sign(document or self.document(), "root-1", "root-2")
        return chain.walk([envelope], pin=sha256(dsse.parse(envelope).payload), now=NOW)


def codes(verification: Verification) -> list[str]:
    """The codes of all findings, in order."""
    return [str(finding.evidence["code"]) for finding in verification.findings]


@pytest.fixture(scope="session")
def world() -> World:
    return World()


@pytest.fixture(scope="session")
def realm() -> Realm:
    return Realm()


@pytest.fixture(scope="session")
def codes_of() -> Callable[[Verification], Sequence[str]]:
    return codes
