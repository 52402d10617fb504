"""What the terminal prints: plain lines, or with ANSI colours when asked."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Final

from auditor.formats import wording
from auditor.formats.escape import ELLIPSIS, terminal
from auditor.model import Verdict
from auditor.report_records import FindingRecord, Report, RuleRecord

_COLOURS: Final = {
    Verdict.ACCEPT: "32",
    Verdict.QUARANTINE: "33",
    Verdict.REJECT: "31",
    Verdict.HOLD: "34",
}
_BOLD: Final = "1"
_FINDINGS: Final = 20
_RULES: Final = 60
_ROLES: Final = 20


def render(report: Report, *, colour: bool = False, width: int = 100, report_path: str = "") -> str:
    """Return the text, at most `width` columns except in sentences; the last line is `last_line`.

    `report_path` says where the whole report lies. No character of the batch reaches the terminal
    as a control sequence.
    """
    paint = _Paint(colour)
    blocks = [
        _verdict(report, paint),
        _listed("Why", "reason", report.reasons, 3, paint),
        _roles(report, paint, width),
        _rules(report, paint, width),
        _missed(report, paint),
        _measured(report, paint, width),
        _findings(report, paint, width),
        _listed("What to do next", "step", report.next_steps, 8, paint),
        f"{paint.bold('Report')}  {terminal(report_path, 1000)}" if report_path else "",
    ]
    return "\n\n".join(block for block in blocks if block) + "\n\n" + last_line(report) + "\n"


def last_line(report: Report) -> str:
    """Return the line for grep; `rules=-` where no finding had an effect."""
    share = wording.percent(report.rows_quarantined, report.rows_in)
    rules = ",".join(terminal(rule, 40) for rule in wording.acted(report)) or "-"
    return (
        f"auditor: {wording.verdict(report)} {report.rows_quarantined}/{report.rows_in} rows "
        f"({share}) rules={rules} run={terminal(report.run, 40)}"
    )


class _Paint:
    """Adds colours, or nothing."""

    def __init__(self, on: bool) -> None:
        self._on = on

    def __call__(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._on and text else text

    def bold(self, text: str) -> str:
        return self(text, _BOLD)


def _width(text: str) -> int:
    """Return the columns that a terminal gives the text: East Asian wide characters take two."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def _fit(text: str, width: int) -> str:
    """Return the text in exactly `width` columns."""
    if _width(text) > width:
        while text and _width(text) > width - 1:
            text = text[:-1]
        text += ELLIPSIS
    return text + " " * (width - _width(text))


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]], width: int, paint: _Paint
) -> list[str]:
    """Return lines of columns as wide as they need; the last one is wrapped into what is left."""
    every = [head, *rows]
    wide = [max(_width(line[at]) for line in every) for at in range(len(head) - 1)]
    left = 2 + sum(wide) + 2 * len(wide)
    lines: list[str] = []
    for line in every:
        cells = [_fit(cell, size) for cell, size in zip(line[:-1], wide, strict=True)]
        first, *rest = _wrap(line[-1], max(width - left, 30))
        lines.append("  " + "  ".join([*cells, first]).rstrip())
        lines.extend(" " * left + more for more in rest)
    return [paint(lines[0], "2"), *lines[1:]]


