"""JUnit XML: one test case a rule, so that a CI server shows the audit among its tests.

failure: the rule set rows aside or rejected the batch. error: the rule failed, held the batch, or
was required and did not run. skipped: it did not run, with the reason.
"""

from __future__ import annotations

from typing import Final
from xml.etree import ElementTree

from auditor.formats import wording
from auditor.formats.escape import xml as safe
from auditor.model import Effect, Verdict
from auditor.report_records import FindingRecord, Report, RuleRecord

_SHOWN: Final = 20  # findings listed in one test case
_RULES: Final = 2000
Problem = tuple[str, str, list[str]]  # element, message, lines of detail


def render(report: Report) -> str:
    """Return the document with an XML declaration; deterministic."""
    root = ElementTree.Element("testsuites", name="auditor")
    suite = ElementTree.SubElement(root, "testsuite", name=safe(report.batch_name))
    suite.set("timestamp", safe(report.created_at.removesuffix("Z")))
    suite.set("time", f"{report.seconds:.3f}")
    _properties(suite, report)
    counts = {"tests": 0, "failure": 0, "error": 0, "skipped": 0}
    for case, problem in _cases(report):
        _append(suite, case, problem)
        counts["tests"] += 1
        if problem:
            counts[problem[0]] += 1
    for name, key in (
        ("tests", "tests"),
        ("failures", "failure"),
        ("errors", "error"),
        ("skipped", "skipped"),
    ):
        suite.set(name, str(counts[key]))
    ElementTree.indent(root)
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _properties(suite: ElementTree.Element, report: Report) -> None:
    values = {
        "verdict": report.verdict,
        "run": report.run,
        "rows_in": str(report.rows_in),
        "rows_published": str(report.rows_published),
        "rows_quarantined": str(report.rows_quarantined),
        "batch_digest": report.batch_digest,
        "auditor": report.auditor,
    }
    box = ElementTree.SubElement(suite, "properties")
    for name, value in values.items():
        ElementTree.SubElement(box, "property", name=name, value=safe(value))


def _append(suite: ElementTree.Element, case: dict[str, str], problem: Problem | None) -> None:
    element = ElementTree.SubElement(suite, "testcase", {k: safe(v) for k, v in case.items()})
    if problem:
        kind, message, lines = problem
        child = ElementTree.SubElement(element, kind, message=safe(message, 400))
        if lines:
            child.text = "\n".join(safe(line, 600) for line in lines)


def _cases(report: Report) -> list[tuple[dict[str, str], Problem | None]]:
    """Return a case for each rule, and for each rule that only a finding names."""
    found: dict[str, list[FindingRecord]] = {}
    for item in wording.ordered(report.findings):
        found.setdefault(item.rule, []).append(item)
    cases = [
        (_case(rule.family, rule.id, rule.title, rule.seconds), _problem(rule, found.get(rule.id)))
        for rule in report.rules[:_RULES]
    ]
    known = {rule.id for rule in report.rules}
    for name, items in found.items():
        if name not in known:
            cases.append((_case(items[0].family, name, items[0].title, 0.0), _claims(items)))
    return cases + _verdict_case(report, [problem for _, problem in cases])


def _case(family: str, rule: str, title: str, seconds: float) -> dict[str, str]:
    return {"classname": f"auditor.{family}", "name": f"{rule} {title}", "time": f"{seconds:.3f}"}


def _problem(rule: RuleRecord, items: list[FindingRecord] | None) -> Problem | None:
    if rule.status == "failed":
        return "error", f"the rule failed: {rule.reason}", []
    if rule.status == "skipped" and rule.required:
        return "error", f"the rule is required and was skipped: {rule.reason}", []
    if rule.status == "skipped" and not items:
        return "skipped", rule.reason, []
    return _claims(items or [])


def _claims(items: list[FindingRecord]) -> Problem | None:
    acted = [item for item in items if item.effect != Effect.NOTE]
    if not acted:
        return None
    held = all(item.effect == Effect.HOLD for item in acted)
    lines = [_line(item) for item in acted[:_SHOWN]]
    if len(acted) > _SHOWN:
        lines.append(f"and {wording.plural(len(acted) - _SHOWN, 'more finding')}")
    return "error" if held else "failure", acted[0].message, lines


def _line(found: FindingRecord) -> str:
    rows = "whole batch" if found.rows is None else wording.plural(found.rows, "row")
    certainty = wording.probability(found.p_value)
    return f"{found.effect} ({found.severity}, {rows}, {certainty}): {found.message}"


def _verdict_case(
    report: Report, problems: list[Problem | None]
) -> list[tuple[dict[str, str], Problem | None]]:
    """Return a case for a verdict that no rule explains, so that a CI server is never all green."""
    word = wording.verdict(report)
    red = any(problem and problem[0] != "skipped" for problem in problems)
    if red or word == Verdict.ACCEPT:
        return []
    message = report.reasons[0] if report.reasons else wording.meaning(report)
    case = {"classname": "auditor.verdict", "name": str(word), "time": "0.000"}
    return [(case, ("error" if word == Verdict.HOLD else "failure", message, list(report.reasons)))]
