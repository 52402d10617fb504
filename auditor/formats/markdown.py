"""The report for a pull-request comment or an artifact: short, verdict first, at most 60 kB.

GitHub-flavoured Markdown without raw HTML. Values of cells are not shown; names of the batch are
code spans, which no renderer turns into links or mentions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from auditor.formats import wording
from auditor.formats.escape import markdown as plain
from auditor.formats.escape import markdown_code as code
from auditor.model import Verdict
from auditor.report_records import FindingRecord, Report, RuleRecord

#: Bytes that the text never exceeds; a comment on GitHub ends at 65,536 characters.
LARGEST: Final = 60_000
_ICONS: Final = {
    Verdict.ACCEPT: "\u2705",
    Verdict.QUARANTINE: "\u26a0\ufe0f",
    Verdict.REJECT: "\u26d4",
    Verdict.HOLD: "\u23f8\ufe0f",
}
_SHOWN: Final = (40, 15, 5, 0)  # findings and rules, tried in turn until the text is small enough


def render(report: Report, *, report_path: str = "") -> str:
    """Return the text; `report_path` says where the whole report lies.

    Raises:
        ValueError: the text cannot be made small enough, a mistake in the limits above.
    """
    for count in _SHOWN:
        text = _document(report, report_path, count)
        if len(text.encode("utf-8", "replace")) <= LARGEST:
            return text
    raise ValueError(f"the report does not fit {LARGEST} bytes")


def _document(report: Report, report_path: str, count: int) -> str:
    parts = (
        _verdict(report),
        _next(report),
        _rules(report, count),
        _missed(report, count),
        _measured(report, count),
        _findings(report, count),
        _foot(report, report_path),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def prose(text: str, limit: int = 600) -> str:
    """Return a sentence of ours as Markdown; what stands in backticks stays code."""
    parts = wording.segments(text[:limit])
    return "".join(
        code(part) if is_code else _inner(part, start=at == 0)
        for at, (part, is_code) in enumerate(parts)
    )


def _inner(text: str, *, start: bool) -> str:
    """Escape a part of a sentence, keeping the spaces that join it to its neighbours."""
    left = " " if text[:1].isspace() else ""
    right = " " if text[-1:].isspace() and text.strip() else ""
    return left + plain(text, None, start=start) + right


def _table(head: Iterable[str], rows: Iterable[Iterable[str]], numbers: Iterable[int] = ()) -> str:
    names, right = list(head), set(numbers)
    rule = ["---:" if at in right else "---" for at in range(len(names))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [names, rule, *rows])


def _more(count: int, noun: str) -> str:
    return f"\n\nand {wording.plural(count, 'more ' + noun)}" if count > 0 else ""


def _verdict(report: Report) -> str:
    word = wording.verdict(report)
    head = f"## {_ICONS[word]} {word}: {code(report.batch_name, 120)}"
    reasons = "\n".join(f"{at}. {prose(text)}" for at, text in enumerate(report.reasons[:3], 1))
    more = _more(len(report.reasons) - 3, "reason")
    return f"{head}\n\n{wording.rows_line(report)}\n\n{reasons}{more}".rstrip()


def _next(report: Report) -> str:
    steps = [f"- {prose(step)}" for step in report.next_steps[:8]]
    return "### What to do next\n\n" + "\n".join(steps) if steps else ""


def _rules(report: Report, count: int) -> str:
    ran = [rule for rule in report.rules if rule.status == "ran"]
    others = [rule for rule in report.rules if rule.status != "ran"]
    others.sort(key=lambda rule: rule.status)  # failed before skipped
    line = f"{wording.plural(len(ran), 'rule')} ran"
    if not others:
        return f"### What ran\n\n{line}; none was skipped, none failed."
    rows = [_rule(rule) for rule in others[:count]]
    body = _table(("Rule", "Looks for", "Status", "Reason"), rows)
    return f"### What ran\n\n{line}; these did not:\n\n{body}" + _more(len(others) - count, "rule")


def _rule(rule: RuleRecord) -> tuple[str, ...]:
    needed = " (required)" if rule.required else ""
    return code(rule.id, 40), plain(rule.title), rule.status + needed, plain(rule.reason)


def _missed(report: Report, count: int) -> str:
    lines = [f"- Power: {prose(report.power)}", f"- False alarms: {prose(report.false_alarms)}"]
    lines += _attacks("Attacks not looked for", report.not_covered, count)
    lines += _attacks(wording.UNJUDGED, report.not_judged, count)
    said = map(wording.suppression, report.suppressions[: max(count, 5)])
    lines += [f"- Suppressed: {plain(words, 600)}" for words in said]
    return "### What this audit could have missed\n\n" + "\n".join(lines)


def _measured(report: Report, count: int) -> str:
    own = report.self_measurement
    text = f"### Self-measurement\n\n{prose(wording.measured(own))}"
    if not own.canaries:
        return text
    rows = [
        (plain(one.canary, 60), *(plain(said, 120) for said in wording.recall(one)))
        for one in own.canaries[: max(count, 5)]
    ]
    body = _table(("Planted in a copy", "Seen", "95 % interval"), rows)
    return f"{text}\n\n{body}\n\nControl: {prose(wording.control(own.control))}"


def _attacks(title: str, attacks: Sequence[str], count: int) -> list[str]:
    most = max(count, 5)
    names = ", ".join(plain(name, 40) for name in attacks[:most])
    tail = f" and {len(attacks) - most} more" if len(attacks) > most else ""
    return [f"- {title}: {names}{tail}"] if names else []


def _findings(report: Report, count: int) -> str:
    if not report.findings:
        return "### Findings\n\nNo rule found anything."
    rows = [_finding(found) for found in wording.ordered(report.findings)[:count]]
    head = ("Rule", "Finding", "Effect", "Severity", "Rows", "Certainty")
    body = _table(head, rows, numbers=(4,))
    return f"### Findings\n\n{body}" + _more(len(report.findings) - len(rows), "finding")


def _finding(found: FindingRecord) -> tuple[str, ...]:
    rows = "batch" if found.rows is None else str(found.rows)
    return (
        code(found.rule, 40),
        plain(found.message, 300),
        plain(found.effect),
        plain(found.severity),
        rows,
        plain(wording.probability(found.p_value)),
    )


def _foot(report: Report, report_path: str) -> str:
    where = f" \u00b7 report {code(report_path, 300)}" if report_path else ""
    digest = code(report.batch_digest, 64)
    return f"Run {code(report.run, 40)} \u00b7 batch {digest}{where}"