def _wrap(text: str, width: int) -> list[str]:
    """Return lines of whole words, at most `width` columns each; longer words are cut."""
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if _width(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(_fit(word, width).rstrip() if _width(word) > width else word)
    return lines if lines[0] or len(lines) == 1 else lines[1:]


def _more(count: int, noun: str) -> list[str]:
    return [f"  and {wording.plural(count, 'more ' + noun)}"] if count > 0 else []


def _verdict(report: Report, paint: _Paint) -> str:
    word = wording.verdict(report)
    head = paint(paint.bold(str(word)), _COLOURS[word])
    return f"{head}  {terminal(report.batch_name, 80)}\n{wording.rows_line(report)}"


def _listed(title: str, noun: str, items: Sequence[str], most: int, paint: _Paint) -> str:
    if not items:
        return ""
    lines = [f"  {at}. {terminal(item, 600)}" for at, item in enumerate(items[:most], 1)]
    return "\n".join([paint.bold(title), *lines, *_more(len(items) - most, noun)])


def _roles(report: Report, paint: _Paint, width: int) -> str:
    """What each column was taken for and why: a wrong guess makes every rule blind."""
    if not report.roles:
        return ""
    rows = [
        (
            terminal(role.role, 20),
            f"{terminal(', '.join(role.columns), 160)} ({terminal(role.reason, 120)})",
        )
        for role in report.roles[:_ROLES]
    ]
    more = _more(len(report.roles) - _ROLES, "role")
    head = ("role", "columns, and why")
    return "\n".join([paint.bold("What the columns are"), *_table(head, rows, width, paint), *more])


def _rules(report: Report, paint: _Paint, width: int) -> str:
    if not report.rules:
        return ""
    rows = [_rule(rule) for rule in report.rules[:_RULES]]
    head = ("rule", "status", "found", "effect", "seconds", "looks for")
    more = _more(len(report.rules) - _RULES, "rule")
    return "\n".join([paint.bold("What ran"), *_table(head, rows, width, paint), *more])


def _rule(rule: RuleRecord) -> tuple[str, ...]:
    status = rule.status + (" (required)" if rule.required and rule.status != "ran" else "")
    says = rule.title if rule.status == "ran" else f"{rule.title}: {rule.reason}"
    return (
        terminal(rule.id, 20),
        status,
        str(rule.findings),
        terminal(rule.effect, 12),
        f"{rule.seconds:.2f}",
        terminal(says),
    )


def _missed(report: Report, paint: _Paint) -> str:
    lines = [
        f"  Power: {terminal(report.power, 600)}",
        f"  False alarms: {terminal(report.false_alarms, 600)}",
    ]
    for title, attacks in (
        ("Not looked for", report.not_covered),
        (wording.UNJUDGED, report.not_judged),
    ):
        if attacks:
            names = ", ".join(terminal(name, 40) for name in attacks[:40])
            lines.append(f"  {title}: {names}")
    said = map(wording.suppression, report.suppressions[:40])
    lines += [f"  Suppressed: {terminal(words, 600)}" for words in said]
    return "\n".join([paint.bold("What this audit could have missed"), *lines])


def _measured(report: Report, paint: _Paint, width: int) -> str:
    """What the audit saw of the rows that it planted itself, and of trusted ones."""
    own = report.self_measurement
    lines = [paint.bold("Self-measurement"), f"  {terminal(wording.measured(own), 600)}"]
    if own.canaries:
        head = ("planted in a copy", "seen", "95 % interval")
        rows = [
            (terminal(one.canary, 40), *(terminal(text, 120) for text in wording.recall(one)))
            for one in own.canaries[:_RULES]
        ]
        lines += _table(head, rows, width, paint)
        lines.append(f"  Control: {terminal(wording.control(own.control), 600)}")
    return "\n".join(lines)


def _findings(report: Report, paint: _Paint, width: int) -> str:
    if not report.findings:
        return f"{paint.bold('Findings')}\n  none"
    rows = [_finding(found) for found in wording.ordered(report.findings)[:_FINDINGS]]
    head = ("rule", "effect", "severity", "rows", "certainty", "finding")
    more = _more(len(report.findings) - _FINDINGS, "finding")
    return "\n".join([paint.bold("Findings"), *_table(head, rows, width, paint), *more])


def _finding(found: FindingRecord) -> tuple[str, ...]:
    return (
        terminal(found.rule, 20),
        terminal(found.effect, 12),
        terminal(found.severity, 12),
        "batch" if found.rows is None else str(found.rows),
        wording.probability(found.p_value),
        terminal(found.message),
    )
