"""A site with a trust policy, three releasers, and a signed batch of which thirty rows are aside.

The gate runs once a session; tests get copies of what it left.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditor.ledger import Ledger
from auditor.provenance import dsse, keys
from auditor.provenance.digests import sha256
from auditor.trust.policy import PAYLOAD_TYPE, POLICY_TYPE

_PATH = Path(__file__).parents[1] / "cli" / "conftest.py"
# Test folders are no packages here, so that one of them is loaded by its path.
_SPEC = importlib.util.spec_from_file_location("whole_runs_of_lifecycle", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
_MODULE = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = _MODULE
_SPEC.loader.exec_module(_MODULE)
_trusted, site_at = _MODULE._trusted, _MODULE.site_at

PEOPLE = ("ann", "bob", "cat")
NAMES = ("root-1", "root-2", "lab", "other-lab", "gate", "status", *PEOPLE, "stranger")
VERIFIER = "https://site.example/gate/prod"
REASON = "I asked the lab: it measured these stones twice on purpose."
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)


def text(at: dt.datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class People:
    """Everybody's key; `write` puts the private halves where a command finds them."""

    keys: dict[str, Ed25519PrivateKey] = field(
        default_factory=lambda: {name: Ed25519PrivateKey.generate() for name in NAMES}
    )

    def public(self, name: str) -> keys.PublicKey:
        return keys.public_half(self.keys[name])

    def keyid(self, name: str) -> str:
        return self.public(name).keyid

    def write(self, folder: Path) -> None:
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
        )

        folder.mkdir()
        for name, key in self.keys.items():
            path = folder / f"{name}.key"
            path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            path.chmod(0o600)

    def document(self, **changes: Any) -> dict[str, Any]:
        def entry(name: str) -> dict[str, Any]:
            return {
                "keytype": "ed25519",
                "public": self.public(name).raw.hex(),
                "principal": name,
                "not_before": text(NOW - dt.timedelta(days=100)),
                "not_after": text(NOW + dt.timedelta(days=400)),
                "revoked_at": None,
                "compromised_since": None,
            }

        known = [name for name in NAMES if name != "stranger"]
        return {
            "_type": POLICY_TYPE,
            "version": 1,
            "expires": text(NOW + dt.timedelta(days=300)),
            "root": {"keyids": [self.keyid("root-1"), self.keyid("root-2")], "threshold": 2},
            "keys": {self.keyid(name): entry(name) for name in known},
            "sources": {
                "lab/stones": {"keyids": [self.keyid("lab")], "threshold": 1},
                "other/stones": {"keyids": [self.keyid("other-lab")], "threshold": 1},
            },
            "roles": {
                "gate": {
                    "keyids": [self.keyid("gate")],
                    "threshold": 1,
                    "verifiers": [VERIFIER],
                },
                # lab may decide too, but never about what lab sent.
                "releaser": {"principals": [*PEOPLE, "lab"], "threshold": 2},
                "status": {"keyids": [self.keyid("status")], "threshold": 1},
            },
            "policies": {},
            "unsigned": "note",
        } | changes

    def sign(self, document: dict[str, Any], *names: str) -> bytes:
        payload = json.dumps(document).encode()
        message = dsse.pae(PAYLOAD_TYPE, payload)
        signatures = [
            dsse.Signature(self.keyid(name), self.keys[name].sign(message)) for name in names
        ]
        return dsse.build(payload, PAYLOAD_TYPE, signatures)


