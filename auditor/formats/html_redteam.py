"""What a configuration would catch, as one HTML file: a curve for each attack, and the numbers."""

from __future__ import annotations

from collections.abc import Sequence

from auditor.curves import Curve, Point, Rate, Summary
from auditor.formats import svg, wording
from auditor.formats.html import page
from auditor.formats.html_overview import prose
from auditor.formats.markup import Child, Markup, clipped, facts, join, row, table, tag

_NUMBERS = (1, 2, 3, 4, 5, 6, 7)


def render(
    summary: Summary,
    *,
    name: str,
    said: Sequence[tuple[str, str]],
    notes: Sequence[str],
    made_by: str,
) -> str:
    """Return the page. `said`: what was tried on what; `notes`: sentences that come first."""
    sections = (
        ("clean", "Nothing planted", _clean(summary)),
        ("curves", "By number of poison rows", _curves(summary)),
        ("numbers", "All numbers", _numbers(summary)),
        ("left-out", "Not applicable", _left_out(summary)),
        ("tried", "What was tried", facts([(key, clipped(text, 400)) for key, text in said])),
    )
    shown = [(anchor, title, body) for anchor, title, body in sections if body]
    head = tag(
        "header",
        tag("p", "Red team of ", tag("strong", clipped(name, 200)), class_="kicker"),
        tag("h1", "What would be caught"),
        tag("ol", *(tag("li", prose(note)) for note in notes), class_="reasons"),
        class_="verdict",
    )
    body = [
        tag("section", tag("h2", title, id=anchor), part, aria_labelledby=anchor)
        for anchor, title, part in shown
    ]
    foot = tag("footer", tag("p", f"Made by {made_by}."), class_="foot")
    return page(
        f"Red team \u00b7 {name} \u00b7 auditor",
        [(anchor, title) for anchor, title, _ in shown],
        tag("main", head, join(body), foot, id="main"),
        class_="verdict-hold",
    )


def _clean(summary: Summary) -> Markup:
    batches, rows = summary.clean_batches, summary.clean_rows
    return facts(
        [
            ("Batches not accepted", f"{batches.hits} of {batches.trials}, {interval(batches)}"),
            ("Rows set aside", f"{rows.hits:,} of {rows.trials:,}, {interval(rows)}"),
        ]
    )


def _curves(summary: Summary) -> Markup | None:
    if not summary.curves:
        return None
    key = tag(
        "ul",
        tag("li", tag("span", class_="key hot"), "batches that are not accepted"),
        tag("li", tag("span", class_="key"), "their 95 % interval (bars)"),
        tag("li", tag("span", class_="key dot"), "share of the poison rows set aside"),
        class_="legend",
    )
    figures = [_figure(curve) for curve in summary.curves]
    return join(key, tag("div", *figures, class_="plots"))


def _figure(curve: Curve) -> Markup:
    points = curve.points
    triples = [(*_bounds(p.stopped), p.stopped.value) for p in points]
    label = f"{curve.attack}: " + "; ".join(
        f"{p.rows} rows, {p.stopped.hits} of {p.stopped.trials} not accepted" for p in points
    )
    plot = svg.curve(
        [(low, value, high) for low, high, value in triples],
        [p.poison.value for p in points],
        label,
    )
    axis = tag("p", *(tag("span", str(p.rows)) for p in points), class_="axis")
    return tag(
        "figure",
        tag("h3", clipped(curve.attack, 80)),
        tag("p", "100 %", class_="peak"),
        plot,
        axis,
        tag("p", "poison rows", class_="note"),
    )


def _bounds(rate: Rate) -> tuple[float, float]:
    low, high = rate.interval
    return low, high


def _numbers(summary: Summary) -> Markup | None:
    rows = [_row(curve.attack, point) for curve in summary.curves for point in curve.points]
    if not rows:
        return None
    head: list[Child] = ["Attack", "Poison rows", "Not accepted", "95 % interval"]
    head += ["Poison set aside", "Honest set aside", "95 % interval", "Recall at 1 %"]
    caption = "Rates by attack and number of poison rows"
    return table(head, rows, caption=caption, numbers=_NUMBERS)


def _row(attack: str, point: Point) -> Markup:
    return row(
        clipped(attack, 80),
        f"{point.rows:,}",
        f"{point.stopped.hits} of {point.stopped.trials}",
        interval(point.stopped),
        wording.percent(point.poison.hits, point.poison.trials)
        if point.poison.trials
        else "\u2013",
        wording.percent(point.honest.hits, point.honest.trials),
        interval(point.honest),
        "\u2013" if point.recall is None else f"{point.recall:.2f}",
        numbers=_NUMBERS,
    )


def interval(rate: Rate) -> str:
    """Return `12.10 to 45.00 %`."""
    low, high = rate.interval
    return f"{100 * low:.2f} to {100 * high:.2f} %"


def _left_out(summary: Summary) -> Markup | None:
    if not summary.left_out:
        return None
    return facts([(name, clipped(why, 400)) for name, why in summary.left_out.items()])
