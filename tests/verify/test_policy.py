"""A pinned trust policy says whose signature counts, and since when."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditor.provenance import dsse, keys
from auditor.provenance.digests import sha256
from auditor.provenance.strict_json import canonical
from auditor.provenance.times import format_time
from auditor.trust.policy import PAYLOAD_TYPE, POLICY_TYPE
from auditor.verify import Trust

VERIFIER = "https://gate.test/prod"


class Site:
    """The trust policy of the world's site, in as many versions as a test wants."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.folder = Path(world.root / "trust")
        self.folder.mkdir()
        self.root = Ed25519PrivateKey.generate()
        self.pin = ""

    def publish(self, version: int = 1, **changes: Any) -> dict[str, Any]:
        """Sign a version; older ones move aside as their names demand."""
        document = self.document(version, **changes)
        payload = canonical(document)
        newest = self.folder / "trust.dsse.json"
        if newest.exists():
            newest.rename(self.folder / f"trust.{version - 1}.dsse.json")
        signature = self.root.sign(dsse.pae(PAYLOAD_TYPE, payload))
        signed = dsse.Signature(keys.public_half(self.root).keyid, signature)
        newest.write_bytes(dsse.build(payload, PAYLOAD_TYPE, [signed]))
        self.pin = self.pin or sha256(payload)
        return document

    def document(self, version: int, **changes: Any) -> dict[str, Any]:
        world, now = self.world, self.world.now
        named = {"root": self.root, "gate": world.gate, "status": world.online}
        ids = {name: keys.public_half(key).keyid for name, key in named.items()}
        listed = {
            ids[name]: {
                "keytype": "ed25519",
                "public": keys.public_half(key).raw.hex(),
                "principal": f"{name}-1",
                "not_before": format_time(now - dt.timedelta(days=30)),
                "not_after": format_time(now + dt.timedelta(days=300)),
                "revoked_at": None,
                "compromised_since": None,
                **changes.get(name, {}),
            }
            for name, key in named.items()
        }
        return {
            "_type": POLICY_TYPE,
            "version": version,
            "expires": format_time(changes.get("expires", now + dt.timedelta(days=60))),
            "root": {"keyids": [ids["root"]], "threshold": 1},
            "keys": listed,
            "sources": {},
            "roles": {
                "gate": {"keyids": [ids["gate"]], "threshold": 1, "verifiers": [VERIFIER]},
                "ledger": {"vkeys": [world.vkey]},
                "status": {"keyids": [ids["status"]], "threshold": 1},
            },
            "policies": changes.get(
                "policies", {"stones": {"version": 1, "digest": {"sha256": "0" * 64}}}
            ),
            "unsigned": "hold",
        }

    @property
    def trust(self) -> Trust:
        return Trust.pinned(self.folder / "trust.dsse.json", sha256=self.pin)


@pytest.fixture
def site(world: Any) -> Site:
    return Site(world)


def test_a_pinned_policy_is_enough(world: Any, site: Site) -> None:
    site.publish()
    assert world.table(policy=site.trust, policy_name="stones").num_rows == 300


def test_later_versions_are_walked_to_from_the_pin(world: Any, site: Site) -> None:
    site.publish()
    site.publish(2)
    site.publish(3)
    assert world.table(policy=site.trust).num_rows == 300
    (site.folder / "trust.2.dsse.json").unlink()
    assert world.refused(policy=site.trust) == "POLICY_GAP"


def test_another_policy_than_the_pinned_one(world: Any, site: Site) -> None:
    site.publish()
    other = Site.__new__(Site)
    other.world, other.folder, other.pin = world, site.folder, ""
    other.root = Ed25519PrivateKey.generate()
    other.publish(2)
    assert world.refused(policy=site.trust) == "POLICY_SIGNATURE"


def test_a_policy_that_has_expired(world: Any, site: Site) -> None:
    site.publish(expires=world.now - dt.timedelta(days=1))
    assert world.refused(policy=site.trust) == "POLICY_EXPIRED"


def test_a_policy_older_than_one_seen_before(world: Any, site: Site) -> None:
    """The version that revoked a key is taken away again."""
    site.publish()
    first = (site.folder / "trust.dsse.json").read_bytes()
    site.publish(2)
    world.table(policy=site.trust)
    (site.folder / "trust.dsse.json").write_bytes(first)
    assert world.refused(policy=site.trust) == "POLICY_ROLLBACK"


def test_the_status_tells_of_a_newer_policy(world: Any, site: Site) -> None:
    """A job without a memory is shown the old policy: the status knows of the new one."""
    site.publish()
    status = world.status(policy_version=2)
    assert world.refused(policy=site.trust, status=status) == "POLICY_ROLLBACK"
    assert world.table(policy=site.trust, status=world.status(policy_version=1)).num_rows == 300


def test_a_revoked_key_of_the_gate(world: Any, site: Site) -> None:
    """What the ledger has from before counts, what it has from after does not."""
    site.publish(gate={"revoked_at": format_time(world.now + dt.timedelta(days=1))})
    assert world.table(policy=site.trust).num_rows == 300
    site.publish(2, gate={"revoked_at": format_time(world.now - dt.timedelta(days=1))})
    assert world.refused(policy=site.trust) == "KEY_REVOKED"


def test_a_policy_name_or_version_that_root_did_not_approve(world: Any, site: Site) -> None:
    site.publish(policies={"other": {"version": 1, "digest": {"sha256": "0" * 64}}})
    assert world.refused(policy=site.trust) == "POLICY_NAME"
    site.publish(2, policies={"stones": {"version": 2, "digest": {"sha256": "0" * 64}}})
    assert world.refused(policy=site.trust) == "POLICY_VERSION"


def test_a_policy_that_is_not_there(world: Any, site: Site) -> None:
    site.pin = "0" * 64
    assert world.refused(policy=site.trust) == "POLICY_MISSING"


def test_a_role_without_keys_lets_nobody_in(world: Any) -> None:
    stranger = Ed25519PrivateKey.generate()
    assert world.refused(policy=world.trust(gate=keys.public_half(stranger))) == (
        "SIGNATURE_THRESHOLD"
    )
    with pytest.raises(ValueError, match="at least one key"):
        world.trust(gate=[])
    with pytest.raises(ValueError, match="a quorum"):
        world.trust(quorum=1)


def test_keys_may_be_files_text_or_hex(world: Any) -> None:
    public = keys.public_half(world.gate)
    for gate in (public, public.raw.hex(), public.pem().decode(), world.root / "gate.pub"):
        assert world.table(policy=world.trust(gate=gate)).num_rows == 300
