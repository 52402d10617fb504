"""Workflow commands of GitHub Actions: one annotation a finding that has an effect."""

from __future__ import annotations

from auditor.formats.escape import visible
from auditor.formats.text import last_line
from auditor.report_records import Report


def render(report: Report) -> str:
    """Return `::error`/`::warning` lines and the line for grep; bounded to 50 annotations."""
    acted = [finding for finding in report.findings if finding.effect != "note"][:50]
    lines = [
        f"::{'error' if finding.effect == 'reject' else 'warning'} "
        f"title={_property(finding.rule + ' ' + finding.title)}::{_message(finding.message)}"
        for finding in acted
    ]
    return "\n".join([*lines, last_line(report)]) + "\n"


def _message(text: str) -> str:
    return visible(text, 500).replace("%", "%25")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
