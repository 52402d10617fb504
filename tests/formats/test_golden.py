"""Each format of the realistic report, letter by letter.

Renew with `AUDITOR_RENEW_GOLDEN=1 pytest tests/formats` and read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from auditor.errors import ConfigError
from auditor.formats import FORMATS, render
from auditor.report_records import Report

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("form", FORMATS)
def test_format_is_as_it_was_reviewed(report: Report, form: str) -> None:
    path = GOLDEN / FORMATS[form][1]
    text = render(report, form)
    if os.environ.get("AUDITOR_RENEW_GOLDEN"):
        path.write_text(text, encoding="utf-8", newline="\n")
    assert text == path.read_text(encoding="utf-8")
    assert text == render(report, form)


@pytest.mark.parametrize("form", FORMATS)
def test_values_can_be_left_out(report: Report, form: str) -> None:
    text = render(report, form, no_samples=True)
    assert "Torgersen" not in text
    assert "N104A1" not in text
    assert "station-dream" in text


def test_values_are_there_otherwise(report: Report) -> None:
    assert all("Torgersen" in render(report, form) for form in ("html", "json"))


def test_an_unknown_format_names_the_known_ones(report: Report) -> None:
    with pytest.raises(ConfigError, match="text, json, html, md, sarif, junit"):
        render(report, "pdf")
