"""JUnit, Markdown and the terminal: what they say, and how much."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from auditor.formats import junit, markdown, text
from auditor.model import Verdict
from auditor.report_records import Report


def cases(report: Report) -> dict[str, tuple[str | None, str]]:
    """Return rule id -> (kind of problem, its message)."""
    found = {}
    for case in ElementTree.fromstring(junit.render(report).encode()).iter("testcase"):
        problem = next(iter(case), None)
        kind = None if problem is None else problem.tag
        found[case.attrib["name"].split()[0]] = (
            kind,
            "" if problem is None else problem.attrib["message"],
        )
    return found


def test_junit_has_one_case_a_rule(report: Report) -> None:
    kinds = {name: kind for name, (kind, _) in cases(report).items()}
    assert set(kinds) == {rule.id for rule in report.rules}
    assert {name for name, kind in kinds.items() if kind == "failure"} == {
        "AUD-L001", "AUD-D001", "AUD-D003", "AUD-Q001"
    }  # fmt: skip
    assert kinds["AUD-F001"] is None  # only noted
    assert cases(report)["AUD-D002"] == (
        "skipped", "needs a baseline with row hashes; this one has none"
    )  # fmt: skip


def test_junit_counts_what_it_holds(report: Report) -> None:
    suite = ElementTree.fromstring(junit.render(report).encode()).find("testsuite")
    assert suite is not None
    assert [suite.attrib[name] for name in ("tests", "failures", "errors", "skipped")] == [
        "9", "4", "0", "2"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"status": "failed", "reason": "broke"}, "error"),
        ({"status": "skipped", "reason": "no baseline", "required": True}, "error"),
        ({"status": "skipped", "reason": "no baseline", "required": False}, "skipped"),
        ({"status": "ran"}, None),
    ],
)
def test_junit_kind_of_a_rule_without_findings(
    report: Report, changes: dict[str, object], kind: str | None
) -> None:
    rule = replace(report.rules[0], **changes)  # type: ignore[arg-type]
    one = replace(report, rules=(rule,), findings=(), verdict="ACCEPT")
    assert cases(one)["AUD-I001"][0] == kind


@pytest.mark.parametrize(("effect", "kind"), [("hold", "error"), ("reject", "failure")])
def test_junit_kind_of_an_effect(report: Report, effect: str, kind: str) -> None:
    found = replace(report.findings[0], effect=effect)
    assert cases(replace(report, findings=(found,)))["AUD-L001"][0] == kind


def test_junit_shows_a_finding_of_a_rule_that_is_not_listed(report: Report) -> None:
    found = replace(report.findings[0], rule="AUD-I002")
    assert cases(replace(report, findings=(found,)))["AUD-I002"][0] == "failure"


@pytest.mark.parametrize("verdict", ["REJECT", "HOLD", "QUARANTINE"])
def test_junit_is_never_green_where_the_verdict_is_not_accept(report: Report, verdict: str) -> None:
    bare = replace(report, rules=(), findings=(), verdict=verdict)
    assert cases(bare)[verdict][0] in ("failure", "error")
    assert cases(replace(bare, verdict="ACCEPT")) == {}


def test_last_line_is_for_grep(report: Report) -> None:
    assert text.last_line(report) == (
        "auditor: QUARANTINE 214/10000 rows (2.14 %) "
        "rules=AUD-D001,AUD-D003,AUD-L001,AUD-Q001 run=01JD8Z3M6Q0V7W5T2R9K4X1B8C"
    )
    assert text.render(report).endswith("\n" + text.last_line(report) + "\n")


def test_last_line_of_an_empty_batch(report: Report) -> None:
    empty = replace(
        report, verdict="HOLD", findings=(), rows_in=0, rows_quarantined=0, rows_published=0
    )
    assert "HOLD 0/0 rows (0.00 %) rules=- run=" in text.last_line(empty)


def test_text_says_verdict_reasons_rules_findings_report_and_next_steps(report: Report) -> None:
    shown = text.render(report, report_path="runs/x/report.html")
    words = ("QUARANTINE", "Why", "What ran", "could have missed", "Findings", "What to do next")
    places = [shown.index(word) for word in (*words, "runs/x/report.html", "auditor: ")]
    assert places == sorted(places)
    assert "\x1b" not in shown
    assert "\x1b[1m" in text.render(report, colour=True)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_tables_fit_the_terminal(report: Report, width: int) -> None:
    shown = text.render(report, width=width)
    table = shown[shown.index("What ran") : shown.index("What this audit")].splitlines()
    assert max(map(len, table)) <= max(width, 85)


@pytest.mark.parametrize("verdict", list(Verdict))
def test_markdown_says_the_verdict_first(report: Report, verdict: Verdict) -> None:
    first = markdown.render(replace(report, verdict=verdict)).splitlines()[0]
    assert first.startswith("## ")
    assert f"{verdict}: `penguins-2025-11`" in first


def test_markdown_without_findings(report: Report) -> None:
    shown = markdown.render(replace(report, findings=(), verdict="ACCEPT"))
    assert "No rule found anything." in shown


@pytest.mark.parametrize("cell", ["x" * 300, "|`\u202e<" * 80, "\U0001f427" * 300])
def test_markdown_text_and_junit_stay_small(enormous: Callable[[str], Report], cell: str) -> None:
    report = enormous(cell)
    sizes = [len(form.render(report).encode()) for form in (markdown, text, junit)]
    assert sizes[0] <= markdown.LARGEST
    assert sizes[1] <= 100_000
    assert sizes[2] <= 5_000_000


@pytest.mark.parametrize("render", [text.render, markdown.render])
def test_what_could_not_be_judged_is_told_apart(
    report: Report, render: Callable[[Report], str]
) -> None:
    said = "Looked for, but not judged without a baseline: label-flip, injection"
    assert said not in render(report)
    assert said in render(replace(report, not_judged=("label-flip", "injection")))
