"""When a published attestation gives way to a new one of the same files, and when it stays."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditor.model import Mode, Verdict
from auditor.provenance import attestation, dsse, keys
from auditor.provenance.attestation import Audited, RuleOutcome
from auditor.provenance.digests import sha256
from auditor.provenance.manifest import FileEntry
from auditor.provenance.standing import fallen

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
FILES = (FileEntry(name="part-0.parquet", sha256=sha256(b"x"), size=795, rows=4),)
ACCEPT = Audited(
    verifier="https://gate.example/prod",
    versions={"auditor": "0.1.0"},
    resource="vendor-a/reviews@1",
    batch_sha256=sha256(b"batch"),
    verdict=Verdict.ACCEPT,
    mode=Mode.GATE,
    kind="training",
    verified_at=NOW,
    valid_until=NOW + timedelta(days=30),
    policy="prod",
    policy_sha256=sha256(b"policy"),
    policy_version=2,
    rows_in=4,
    rows_out=4,
    rows_quarantined=0,
    rules=(RuleOutcome("AUD-L001", "ran", 0),),
    report_sha256=sha256(b"report"),
    provenance_verified=True,
    screened=True,
    outputs=FILES,
    baseline_sha256=sha256(b"baseline"),
)
LATER = replace(ACCEPT, verified_at=NOW + timedelta(days=1), valid_until=NOW + timedelta(days=31))


def signed(audited: Audited, *signing: Ed25519PrivateKey) -> bytes:
    payload = attestation.build(audited)
    message = dsse.pae(dsse.IN_TOTO, payload)
    said = [dsse.Signature(keys.public_half(key).keyid, key.sign(message)) for key in signing]
    return dsse.build(payload, dsse.IN_TOTO, said)


def test_an_attestation_that_says_as_much_stays() -> None:
    assert fallen(signed(ACCEPT, KEY), signed(LATER, KEY)) == ""
    assert fallen(signed(ACCEPT, KEY, OTHER), signed(LATER, KEY)) == "", "one signature more"
    assert fallen(signed(ACCEPT, KEY), signed(LATER)) == "", "a weaker one replaces nothing"
    short = replace(ACCEPT, screened=False, valid_until=LATER.verified_at)
    assert fallen(signed(short, KEY), signed(LATER)) == "", "nobody could verify the new one"
    poorer = replace(LATER, provenance_verified=False, baseline_sha256=None)
    assert fallen(signed(ACCEPT, KEY), signed(poorer, KEY)) == "", "less was verified"
    assert fallen(signed(ACCEPT, KEY), signed(replace(LATER, resource="other"), KEY)) == ""


def other_files() -> dict[str, Any]:
    return {"outputs": (replace(FILES[0], sha256=sha256(b"y")),)}


def nothing_out() -> dict[str, Any]:
    return {"verdict": Verdict.REJECT, "outputs": (), "rows_out": 0}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (other_files(), "not about these files"),
        (nothing_out(), "not about these files"),
        ({"valid_until": LATER.verified_at}, "expired"),
        ({"verifier": "https://gate.example/test"}, "another gate or policy"),
        ({"policy": "test"}, "another gate or policy"),
        ({"policy_version": 1}, "older policy"),
        ({"screened": False}, "lacks the level AUDITOR_POISONING_SCREENED"),
        ({"provenance_verified": False}, "lacks the level AUDITOR_PROVENANCE_VERIFIED"),
    ],
)
def test_one_that_a_training_job_could_not_use_gives_way(
    changes: dict[str, Any], reason: str
) -> None:
    assert reason in fallen(signed(replace(ACCEPT, **changes), KEY), signed(LATER, KEY))


def test_one_without_the_signature_of_the_new_one_gives_way() -> None:
    for signing in ((), (OTHER,)):
        assert "did not sign" in fallen(signed(ACCEPT, *signing), signed(LATER, KEY))


@pytest.mark.parametrize("old", [b"", b"{}", b"\xff", b"[" * 100_000])
def test_one_that_cannot_be_read_gives_way(old: bytes) -> None:
    assert "cannot be read" in fallen(old, signed(LATER, KEY))
    assert fallen(signed(ACCEPT, KEY), old) == "", "nothing is replaced by what nobody can read"


def test_an_emergency_gives_way_and_takes_no_place() -> None:
    emergency, later = replace(ACCEPT, break_glass=True), replace(LATER, break_glass=True)
    assert fallen(signed(emergency, KEY), signed(LATER, KEY)) == "it was released in an emergency"
    assert fallen(signed(ACCEPT, KEY), signed(later, KEY)) == ""
    assert fallen(signed(emergency, KEY), signed(later, KEY)) == ""
