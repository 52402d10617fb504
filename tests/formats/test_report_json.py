"""`report.json`: strict round trip, and the shipped schema is the one that the model gives."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from auditor.errors import ConfigError
from auditor.formats import report_json
from auditor.model import Verdict
from auditor.report_records import DriftRecord, Report

SCHEMA = Path(str(files("auditor"))) / "schemas" / "report.schema.json"


def image(report: Report) -> Any:
    return json.loads(report_json.dumps(report))


def test_the_shipped_schema_is_that_of_the_model() -> None:
    text = json.dumps(report_json.json_schema(), indent=2) + "\n"
    if os.environ.get("AUDITOR_RENEW_GOLDEN"):
        SCHEMA.write_text(text, encoding="utf-8")
    assert SCHEMA.read_text(encoding="utf-8") == text
    Draft202012Validator.check_schema(json.loads(text))


def test_a_report_comes_back_as_it_was(report: Report) -> None:
    text = report_json.dumps(report)
    assert report_json.loads(text.encode()) == report
    assert report_json.dumps(report_json.loads(text.encode())) == text


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_report_validates(report: Report, verdict: Verdict) -> None:
    bare = replace(report, verdict=verdict, baseline=None, set_digest=None, findings=())
    validator = Draft202012Validator(report_json.json_schema())
    for one in (report, bare):
        assert not list(validator.iter_errors(image(one)))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_know_are_words(report: Report, value: float) -> None:
    charts = replace(report.charts, drift=(DriftRecord(column="sex", psi=value),))
    text = report_json.dumps(replace(report, charts=charts, provenance={"share": value}))
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert not list(Draft202012Validator(report_json.json_schema()).iter_errors(json.loads(text)))
    back = report_json.loads(text.encode()).charts.drift[0].psi
    assert back == value or (math.isnan(back) and math.isnan(value))


def edited(report: Report, edit: Callable[[Any], object]) -> bytes:
    parsed = image(report)
    edit(parsed)
    return json.dumps(parsed).encode()


EDITS: dict[str, tuple[Callable[[Any], object], str]] = {
    "version": (lambda it: it.update(schema_version=2), "schema_version 2"),
    "version bool": (lambda it: it.update(schema_version=True), "schema_version True"),
    "version missing": (lambda it: it.pop("schema_version"), "schema_version None"),
    "unknown": (lambda it: it.update(extra=1), "unknown 'extra'"),
    "missing": (lambda it: it.pop("verdict"), "missing 'verdict'"),
    "nested unknown": (lambda it: it["charts"].update(x=1), r"report.charts: unknown 'x'"),
    "type": (lambda it: it.update(rows_in="10"), r"report.rows_in: str where int"),
    "bool is no number": (lambda it: it.update(rows_in=True), "bool where int"),
    "bool is no float": (lambda it: it.update(seconds=False), "bool where float"),
    "list": (lambda it: it.update(files={}), r"report.files: dict where list"),
    "pair": (lambda it: it["columns"][0].append("x"), r"columns\[0\]: 3 items"),
    "verdict": (lambda it: it.update(verdict="FINE"), "'FINE' is none of"),
    "effect": (lambda it: it["rules"][0].update(effect="ignore"), "none of"),
    "scalar": (lambda it: it["provenance"].update(x=[]), r"report.provenance.x: list"),
}


@pytest.mark.parametrize("name", EDITS)
def test_what_is_not_such_a_report_is_refused_with_its_place(report: Report, name: str) -> None:
    edit, message = EDITS[name]
    with pytest.raises(ConfigError, match=message):
        report_json.loads(edited(report, edit))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"schema_version": NaN}',
        b'{"schema_version": 1, "schema_version": 1}',
        b'{"schema_version": 1} trailing',
        b'{"schema_version": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda raw: repr(raw[:20]),
)
def test_other_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(ConfigError):
        report_json.loads(raw)


def test_a_file_that_is_too_large_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_json, "LARGEST", 10)
    with pytest.raises(ConfigError, match="at most 10"):
        report_json.loads(b'{"schema_version": 1}')


def test_optional_fields_may_be_absent(report: Report) -> None:
    raw = edited(report, lambda it: [rule.pop("attacks") for rule in it["rules"]])
    assert all(rule.attacks == () for rule in report_json.loads(raw).rules)


@pytest.mark.parametrize("value", [b"x", {1: 2}, {"x": {3}}])
def test_settings_that_are_not_plain_are_a_mistake_of_ours(report: Report, value: object) -> None:
    with pytest.raises(TypeError, match=r"plain values|type str"):
        report_json.dumps(replace(report, settings={"x": value}))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())


@given(values=st.dictionaries(st.text(st.characters()), SCALARS, max_size=5))
def test_any_values_survive(report: Report, values: dict[str, Any]) -> None:
    text = report_json.dumps(replace(report, provenance=values, charts=type(report.charts)()))
    assert text.isascii()
    assert report_json.dumps(report_json.loads(text.encode())) == text


def test_every_field_of_the_model_is_in_the_image(report: Report) -> None:
    assert list(image(report)) == [field.name for field in fields(Report)]
