"""Findings by family, each with the evidence a person needs to judge it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from auditor.formats import wording
from auditor.formats.html_overview import effect
from auditor.formats.limits import Limits
from auditor.formats.markup import Child, Markup, breakable, clipped, facts, join, table, tag
from auditor.model import Effect, Scalar
from auditor.report_records import FindingRecord, Report, Sample

_OPEN = 8  # findings whose rows are shown unfolded
_LONG = 32  # characters of a cell that are kept in one line


def section(report: Report, limits: Limits) -> Markup:
    """Return all findings grouped by family, the worst first; the rest is counted."""
    if not report.findings:
        return tag("p", "No rule found anything.")
    shown = wording.ordered(report.findings)[: limits.findings]
    count = len(report.findings) - len(shown)
    parts: list[Markup] = []
    for title, group in wording.by_family(shown):
        parts.append(tag("h3", clipped(title, 200)))
        parts += [_finding(found, report, limits, rank) for rank, found in group]
    return join(parts, _left_out(count, "finding"))


def _left_out(count: int, noun: str) -> Markup:
    if count <= 0:
        return Markup("")
    return _elsewhere(wording.plural(count, "more " + noun))


def _elsewhere(what: str) -> Markup:
    return tag("p", f"{what} in ", tag("code", "findings.parquet"), class_="more")


def _finding(found: FindingRecord, report: Report, limits: Limits, rank: int) -> Markup:
    """Return a finding; those of the first ranks with their rows."""
    title = tag("h4", clipped(found.title, 200), " ", tag("code", found.rule))
    message = tag("p", clipped(found.message, 1000), class_="message")
    reason = tag("p", clipped(found.reason, 600), class_="reason") if found.reason else None
    return tag(
        "article",
        tag("div", title, _chips(found), class_="top"),
        message,
        reason,
        facts(_evidence(found, report, limits)),
        _samples(found, report, limits, rank),
        class_="finding" if found.effect != Effect.NOTE else "finding noted",
    )


def _chips(found: FindingRecord) -> Markup:
    rows = "whole batch" if found.rows is None else wording.plural(found.rows, "row")
    words = [effect(found.effect), f"{found.severity} severity", rows]
    words.append(wording.probability(found.p_value))
    first = tag("li", words[0], class_="effect")
    return tag("ul", first, [tag("li", word) for word in words[1:]], class_="chips")


def _evidence(found: FindingRecord, report: Report, limits: Limits) -> list[tuple[str, Child]]:
    # What does not apply, such as the label of a claim about any label, is no fact to read.
    items = [(name, value) for name, value in found.evidence.items() if value not in (None, "")]
    items = items[: limits.items // 5]
    pairs: list[tuple[str, Child]] = [
        (wording.key(name)[:60], clipped(wording.scalar(value), 400)) for name, value in items
    ]
    record = _record(found, report)
    return [*pairs, ("contributor's record", record)] if record else pairs


def _record(found: FindingRecord, report: Report) -> str | None:
    """Return how the contributor that a finding names did in this batch as a whole."""
    name = found.evidence.get("contributor")
    for entry in report.charts.contributors:
        if name is not None and entry.contributor == str(name):
            return (
                f"{entry.quarantined} of {wording.plural(entry.rows, 'row')} set aside in this "
                f"batch, mean suspicion {wording.number(entry.mean_suspicion)}"
            )
    return None


def _samples(found: FindingRecord, report: Report, limits: Limits, rank: int) -> Markup | None:
    shown = found.samples[: limits.samples] if rank < limits.detailed else ()
    total = max(found.rows or 0, len(found.samples))
    if not shown:
        return _elsewhere(wording.plural(total, "row")) if total else None
    columns = _columns(shown, report, limits)
    head: list[Child] = ["Row", "Your id", "Suspicion"]
    head += [breakable(name, 60) for name in columns] + ["File"]
    rows = [_rows(sample, columns, limits) for sample in shown]
    title = f"Rows to judge ({len(shown)} of {total:,})"
    return tag(
        "details",
        tag("summary", title),
        _legend(shown, limits),
        table(head, rows, caption=title, class_="samples", numbers=_numeric(shown, columns)),
        _hidden_columns(shown, columns, report),
        _left_out(total - len(shown), "row"),
        open=rank < _OPEN,
    )


def _legend(samples: Iterable[Sample], limits: Limits) -> Markup | None:
    if not limits.neighbours or not any(sample.neighbours for sample in samples):
        return None
    text = "Each row stands above its nearest trusted neighbours. "
    mark = join(tag("mark", "Marked values"), " are unlike all of theirs, or far outside them.")
    return tag("p", text, mark, class_="note")


def _columns(samples: Iterable[Sample], report: Report, limits: Limits) -> list[str]:
    """Return the columns of all samples: label and sender first, not the id again."""
    role = _roles(report)
    seen: dict[str, None] = {}
    for sample in samples:
        seen.update(dict.fromkeys(name for name in sample.values if role.get(name) != "id"))
    first = ("label", "contributor", "source")
    order = {name: first.index(role[name]) for name in seen if role.get(name) in first}
    return sorted(seen, key=lambda name: order.get(name, len(first)))[: limits.columns]


def _roles(report: Report) -> dict[str, str]:
    return {name: record.role for record in report.roles for name in record.columns}


def _numeric(samples: Iterable[Sample], columns: Sequence[str]) -> list[int]:
    """Return the positions of the heads above numbers: row, suspicion, and numeric columns."""
    values = [sample.values for sample in samples]
    found = [
        3 + at
        for at, name in enumerate(columns)
        if any(_is_number(row.get(name)) for row in values)
    ]
    return [0, 2, *found]


def _is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _hidden_columns(samples: Sequence[Sample], columns: list[str], report: Report) -> Markup | None:
    ids = {name for name, role in _roles(report).items() if role == "id"}
    count = len({name for sample in samples for name in sample.values} - {*columns, *ids})
    text = f"{wording.plural(count, 'more column')} in the quarantined rows"
    return tag("p", text, class_="more") if count > 0 else None


def _rows(sample: Sample, columns: list[str], limits: Limits) -> Markup:
    near = sample.neighbours[: limits.neighbours]
    cells = [_cell(sample.values, name, limits, near) for name in columns]
    place = f"{sample.file}:{sample.file_row}"
    own = tag(
        "tr",
        tag("th", str(sample.row), scope="row", class_="n"),
        _text(sample.id, limits),
        tag("td", f"{sample.suspicion:.3f}", class_="n"),
        *cells,
        tag("td", breakable(place, limits.cell), class_="long" if len(place) > _LONG else None),
    )
    return join(own, [_neighbour(values, columns, limits) for values in near])


def _neighbour(values: Mapping[str, Scalar], columns: list[str], limits: Limits) -> Markup:
    cells = [_cell(values, name, limits, ()) for name in columns]
    name = tag("th", "\u21b3 trusted neighbour", colspan=3, scope="row")
    return tag("tr", name, *cells, tag("td"), class_="near")


def _cell(
    values: Mapping[str, Scalar],
    name: str,
    limits: Limits,
    near: Sequence[Mapping[str, Scalar]],
) -> Markup:
    if name not in values:
        return tag("td", "")
    value = values[name]
    text = clipped(wording.scalar(value), limits.cell)
    inner = tag("mark", text) if near and _unlike(value, name, near) else text
    if value is None:
        return tag("td", inner, class_="null")
    if _is_number(value):
        return tag("td", inner, class_="n")
    return tag("td", inner, class_="long" if len(str(value)) > _LONG else None)


def _text(text: str, limits: Limits) -> Markup:
    return tag("td", clipped(text, limits.cell), class_="long" if len(text) > _LONG else None)


def _unlike(value: Scalar, name: str, near: Sequence[Mapping[str, Scalar]]) -> bool:
    """Say whether a value is unlike those of all neighbours: another word, or far out of range.

    A few neighbours span little, so a number must lie a whole span, or a tenth of their size,
    outside; otherwise nearly every number would be marked.
    """
    theirs = [other[name] for other in near if name in other]
    numbers = [item for item in theirs if isinstance(item, int | float)]
    if isinstance(value, int | float) and not isinstance(value, bool) and numbers:
        low, high = min(numbers), max(numbers)
        slack = max(high - low, 0.1 * max(abs(low), abs(high)))
        return not low - slack <= value <= high + slack
    return bool(theirs) and value not in theirs