@dataclass
class World:
    """A site and its people; what tests do to it is done with the real commands."""

    site: Any
    people: People

    @property
    def root(self) -> Path:
        root: Path = self.site.root
        return root

    @property
    def run(self) -> str:
        """The run that set rows aside: the first one."""
        return min(path.name for path in self.site.visible("runs") if path.name[0] == "0")

    def key(self, name: str) -> Path:
        return self.root / "keys" / f"{name}.key"

    def desk(self, after: dt.timedelta = dt.timedelta(), **changes: Any) -> Any:
        """The desk some time after now, under settings that may be changed."""
        import contextlib

        from auditor.afterwards.desk import Desk
        from auditor.config import load

        if changes:
            self.site.configure(**changes)
        with contextlib.chdir(self.root):
            settings = load(self.root / "auditor.yaml", {}, strict_permissions=False)
        return Desk.of(settings, dt.datetime.now(dt.UTC) + after)

    def signed(self, who: str, what: str, *more: str, code: str = "intended-copies") -> Any:
        """`auditor quarantine WHAT RUN` with somebody's key."""
        arguments = ("--sign-with", self.key(who), "--code", code, "--reason", REASON)
        return self.site.call("quarantine", what, self.run, *arguments, *more)

    def quarantine(self, what: str, *more: str) -> Any:
        return self.site.call("quarantine", what, self.run, *more)

    def requested(self, who: str = "ann") -> None:
        assert self.quarantine("review").code == 0
        done = self.signed(who, "request")
        assert done.code == 0, done.err

    def agreed(self) -> None:
        self.requested()
        done = self.signed("bob", "approve")
        assert done.code == 0, done.err

    def release(self) -> Any:
        return self.site.call("quarantine", "release", self.run, "-q")

    def recall(self, *selected: str, who: str | None = "cat") -> Any:
        """`auditor recall` with somebody's key, or nobody's."""
        signed = ("--sign-with", self.key(who)) if who else ()
        return self.site.call("recall", *selected, "--reason", REASON, *signed)

    def deliver(
        self,
        name: str,
        table: Any,
        source: str = "lab/stones",
        who: str = "lab",
        details: dict[str, Any] | None = None,
    ) -> Path:
        """The first batch of a source with its signed manifest, as the source sends it."""
        path: Path = self.site.write(f"in/{name}.parquet", table)
        more = self.site.write("details.json", json.dumps(details or {}))
        made = self.site.call(
            *("manifest", "create", path, "--source", source, "--batch-id", name),
            *("--sequence", "1", "--label", "label", "--contributor", "who", "--details", more),
        )
        assert made.code == 0, made.err
        manifest = path.with_name(f"{path.name}.manifest.dsse.json")
        signed = self.site.call("manifest", "sign", manifest, "--key", self.key(who))
        assert signed.code == 0, signed.err
        return path

    def state(self, **at: Any) -> str:
        return str(self.desk(**at).find(self.run).history.state)


def payload(envelope: Path) -> dict[str, Any]:
    found = json.loads(dsse.parse(envelope.read_bytes()).payload)
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="session")
def people() -> People:
    return People()


@pytest.fixture(scope="session")
def _audited(
    site_at: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory, people: People
) -> World:
    root = tmp_path_factory.mktemp("lifecycle")
    site = site_at("site", root)
    people.write(site.root / "keys")
    log = Ledger(site.root / ".auditor" / "ledger.db").key.public()
    roles = people.document()["roles"] | {"ledger": {"vkeys": [str(log)]}}
    envelope = people.sign(people.document(roles=roles), "root-1", "root-2")
    (site.root / "trust.dsse.json").write_bytes(envelope)
    site.configure(
        trust={"policy": "trust.dsse.json", "sha256": sha256(dsse.parse(envelope).payload)},
        signing={"key": "keys/gate.key", "verifier": VERIFIER},
        self_measurement="off",
    )
    world = World(site, people)
    batch = world.deliver("b", site.copies(site.rows(200, 6), 30))
    done = site.call("gate", batch)
    assert done.code == 10, done.out + done.err
    return world


def copied(world: World, folder: Path) -> World:
    shutil.copytree(world.root, folder)
    return World(type(world.site)(folder, dict(world.site.settings)), world.people)


@pytest.fixture
def copy_of() -> Callable[[World, Path], World]:
    """Copies a world as it is."""
    return copied


@pytest.fixture
def world(_audited: World, tmp_path: Path) -> World:
    """A copy of that site, in which nobody has decided anything yet."""
    return copied(_audited, tmp_path / "site")


@pytest.fixture(scope="session")
def _released(_audited: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    world = copied(_audited, tmp_path_factory.mktemp("released") / "site")
    world.agreed()
    done = world.release()
    assert done.code == 0, done.out + done.err
    return world


@pytest.fixture
def released(_released: World, tmp_path: Path) -> World:
    """A copy of it in which the rows are released."""
    return copied(_released, tmp_path / "released")
