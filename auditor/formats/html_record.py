"""The record at the end of the HTML report: provenance, files, columns, how to reproduce it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from auditor.formats import wording
from auditor.formats.limits import Limits
from auditor.formats.markup import Child, Markup, clipped, facts, join, row, table, tag
from auditor.model import Scalar
from auditor.report_records import FileRecord, Report


def _values(values: Mapping[str, Scalar], limits: Limits) -> Markup:
    shown = list(values.items())[: limits.items]
    return facts([(wording.key(name)[:60], _value(value)) for name, value in shown])


def _value(value: Scalar) -> Markup:
    text = clipped(wording.scalar(value), 400)
    return tag("code", text) if isinstance(value, str) and _is_code(value) else text


def _is_code(text: str) -> bool:
    """Digests, keys and versions are compared letter by letter; sentences are read."""
    return bool(text) and " " not in text and any(char.isdigit() for char in text)


def provenance(report: Report, limits: Limits) -> Markup:
    """Return where the batch comes from, and what it was compared with."""
    if not report.provenance:
        own = tag("p", "Nothing is known about where this batch comes from.")
    else:
        own = _values(report.provenance, limits)
    if report.baseline is None:
        other = tag("p", "No baseline: the batch was compared with itself only.")
    else:
        other = _values(report.baseline, limits)
    return join(own, tag("h3", "Baseline"), other)


def inputs(report: Report, limits: Limits) -> Markup:
    """Return the files as they were received, the columns and the roles they play."""
    return join(_files(report, limits), _roles(report, limits), _columns(report, limits))


def _files(report: Report, limits: Limits) -> Markup:
    shown = report.files[: limits.items]
    head: list[Child] = ["File", "Format", "Rows", "Size", "SHA-256", "Notes"]
    rows = [_file(record, limits) for record in shown]
    title = f"{wording.plural(len(report.files), 'file')}, {report.batch_kind}"
    more = len(report.files) - len(shown)
    note = tag("p", f"and {wording.plural(more, 'more file')}", class_="more") if more else None
    return join(table(head, rows, caption=title, class_="files", titled=True, numbers=(2, 3)), note)


def _file(record: FileRecord, limits: Limits) -> Markup:
    said = list(record.notes[:5])
    if record.refused:
        said.insert(0, f"set aside: {record.refused}")
    return row(
        clipped(record.name, limits.cell),
        clipped(record.format, 40),
        f"{record.rows:,}",
        wording.size(record.size),
        tag("code", clipped(record.sha256, 64)),
        clipped("; ".join(said), 300),
        numbers=(2, 3),
        class_="failed" if record.refused else None,
    )


def _roles(report: Report, limits: Limits) -> Markup | None:
    if not report.roles:
        return None
    rows = [
        row(
            clipped(record.role, 60),
            clipped(", ".join(record.columns[:20]), 2 * limits.cell),
            clipped(record.reason, 300),
        )
        for record in report.roles[: limits.items]
    ]
    head: list[Child] = ["Role", "Columns", "Why"]
    return table(head, rows, caption="Roles of columns", class_="roles", titled=True)


def _columns(report: Report, limits: Limits) -> Markup | None:
    if not report.columns:
        return None
    shown = report.columns[: limits.items]
    rows = [row(clipped(name, limits.cell), tag("code", clipped(kind, 80))) for name, kind in shown]
    body = table(["Column", "Type"], rows, caption="Columns and their types", class_="columns")
    more = len(report.columns) - len(shown)
    note = tag("p", f"and {wording.plural(more, 'more column')}", class_="more") if more else None
    title = f"{wording.plural(len(report.columns), 'column')} and their types"
    return tag("details", tag("summary", title), body, note)


def reproduce(report: Report, limits: Limits) -> Markup:
    """Return digests, versions and every setting in force."""
    fixed: dict[str, Scalar] = {
        "run": report.run,
        "created at": report.created_at,
        "mode": report.mode,
        "batch digest": report.batch_digest,
        "published digest": report.published_digest,
        "quarantine digest": report.set_digest,
        "auditor": report.auditor,
        "seconds": round(report.seconds, 2),
    }
    values = {name: value for name, value in fixed.items() if value is not None}
    summary = tag("summary", "Settings in force, defaults included")
    settings = tag("details", summary, tag("pre", _settings(report, limits)))
    return join(_values({**values, **report.reproduce}, limits), settings)


def _settings(report: Report, limits: Limits) -> Markup:
    text = json.dumps(report.settings, indent=2, default=str, ensure_ascii=False)
    lines = text[: limits.text].split("\n")
    rest = "\n\u2026 the rest is in report.json" if len(text) > limits.text else ""
    return join([join(clipped(line, 400), Markup("\n")) for line in lines], Markup(rest))
