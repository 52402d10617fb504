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
from auditor.provenance.comparison import ReceivedFile
from auditor.provenance.digests import contributor_roll, sha256
from auditor.provenance.manifest import FileEntry
from auditor.provenance.verification import Verification, verify

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
        known: dict[str, Any] = {
            "keys": {"vendor-a/reviews": (self.public,)},
            "threshold": 1,
            "files": self.received(),
            "schema_fields": self.schema,
            "contributors": dict(self.contributors),
            "roll": self.roll,
            "now": NOW,
            "kind": "training",
            "roles": {"label": "label", "contributor": "contributor_id"},
        }
        return verify(envelope, **(known | changes))


def codes(verification: Verification) -> list[str]:
    """The codes of all findings, in order."""
    return [str(finding.evidence["code"]) for finding in verification.findings]


@pytest.fixture(scope="session")
def world() -> World:
    return World()


@pytest.fixture(scope="session")
def codes_of() -> Callable[[Verification], Sequence[str]]:
    return codes
