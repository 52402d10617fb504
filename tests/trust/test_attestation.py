"""The verdict as a statement: what it says, and what it refuses to say."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from auditor.model import Mode, Verdict
from auditor.provenance import attestation, statement, summary
from auditor.provenance.attestation import EXTENSION, Audited, RuleOutcome
from auditor.provenance.digests import sha256, subject_digest
from auditor.provenance.manifest import FileEntry
from auditor.provenance.refused import Refused
from auditor.provenance.strict_json import canonical
from auditor.sample_weight import SampleWeight

NOW = datetime(2026, 11, 22, 12, 0, 0, 999, tzinfo=UTC)
OUT = (FileEntry(name="part-0.parquet", sha256=sha256(b"x"), size=795, rows=3),)
QUARANTINE = Audited(
    verifier="https://gate.example/prod",
    versions={"auditor": "0.1.0"},
    resource="vendor-a/reviews@2026-11-22",
    batch_sha256=sha256(b"batch"),
    verdict=Verdict.QUARANTINE,
    mode=Mode.GATE,
    kind="training",
    verified_at=NOW,
    valid_until=NOW + timedelta(days=30),
    policy="prod",
    policy_sha256=sha256(b"policy"),
    policy_version=7,
    rows_in=4,
    rows_out=3,
    rows_quarantined=1,
    rules=(RuleOutcome("AUD-L001", "ran", 1),),
    report_sha256=sha256(b"report"),
    provenance_verified=True,
    screened=True,
    outputs=OUT,
    manifest_sha256=sha256(b"manifest"),
    set_sha256=sha256(b"set"),
    baseline_sha256=sha256(b"baseline"),
    ledger_origin="gate.example/ledger",
)

WEIGHTS = SampleWeight(share=0.05, rule="AUD-L001", rows=2)


def predicate(audited: Audited) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(attestation.build(audited))["predicate"]
    return found


def test_passed_is_about_the_published_files() -> None:
    payload = attestation.build(QUARANTINE)
    opened = statement.read(payload, attestation.PREDICATE_TYPE)
    assert opened.subject() == ("dataset:vendor-a/reviews@2026-11-22", subject_digest(OUT))
    said = predicate(QUARANTINE)
    assert said["verificationResult"] == "PASSED"
    assert said["verifiedLevels"] == ["AUDITOR_PROVENANCE_VERIFIED", "AUDITOR_POISONING_SCREENED"]
    assert said["timeVerified"] == "2026-11-22T12:00:00Z"
    extension = said[EXTENSION]
    assert extension["rows"] == {"in": 4, "out": 3, "quarantined": 1}
    assert extension["setDigest"] == {"sha256": sha256(b"set")}
    assert extension["mode"] == "enforce"
    assert extension["ledger"] == {"origin": "gate.example/ledger"}


def test_bytes_are_canonical_and_repeatable() -> None:
    payload = attestation.build(QUARANTINE)
    assert payload == attestation.build(QUARANTINE)
    text = json.dumps(json.loads(payload), sort_keys=True, separators=(",", ":"))
    assert payload == text.encode()


@pytest.mark.parametrize("weights", [None, WEIGHTS, replace(WEIGHTS, rule="", rows=0)])
def test_weights_are_read_as_they_were_said(weights: SampleWeight | None) -> None:
    payload = attestation.build(replace(QUARANTINE, weights=weights))
    assert summary.read(payload).weights == weights
    assert (b"sampleWeight" in payload) == (weights is not None)


@pytest.mark.parametrize(
    ("field", "value"),
    [("column", "weight"), ("share", "a lot"), ("share", 0.05), ("zero", -1), ("zero", "2")],
)
def test_weights_of_another_form_are_refused(field: str, value: Any) -> None:
    said = json.loads(attestation.build(replace(QUARANTINE, weights=WEIGHTS)))
    said["predicate"][EXTENSION]["sampleWeight"][field] = value
    with pytest.raises(Refused) as refused:
        summary.read(canonical(said))
    assert refused.value.code == "FIELD_TYPE"


def test_missing_things_are_said_by_their_level() -> None:
    poor = replace(QUARANTINE, baseline_sha256=None, provenance_verified=False, screened=False)
    assert predicate(poor)["verifiedLevels"] == ["AUDITOR_NO_BASELINE"]
    assert predicate(replace(poor, manifest_sha256=None))["inputAttestations"] == []


NOTHING_OUT: dict[str, Any] = {"outputs": (), "rows_out": 0, "set_sha256": None}


@pytest.mark.parametrize("verdict", [Verdict.REJECT, Verdict.HOLD])
@pytest.mark.parametrize("quarantined", [0, 4])
def test_refused_batches_are_attested_too(verdict: Verdict, quarantined: int) -> None:
    failed = replace(QUARANTINE, verdict=verdict, rows_quarantined=quarantined, **NOTHING_OUT)
    said = predicate(failed)
    assert said["verificationResult"] == "FAILED"
    assert said["verifiedLevels"] == ["FAILED"]
    assert said[EXTENSION]["outputs"] == {"files": []}
    subject = statement.read(attestation.build(failed), attestation.PREDICATE_TYPE).subject()
    assert subject[1] == sha256(b"batch")


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.AUDIT])
@pytest.mark.parametrize("verdict", list(Verdict))
def test_131_only_a_gate_ever_says_passed(mode: Mode, verdict: Verdict) -> None:
    said = predicate(replace(QUARANTINE, mode=mode, verdict=verdict, **NOTHING_OUT))
    assert said["verificationResult"] == "FAILED"
    assert said["verifiedLevels"] == ["FAILED"]
    assert said[EXTENSION]["mode"] == mode.value


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rows_in": 5}, "rows in"),
        ({"rows_out": 4, "rows_in": 5}, "rows of the output"),
        ({"outputs": ()}, "rows of the output"),
        ({"outputs": (), "rows_out": 0, "rows_quarantined": 4}, "at least one file"),
        ({"verdict": Verdict.ACCEPT}, "ACCEPT sets none aside"),
        ({"rows_in": 3, "rows_quarantined": 0}, "QUARANTINE sets rows aside"),
        ({"set_sha256": None}, "digest of their set"),
        ({"weights": replace(WEIGHTS, rows=4)}, "more rows have weight 0"),
        ({"verdict": Verdict.REJECT}, "publishes nothing"),
        ({"mode": Mode.OBSERVE}, "publishes nothing"),
        ({"verdict": Verdict.HOLD, **NOTHING_OUT, "rows_quarantined": 5}, "more rows set aside"),
        ({"rules": ()}, "without rules"),
        ({"valid_until": NOW}, "valid_until"),
        ({"report_sha256": "A" * 64}, "not a lowercase hex"),
        ({"manifest_sha256": "zz"}, "not a lowercase hex"),
    ],
    ids=str,
)
def test_130_133_contradictions_are_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        replace(QUARANTINE, **changes)
