"""What a red team measured, as aligned plain text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from auditor.formats.escape import terminal

if TYPE_CHECKING:
    from auditor.curves import Point, Rate, Summary
    from auditor.redteaming import Measured

_HEAD = (
    f"{'attack':26} {'rows':>6} {'not accepted':>13} {'95 %':>11} {'poison aside':>13} "
    f"{'honest aside':>13} {'recall':>7}"
)


def described(measured: Measured) -> Iterator[str]:
    """Notes, clean batches, one line an attack and number of rows, what was left out."""
    from auditor.redteam_results import facts, notes

    for name, text in facts(measured):
        yield f"{name}: {terminal(text, 300)}"
    yield ""
    yield from _clean(measured.summary)
    yield ""
    yield _HEAD
    for curve in measured.summary.curves:
        for at, point in enumerate(curve.points):
            yield _line(curve.attack if at == 0 else "", point)
    for name, reason in measured.summary.left_out.items():
        yield f"not applicable: {name}: {terminal(reason, 200)}"
    yield ""
    yield from (terminal(note, 600) for note in notes(measured))


def _clean(summary: Summary) -> Iterator[str]:
    batches, rows = summary.clean_batches, summary.clean_rows
    yield (
        f"nothing planted: {batches.hits} of {batches.trials} batches not accepted "
        f"({_interval(batches)}), {rows.hits} of {rows.trials} rows set aside"
    )


def _line(attack: str, point: Point) -> str:
    stopped, poison, honest = point.stopped, point.poison, point.honest
    return (
        f"{attack:26} {point.rows:>6} {f'{stopped.hits} of {stopped.trials}':>13} "
        f"{_interval(stopped):>11} {f'{poison.value:.0%}' if poison.trials else '-':>13} "
        f"{f'{honest.value:.2%}' if honest.trials else '-':>13} "
        f"{'-' if point.recall is None else f'{point.recall:.2f}':>7}"
    )


def _interval(rate: Rate) -> str:
    low, high = rate.interval
    return f"{low:.0%} to {high:.0%}"
