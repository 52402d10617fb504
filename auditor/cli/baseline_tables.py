"""A baseline, and the difference between two of them, as aligned plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from auditor.formats.escape import terminal

if TYPE_CHECKING:
    from auditor.baseline import Baseline, Part
    from auditor.baseline_changes import Changes

_CELL: Final = 40
_LABELS: Final = 20
_PARTS: Final = 30


def described(baseline: Baseline) -> Iterator[str]:
    """What a baseline holds, line by line."""
    from auditor import power
    from auditor.assemble import false_alarms

    yield f"{baseline.rows} rows in {len(baseline.fit)} part(s){_controls(baseline)}"
    for role, columns in baseline.roles.assigned.items():
        yield f"  {terminal(role)}: {terminal(', '.join(columns), 2000)}"
    head = ("part", "role", "rows", "trusted", "accepted", "")
    yield from _table("parts", head, _parts(baseline))
    yield ""
    ranked = sorted(baseline.labels.items(), key=lambda item: -item[1])
    for name, count in ranked[:_LABELS]:
        yield f"  label {terminal(name)}: {count} ({count / baseline.rows:.1%})"
    if len(ranked) > _LABELS:
        yield f"  and {len(ranked) - _LABELS} more labels"
    yield f"calibrated: {', '.join(sorted(baseline.thresholds)) or 'no rule'}"
    if baseline.switched_off:
        yield f"not calibrated, switched off: {', '.join(baseline.switched_off)}"
    yield false_alarms(baseline)
    yield f"Power: {power.sentence(baseline)}"
    yield from _table(
        "power", ("attack", "family", "caught from", "caught", "95 %"), _power(baseline)
    )


def _controls(baseline: Baseline) -> str:
    rows = [part.rows for part in baseline.parts if part not in baseline.fit]
    return f", and {sum(rows)} rows in {len(rows)} control part(s)" if rows else ""


def _parts(baseline: Baseline) -> list[tuple[str, ...]]:
    """The newest parts first, the rest counted."""
    newest = list(reversed(baseline.parts))
    shown: list[tuple[str, ...]] = [
        (
            part.name,
            part.role,
            f"{part.rows}" + (f" ({part.removed} taken out)" if part.removed else ""),
            part.added_at[:10] or "-",
            (part.accepted_at or "-")[:10],
            f"reviewed by {part.reviewed_by}" if part.reviewed_by else _unseen(part),
        )
        for part in newest[:_PARTS]
    ]
    rest = newest[_PARTS:]
    if rest:
        total = f"{sum(part.rows for part in rest)}"
        shown.append((f"and {len(rest)} older parts", "", total, "", "", ""))
    return shown


def _unseen(part: Part) -> str:
    return "from files" if part.run is None else "automatic"


def _power(baseline: Baseline) -> list[tuple[str, ...]]:
    from auditor import power

    return [
        (
            one.attack,
            one.family,
            one.reason or (f"{one.rows} rows" if one.rows is not None else "not reached"),
            f"{one.caught} of {one.trials}",
            f"{one.low:.0%} to {one.high:.0%}",
        )
        for one in power.records(baseline)
    ]


def compared(changes: Changes) -> Iterator[str]:
    """What differs between two baselines, one table after the other."""
    if changes.old_digest == changes.new_digest:
        yield "no difference"
        return
    yield f"old {changes.old_digest[:16]}  {changes.old_rows} rows"
    yield f"new {changes.new_digest[:16]}  {changes.new_rows} rows"
    parts = [(p.part, p.change, str(p.old), str(p.new)) for p in changes.parts]
    yield from _table("parts", ("part", "", "old rows", "new rows"), parts)
    columns = [
        (c.column, c.change, c.old_type or "-", c.new_type or "-", _number(c.psi))
        for c in sorted(changes.columns, key=lambda c: (c.change == "same", -(c.psi or 0.0)))
    ]
    yield from _table("columns", ("column", "", "old type", "new type", "PSI"), columns)
    labels = [(c.label, _share(c.old), _share(c.new)) for c in changes.labels]
    yield from _table("label shares", ("label", "old", "new"), labels)
    roles = [(c.role, ", ".join(c.old) or "-", ", ".join(c.new) or "-") for c in changes.roles]
    yield from _table("roles", ("role", "old", "new"), roles)
    thresholds = [
        (c.rule, c.change, f"{c.moved} of {c.numbers}", _share(c.largest), c.where or "-")
        for c in changes.thresholds
    ]
    head = ("rule", "", "numbers moved", "largest move", "of")
    yield from _table("thresholds", head, thresholds)
    clean = [(c.name, _number(c.old), _number(c.new)) for c in changes.clean]
    yield from _table("on clean batches", ("measured", "old", "new"), clean)


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A title and aligned columns; nothing where there are no rows."""
    if not rows:
        return
    shown = [[terminal(cell, _CELL) for cell in row] for row in (head, *rows)]
    wide = [max(len(row[at]) for row in shown) for at in range(len(head))]
    yield ""
    yield title
    for row in shown:
        cells = (cell.ljust(width) for cell, width in zip(row, wide, strict=True))
        yield "  " + "  ".join(cells).rstrip()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
