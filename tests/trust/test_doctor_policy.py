"""What `auditor doctor` says of the trust policy."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from auditor.doctor.diagnosis import Diagnosis
from auditor.doctor.policy import trust_policy_here
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
