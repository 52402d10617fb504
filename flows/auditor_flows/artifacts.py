"""What a flow run shows in Prefect: the report as Markdown, the rules as a table, both with a link.

The full report stays on the machine that made it; Prefect gets no values of rows.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from auditor.formats import render
from auditor.formats.escape import markdown as escaped
from auditor.report_records import Report

#: Characters of a Markdown artifact; the report on disk is whole.
_LONGEST: Final = 100_000


def key_of(name: str, kind: str) -> str:
    """An artifact's key, the same for each audit of a batch name: Prefect keeps its versions."""
    return f"{kind}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def create(name: str, report: Report, report_path: Path) -> None:
    """Create both artifacts of one audit."""
    link = report_path.resolve().as_uri()
    said = f"{escaped(name)}: {report.verdict}, run {report.run}, report {link}"
    create_markdown_artifact(
        markdown=text(report, link), key=key_of(name, "report"), description=said
    )
    create_table_artifact(table=table(report), key=key_of(name, "rules"), description=said)


def text(report: Report, link: str) -> str:
    """The report's Markdown without values of rows, a link to the full one before it."""
    whole = f"[Full report]({link})\n\n{render(report, 'md', no_samples=True)}"
    if len(whole) <= _LONGEST:
        return whole
    return f"{whole[:_LONGEST]}\n\n(cut here; the full report has the rest)\n"


def table(report: Report) -> list[dict[str, Any]]:
    """One line a rule: what became of it and how much it found."""
    return [
        {
            "rule": rule.id,
            "title": rule.title,
            "status": rule.status,
            "findings": rule.findings,
            "effect": rule.effect,
            "required": rule.required,
            "seconds": round(rule.seconds, 3),
            "reason": escaped(rule.reason),
        }
        for rule in report.rules
    ]
