"""Evidence that is None (no label named, no contributors stand out) in every format."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from auditor.formats import FORMATS, html, render, report_json, sarif
from auditor.report_records import FindingRecord, Report

KEYS = ("label", "contributors")


def with_evidence(report: Report, **changes: Any) -> Report:
    """The report with one finding: a trigger for any label that no few contributors sent."""
    finding = replace(
        report.findings[0],
        message="island = Dream and sex = female: 20 rows, expected 0.1",
        evidence={"items": "island = Dream", "observed": 20, "expected": 0.1} | changes,
        samples=(),
    )
    return replace(report, findings=(finding,))


@pytest.fixture
def none(report: Report) -> Report:
    return with_evidence(report, **dict.fromkeys(KEYS))


@pytest.fixture
def absent(report: Report) -> Report:
    return with_evidence(report)


@pytest.mark.parametrize("form", FORMATS)
def test_it_is_never_shown_as_a_value_and_hides_nothing_else(none: Report, form: str) -> None:
    text = render(none, form)
    assert not re.search(r"\bNone\b", text)
    assert "20 rows, expected 0.1" in " ".join(text.split())
    assert "island" in text


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "json"])
def test_every_view_is_the_same_as_without_it(none: Report, absent: Report, form: str) -> None:
    assert render(none, form) == render(absent, form)


def test_json_says_null_and_reads_it_back(none: Report) -> None:
    text = report_json.dumps(none)
    (found,) = json.loads(text)["findings"]
    assert {key: found["evidence"][key] for key in KEYS} == dict.fromkeys(KEYS)
    assert not list(Draft202012Validator(report_json.json_schema()).iter_errors(json.loads(text)))
    assert report_json.loads(text.encode()) == none


def test_a_value_is_shown_where_there_is_one(report: Report, absent: Report) -> None:
    """The tests above would pass with formats that show no evidence at all."""
    named = with_evidence(report, label="Chinstrap")
    page, bare = html.render(named), html.render(absent)
    assert page.count("Chinstrap") > bare.count("Chinstrap")
    assert render(named, "sarif") != render(absent, "sarif")


def test_none_names_no_group_in_sarif(none: Report, absent: Report) -> None:
    """What tells one finding from the next of the same group does not depend on it."""
    prints = [json.loads(sarif.render(one))["runs"][0]["results"] for one in (none, absent)]
    assert prints[0][0]["partialFingerprints"] == prints[1][0]["partialFingerprints"]


@pytest.mark.parametrize("form", FORMATS)
def test_a_finding_with_nothing_but_none(report: Report, form: str) -> None:
    """No p-value, no rows, no evidence with a value, no text in its sample."""
    sample = replace(report.findings[0].samples[0], values={"sex": None}, neighbours=())
    bare: FindingRecord = replace(
        report.findings[0], p_value=None, rows=None, evidence={"label": None}, samples=(sample,)
    )
    text = render(replace(report, findings=(bare,)), form)
    assert not re.search(r"\bNone\b", text)
    assert bare.message.split()[0] in text
