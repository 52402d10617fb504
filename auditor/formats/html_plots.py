"""Plots where people rather look than read, each with its numbers as text."""

from __future__ import annotations

from typing import Final

from auditor.formats import svg, wording
from auditor.formats.limits import Limits
from auditor.formats.markup import Child, Markup, clipped, join, row, table, tag
from auditor.report_records import Charts, Report

#: Rule of thumb for the population stability index (Siddiqi, Credit Risk Scorecards, 2006).
_DRIFT: Final = (0.1, 0.25)
_BARS: Final = 30
_LONG: Final = 20  # characters of a name that are kept in one line
_BLANK: Final = tag("span", "as a bar", class_="heard")


def section(report: Report, limits: Limits) -> Markup:
    """Return the plots for which the batch has what they need."""
    charts = report.charts
    parts = [
        _contributors(charts, limits),
        _time(charts),
        _labels(charts, limits),
        _map(charts, limits),
        _drift(charts, limits),
    ]
    shown = [part for part in parts if part]
    if not shown:
        return tag("p", "No plot: the batch has no contributor, time or label column, no baseline.")
    return tag("div", *shown, class_="plots")


def _figure(title: str, body: Child, *notes: str, wide: bool = False) -> Markup:
    lines = [tag("p", note, class_="note") for note in notes]
    heading = tag("h3", title)
    return tag("figure", heading, body, *lines, class_="wide" if wide else None)


def _key(*items: tuple[str, str]) -> Markup:
    """Return a legend of (class of the mark, its meaning)."""
    marks = [tag("li", tag("span", class_=f"key {name}"), text) for name, text in items]
    return tag("ul", *marks, class_="legend")


def _contributors(charts: Charts, limits: Limits) -> Markup | None:
    if not charts.contributors:
        return None
    ranked = sorted(charts.contributors, key=lambda one: (-one.quarantined, -one.mean_suspicion))
    rows = [
        row(
            _name(one.contributor, limits),
            f"{one.rows:,}",
            f"{one.quarantined:,}",
            wording.percent(one.quarantined, one.rows),
            svg.bar(0, max(one.rows, 1), marked=one.quarantined),
            f"{one.mean_suspicion:.3f}",
            svg.bar(one.mean_suspicion, 1),
            numbers=(1, 2, 3, 5),
        )
        for one in ranked[:_BARS]
    ]
    head: list[Child] = ["Contributor", "Rows", "Set aside", "Share", _BLANK]
    head += ["Mean suspicion", _BLANK]
    caption = "Rows set aside and mean suspicion by contributor"
    body = table(head, rows, caption=caption, class_="plot", numbers=(1, 2, 3, 5))
    return _figure("By contributor", join(body, _rest(len(ranked), "contributor")), wide=True)


def _name(text: str, limits: Limits) -> Markup:
    return tag("span", clipped(text, limits.cell), class_="name" if len(text) > _LONG else None)


def _rest(total: int, noun: str) -> Markup | None:
    text = f"and {wording.plural(total - _BARS, 'more ' + noun)}"
    return tag("p", text, class_="more") if total > _BARS else None


def _time(charts: Charts) -> Markup | None:
    if not charts.time:
        return None
    bins = charts.time[:400]
    totals = [one.rows for one in bins]
    hot = [one.quarantined for one in bins]
    starts = _starts([one.start for one in bins])
    worst = max(range(len(bins)), key=hot.__getitem__)
    said = (
        f"{wording.plural(len(bins), 'interval')} from {starts[0]} to {starts[-1]}; most rows set "
        f"aside, {hot[worst]} of {totals[worst]}, in the one from {starts[worst]}"
    )
    axis = tag("p", tag("span", starts[0]), tag("span", starts[-1]), class_="axis")
    plot = join(
        tag("p", f"{max(totals):,} rows", class_="peak"),
        svg.columns(totals, hot, said),
        axis,
        _key(("fill", "rows"), ("hot", "set aside")),
    )
    return _figure("Over time", plot, said + ".")


def _starts(times: list[str]) -> list[str]:
    """Leave out the time of day where every interval starts at midnight."""
    midnight = "T00:00:00Z"
    whole = all(time.endswith(midnight) for time in times)
    return [time.removesuffix(midnight)[:40] if whole else time[:40] for time in times]


def _labels(charts: Charts, limits: Limits) -> Markup | None:
    if not charts.labels:
        return None
    most = max(max(one.batch, one.baseline or 0.0) for one in charts.labels)
    rows = [
        row(
            _name(one.label, limits),
            svg.pair(one.batch, one.baseline, most),
            wording.percent(one.batch, 1),
            "\u2013" if one.baseline is None else wording.percent(one.baseline, 1),
            "\u2013" if one.baseline is None else f"{100 * (one.batch - one.baseline):+.2f}",
            numbers=(2, 3, 4),
        )
        for one in charts.labels[:_BARS]
    ]
    caption = "Label shares against the baseline"
    head: list[Child] = ["Label", _BLANK, "Batch", "Baseline", "Difference"]
    body = table(head, rows, caption=caption, class_="plot", numbers=(2, 3, 4))
    key = _key(("mark", "batch"), ("fill", "baseline"))
    return _figure("Labels", join(body, _rest(len(charts.labels), "label"), key))


def _map(charts: Charts, limits: Limits) -> Markup | None:
    every = max(1, -(-len(charts.map) // limits.points)) if limits.points else 0
    points = charts.map[::every] if every else ()
    if not points:
        return None
    hot = sum(point.quarantined for point in points)
    said = f"Map of {wording.plural(len(points), 'row')}, {hot} of them set aside (crosses)."
    plot = svg.scatter([(point.x, point.y, point.quarantined) for point in points], said)
    key = _key(("dot", "published"), ("cross", "set aside"))
    return _figure(
        "Map of the batch", join(plot, key), said, "First two principal components of the features."
    )


def _drift(charts: Charts, limits: Limits) -> Markup | None:
    if not charts.drift:
        return None
    ranked = sorted(charts.drift, key=lambda one: -one.psi)
    most = max(2 * _DRIFT[1], *(one.psi for one in ranked))
    rows = [
        row(
            _name(one.column, limits),
            svg.bar(one.psi, most, marked=one.psi if one.psi > _DRIFT[1] else 0.0),
            wording.number(one.psi),
            _moved(one.psi),
            numbers=(2,),
        )
        for one in ranked[:_BARS]
    ]
    head: list[Child] = ["Column", _BLANK, "PSI", "Moved"]
    caption = "Drift by column against the baseline"
    body = table(head, rows, caption=caption, class_="plot", numbers=(2,))
    note = f"Population stability index: below {_DRIFT[0]} little, above {_DRIFT[1]} much."
    return _figure("Drift", join(body, _rest(len(ranked), "column")), note)


def _moved(psi: float) -> str:
    return "little" if psi < _DRIFT[0] else "some" if psi <= _DRIFT[1] else "much"
