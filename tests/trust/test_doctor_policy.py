"""What `auditor doctor` says of the trust policy."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from auditor import signing
from auditor.config.settings import Settings, SigningSettings
from auditor.doctor.diagnosis import Diagnosis
from auditor.doctor.policy import gate_role_here, log_key_here, trust_policy_here
from auditor.ledger import Ledger
from auditor.provenance import dsse
from auditor.provenance.digests import sha256
from auditor.trust_files import Pinned, in_force

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
LATER = "2027-11-01T00:00:00Z"


def diagnosed(folder: Path, realm: Any, **changes: Any) -> Diagnosis:
    envelope = realm.sign(realm.document(**changes), "root-1", "root-2")
    path = folder / "trust.dsse.json"
    path.write_bytes(envelope)
    pinned = Pinned(path, sha256(dsse.parse(envelope).payload))
    return trust_policy_here(pinned, Ledger(folder / "ledger.db"), NOW)


@pytest.mark.parametrize(
    ("expires", "health", "found"),
    [
        (LATER, "ok", "version 1, until 2027-11-01"),
        ("2026-12-06T11:59:59Z", "note", "expires on 2026-12-06"),
        ("2026-12-06T12:00:00Z", "ok", "until 2026-12-06"),
        ("2026-11-22T12:00:00Z", "broken", "POLICY_EXPIRED"),
    ],
)
def test_how_long_it_is_in_force(
    tmp_path: Path, realm: Any, expires: str, health: str, found: str
) -> None:
    said = diagnosed(tmp_path, realm, expires=expires)
    assert (said.health, found in said.found) == (health, True), said
    assert bool(said.mend) == (health != "ok")


def test_a_key_that_soon_expires_is_named_and_a_revoked_one_is_not(
    tmp_path: Path, realm: Any
) -> None:
    keys = realm.document()["keys"]
    for name in ("ann", "bob"):
        keys[realm.keyid(name)]["not_after"] = "2026-11-30T00:00:00Z"
    keys[realm.keyid("bob")]["revoked_at"] = "2026-11-01T00:00:00Z"
    said = diagnosed(tmp_path, realm, expires=LATER, keys=keys)
    assert said.found == "version 1, a key of ann expires on 2026-11-30"


def test_it_looks_with_the_eyes_of_the_next_run_and_logs_nothing(
    tmp_path: Path, realm: Any
) -> None:
    assert diagnosed(tmp_path, realm, version=2, expires=LATER).ok
    ledger = Ledger(tmp_path / "ledger.db")
    assert list(ledger.entries()) == []
    path = tmp_path / "trust.dsse.json"
    pin = sha256(dsse.parse(path.read_bytes()).payload)
    in_force(Pinned(path, pin), ledger, at=NOW, via="gate")
    said = diagnosed(tmp_path, realm, expires=LATER)
    assert (said.health, "POLICY_ROLLBACK" in said.found) == ("broken", True)


VERIFIER = "https://site.example/gate/prod"


@pytest.fixture
def gate_key(tmp_path: Path, realm: Any) -> Path:
    """The file of the key that the policy lets sign as the gate."""
    path = tmp_path / "gate.key"
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(realm.keys["gate"].private_bytes(*form))
    path.chmod(0o600)
    return path


def of_the_gate(folder: Path, realm: Any, signing: Any, **changes: Any) -> list[Diagnosis]:
    envelope = realm.sign(realm.document(expires=LATER, **changes), "root-1", "root-2")
    path = folder / "trust.dsse.json"
    path.write_bytes(envelope)
    pinned = Pinned(path, sha256(dsse.parse(envelope).payload))
    settings = Settings(signing=SigningSettings(**signing))
    return list(gate_role_here(pinned, Ledger(folder / "ledger.db"), settings, NOW))


def test_whether_the_gate_may_sign(tmp_path: Path, realm: Any, gate_key: Path) -> None:
    (said,) = of_the_gate(tmp_path, realm, {"key": gate_key, "verifier": VERIFIER})
    assert (said.health, said.found, said.mend) == ("ok", "may sign", "")
    roles = realm.document()["roles"]
    roles["gate"] = {"keyids": [], "threshold": 1, "verifiers": []}
    (said,) = of_the_gate(tmp_path, realm, {}, roles=roles)
    assert (said.health, said.found) == ("ok", "the trust policy names none")


def test_why_the_gate_may_not_sign(tmp_path: Path, realm: Any, gate_key: Path) -> None:
    signing.generate(tmp_path / "other")
    gate = {"key": gate_key, "verifier": VERIFIER}
    for wrong, found in (
        ({"verifier": VERIFIER}, "GATE_ROLE: it has neither"),
        (gate | {"verifier": "https://other.example"}, "GATE_ROLE: it signs as https://other"),
        (gate | {"key": tmp_path / "other.key"}, "GATE_ROLE: its key is "),
    ):
        (said,) = of_the_gate(tmp_path, realm, wrong)
        assert (said.health, found in said.found, bool(said.mend)) == ("broken", True, True), said
    keys = realm.document()["keys"]
    keys[realm.keyid("gate")]["revoked_at"] = "2026-11-01T00:00:00Z"
    (said,) = of_the_gate(tmp_path, realm, gate, keys=keys)
    assert "KEY_REVOKED" in said.found
    gate_key.chmod(0o644)
    (said,) = of_the_gate(tmp_path, realm, gate)
    assert (said.health, "KEY_PERMISSIONS" in said.found) == ("broken", True)


def test_by_a_program_too(tmp_path: Path, realm: Any, gate_key: Path) -> None:
    """`signing.command` is asked as the next run would ask it."""
    script = tmp_path / "sign.py"
    script.write_text(
        "import sys; from cryptography.hazmat.primitives.serialization import "
        "load_pem_private_key as load; key = load(open(sys.argv[1], 'rb').read(), None); "
        "sys.stdout.buffer.write(key.sign(sys.stdin.buffer.read()))"
    )
    public = tmp_path / "gate.pub"
    public.write_text(realm.entry("gate")["public"])
    command = (sys.executable, str(script), str(gate_key))
    signing = {"command": command, "public": public, "verifier": VERIFIER}
    (said,) = of_the_gate(tmp_path, realm, signing)
    assert said.found == "may sign"
    public.write_text(realm.entry("ann")["public"])
    (said,) = of_the_gate(tmp_path, realm, signing)
    assert (said.health, "does not verify" in said.found) == ("broken", True), said


def of_the_log(folder: Path, realm: Any, ledger: Ledger, *vkeys: str) -> list[Diagnosis]:
    roles = realm.document()["roles"] | {"ledger": {"vkeys": list(vkeys)}}
    envelope = realm.sign(realm.document(expires=LATER, roles=roles), "root-1", "root-2")
    path = folder / "trust.dsse.json"
    path.write_bytes(envelope)
    pinned = Pinned(path, sha256(dsse.parse(envelope).payload))
    return list(log_key_here(pinned, ledger, NOW))


def test_whether_training_jobs_believe_the_log(tmp_path: Path, realm: Any) -> None:
    """After `ledger rotate` the new key has to be in the policy, or no job trains any more."""
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.append("policy.changed", at=NOW, via="gate", subject="a" * 64)
    another = Ledger(tmp_path / "other.db").key
    another.make()
    own, other = str(ledger.key.public()), str(another.public())
    assert of_the_log(tmp_path, realm, ledger) == []
    (said,) = of_the_log(tmp_path, realm, ledger, other, own)
    assert (said.health, said.mend) == ("ok", "")
    (said,) = of_the_log(tmp_path, realm, ledger, other)
    assert (said.health, f"{own} is not in" in said.found, bool(said.mend)) == (
        "broken",
        True,
        True,
    )
    fresh = Ledger(tmp_path / "fresh.db")
    (said,) = of_the_log(tmp_path, realm, fresh, other)
    assert (said.health, "no key yet" in said.found) == ("broken", True)
