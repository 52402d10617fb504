"""The first page of the HTML report: verdict, what to do, what ran, what may have been missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from auditor.formats import wording
from auditor.formats.escape import ELLIPSIS
from auditor.formats.limits import Limits
from auditor.formats.markup import Child, Markup, clipped, facts, join, row, table, tag
from auditor.model import Effect, Verdict
from auditor.report_records import PowerRecord, Report, RuleRecord

# Shapes in a 24 x 24 field, drawn as strokes: a tick, an exclamation mark, a cross, a pause.
_ICONS: Final = {
    Verdict.ACCEPT: "M6 12.5l4 4 8-9",
    Verdict.QUARANTINE: "M12 6.5v6.5M12 17v.1",
    Verdict.REJECT: "M7.5 7.5l9 9m0-9l-9 9",
    Verdict.HOLD: "M9.5 7.5v9M14.5 7.5v9",
}
_STATUS: Final = {"failed": "\u2715", "skipped": "\u2013", "ran": "\u2713"}
_EFFECT: Final[Mapping[str, str]] = {
    Effect.NOTE: "only noted",
    Effect.QUARANTINE: "sets rows aside",
    Effect.REJECT: "rejects",
    Effect.HOLD: "holds",
}


def prose(text: str) -> Markup:
    """Return a sentence; what stands in backticks is set as code."""
    shown = text if len(text) <= 1000 else text[:999] + ELLIPSIS
    parts = wording.segments(shown)
    return join([tag("code", part) if code else part for part, code in parts])


def effect(name: str) -> str:
    """Return an effect as a verb."""
    return _EFFECT.get(name, name)


def verdict(report: Report) -> Markup:
    """Return the head of the page: the verdict, why in three lines, the figures."""
    word = wording.verdict(report)
    shape = tag("path", d=_ICONS[word])
    ring = tag("circle", cx=12, cy=12, r=10.5)
    icon = tag("svg", ring, shape, viewBox="0 0 24 24", class_="icon", aria_hidden="true")
    return tag(
        "header",
        tag("p", "Audit of ", tag("strong", clipped(report.batch_name, 200)), class_="kicker"),
        tag("h1", icon, tag("span", str(word))),
        tag("p", wording.meaning(report), class_="lede"),
        _reasons(report),
        _figures(report),
        class_="verdict",
    )


def _reasons(report: Report) -> Markup:
    shown = [tag("li", prose(reason)) for reason in report.reasons[:3]]
    more = len(report.reasons) - len(shown)
    note = tag("p", f"and {wording.plural(more, 'more reason')} under Findings", class_="more")
    return join(tag("ol", *shown, class_="reasons"), note if more > 0 else None)


def _figures(report: Report) -> Markup:
    counts = [sum(rule.status == status for rule in report.rules) for status in _STATUS]
    share = wording.percent(report.rows_quarantined, report.rows_in)
    pairs: list[tuple[str, Child]] = [
        ("rows in", f"{report.rows_in:,}"),
        ("published", f"{report.rows_published:,}"),
        ("set aside", join(f"{report.rows_quarantined:,}", tag("small", share))),
        ("rules ran", f"{counts[2]}"),
        ("skipped", f"{counts[1]}"),
        ("failed", f"{counts[0]}"),
    ]
    if report.sample_weight is not None:
        pairs.insert(3, ("weight 0", f"{report.sample_weight.rows:,}"))
    items = [tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs]
    return tag("dl", *items, class_="figures")


def next_steps(report: Report) -> Markup:
    """Return the numbered steps."""
    if not report.next_steps:
        return tag("p", "Nothing needs to be done.")
    return tag("ol", [tag("li", prose(step)) for step in report.next_steps[:10]], class_="steps")


def ran(report: Report, limits: Limits) -> Markup:
    """Return the table of rules: failed ones first, then skipped, then those that ran."""
    order = list(_STATUS)
    rules = sorted(report.rules, key=lambda rule: order.index(rule.status))
    shown = [_rule(rule, limits) for rule in rules[: limits.items]]
    head: list[Child] = ["Rule", "Looks for", "Status", "Findings", "Effect", "Seconds"]
    body = table(head, shown, caption="Rules of this run", class_="rules", numbers=(3, 5))
    return join(body, _more(len(rules) - len(shown), "rule"))


def _rule(rule: RuleRecord, limits: Limits) -> Markup:
    status = tag("span", f"{_STATUS[rule.status]} {rule.status}", class_=f"status {rule.status}")
    name = join(tag("code", rule.id), tag("small", "required") if rule.required else None)
    attacks = tag("small", ", ".join(rule.attacks)) if rule.attacks else None
    why = tag("span", clipped(rule.reason, 400), class_="why") if rule.reason else None
    return row(
        name,
        join(clipped(rule.title, limits.cell), why, attacks),
        status,
        str(rule.findings),
        effect(rule.effect),
        f"{rule.seconds:.2f}",
        numbers=(3, 5),
        class_=None if rule.status == "ran" else rule.status,
    )


def _more(count: int, noun: str) -> Markup | None:
    if not count:
        return None
    return tag("p", f"and {wording.plural(count, 'more ' + noun)}", class_="more")


def missed(report: Report, limits: Limits) -> Markup:
    """Return power, false alarms and the attacks that nothing covered."""
    power, alarms = prose(report.power), prose(report.false_alarms)
    sentences = facts([("Power", power), ("False alarms", alarms)])
    return join(
        sentences,
        _power(report, limits),
        _not_covered(report, limits),
        _not_judged(report, limits),
        _suppressed(report, limits),
        _covered(report),
    )


def _power(report: Report, limits: Limits) -> Markup | None:
    """One line for each attack that was planted when the baseline was built."""
    shown = report.power_by_attack[: limits.items]
    if not shown:
        return None
    rows = [
        row(
            clipped(one.attack, limits.cell),
            clipped(one.family, limits.cell),
            clipped(_from(one), limits.cell),
            f"{one.caught} of {one.trials}",
            f"{100 * one.low:.0f} to {100 * one.high:.0f} %",
            numbers=(3, 4),
        )
        for one in shown
    ]
    head: list[Child] = ["Attack", "Family", "Caught from", "Caught", "95 % interval"]
    caption = "Poison rows from which on an attack is caught"
    return table(head, rows, caption=caption, numbers=(3, 4))


def _from(one: PowerRecord) -> str:
    if one.reason:
        return f"not planted: {one.reason}"
    return "no number that was tried" if one.rows is None else wording.plural(one.rows, "row")


def measured(report: Report, limits: Limits) -> Markup:
    """Return what the audit saw of rows that it planted itself, and the control."""
    own = report.self_measurement
    said = tag("p", prose(wording.measured(own)))
    if not own.canaries:
        return said
    rows = [
        row(clipped(one.canary, limits.cell), *(clipped(t, 200) for t in wording.recall(one)))
        for one in own.canaries[: limits.items]
    ]
    head: list[Child] = ["Planted in a copy", "Seen", "95 % interval"]
    caption = "Canaries: rows planted in copies of the batch that are not written"
    shown = table(head, rows, caption=caption)
    return join(said, shown, tag("p", "Control: ", prose(wording.control(own.control))))


def _not_covered(report: Report, limits: Limits) -> Markup:
    if not report.not_covered:
        return tag("p", "Every attack in our list is looked for by some rule that ran.")
    title = f"Not looked for: {wording.plural(len(report.not_covered), 'attack')}"
    return join(tag("h3", title), _attacks(report.not_covered[: limits.items]))


def _not_judged(report: Report, limits: Limits) -> Markup | None:
    if not report.not_judged:
        return None
    title = f"{wording.UNJUDGED}: {wording.plural(len(report.not_judged), 'attack')}"
    return join(tag("h3", title), _attacks(report.not_judged[: limits.items]))


def _suppressed(report: Report, limits: Limits) -> Markup | None:
    """What people said is no attack; those that have ended too, for they excuse nothing now."""
    shown = report.suppressions[: limits.items]
    if not shown:
        return None
    lines = [tag("li", clipped(wording.suppression(one), 600)) for one in shown]
    title = f"Suppressions: {len(report.suppressions)}"
    return join(tag("h3", title), tag("ul", *lines))


def _covered(report: Report) -> Markup | None:
    names = wording.covered(report)
    if not names:
        return None
    title = f"Looked for: {wording.plural(len(names), 'attack')}"
    return tag("details", tag("summary", title), _attacks(names))


def _attacks(names: Sequence[str]) -> Markup:
    pairs = [tag("div", tag("dt", name), tag("dd", wording.attack(name))) for name in names]
    return tag("dl", *pairs, class_="attacks")
