"""Plots as inline SVG: shapes only, all text is HTML beside them, all colours come from classes.

So the plots follow the width of the page without shrinking their labels, obey light and dark, and
need no inline style. Marks differ in shape or pattern as well as in colour.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from auditor.formats.markup import Markup, raw, tag


def _fixed(value: float) -> str:
    """Return a coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")


def _canvas(
    width: float, height: float, label: str, *shapes: Markup, class_: str, stretch: bool = True
) -> Markup:
    """Return the `svg` element; without a label it only repeats a number that stands beside it."""
    return tag(
        "svg",
        tag("title", label) if label else None,
        *shapes,
        viewBox=f"0 0 {_fixed(width)} {_fixed(height)}",
        preserveAspectRatio="none" if stretch else None,
        class_=class_,
        role="img" if label else None,
        aria_hidden=None if label else "true",
    )


def _box(x: float, y: float, width: float, height: float, class_: str) -> Markup:
    return tag(
        "rect", x=_fixed(x), y=_fixed(y), width=_fixed(width), height=_fixed(height), class_=class_
    )


def _part(value: float, most: float) -> float:
    """Return value / most within 0..1; what is not a number counts as nothing."""
    if not (math.isfinite(most) and most > 0) or math.isnan(value):
        return 0.0
    return min(max(value / most, 0.0), 1.0)


def bar(value: float, most: float, *, marked: float = 0.0, class_: str = "bar") -> Markup:
    """Return a bar of `value` on a track of `most`, the first `marked` of it in the accent."""
    shapes = [_box(0, 0, 1000, 10, "track"), _box(0, 0, 1000 * _part(value, most), 10, "fill")]
    if marked > 0:
        # A sliver stays visible: one bad row of a million is not nothing.
        shapes.append(_box(0, 0, max(1000 * _part(marked, most), 6.0), 10, "hot"))
    return _canvas(1000, 10, "", *shapes, class_=class_)


def pair(value: float, other: float | None, most: float) -> Markup:
    """Return two thin bars, one below the other: the batch, and the baseline where there is one."""
    shapes = [
        _box(0, 0, 1000, 12, "track"),
        _box(0, 0.5, 1000 * _part(value, most), 5, "mark"),
    ]
    if other is not None:
        shapes.append(_box(0, 6.5, 1000 * _part(other, most), 5, "fill"))
    return _canvas(1000, 12, "", *shapes, class_="bar pair")


def columns(totals: Sequence[int], marked: Sequence[int], label: str) -> Markup:
    """Return one column an interval, the marked part at its foot in the accent."""
    most = max(totals, default=0)
    step = 1000 / max(len(totals), 1)
    wide = step * 0.82
    shapes = []
    for at, (total, hot) in enumerate(zip(totals, marked, strict=True)):
        tall = 200 * _part(total, most)
        shapes.append(_box(at * step, 200 - tall, wide, tall, "fill"))
        if hot:
            low = max(200 * _part(hot, most), 2.0)
            shapes.append(_box(at * step, 200 - low, wide, low, "hot"))
    return _canvas(1000, 200, label, *shapes, class_="columns")


def scatter(points: Sequence[tuple[float, float, bool]], label: str) -> Markup:
    """Return a map of (x, y, marked): dots, and crosses for the marked ones, which lie on top."""
    kept = [point for point in points if math.isfinite(point[0]) and math.isfinite(point[1])]
    place = _Scale([x for x, _, _ in kept], 600), _Scale([y for _, y, _ in kept], 400)
    dots: list[str] = []
    crosses: list[str] = []
    for x, y, hot in kept:
        at = f"{_fixed(place[0](x))} {_fixed(400 - place[1](y))}"
        (crosses if hot else dots).append(at)
    shapes = (
        tag("path", d=_path(f"M{at}h0" for at in dots), class_="dots"),
        tag("path", d=_path(f"M{at}m-4-4l8 8m0-8l-8 8" for at in crosses), class_="hots"),
    )
    return _canvas(600, 400, label, *shapes, class_="map", stretch=False)


def curve(
    points: Sequence[tuple[float, float, float]], other: Sequence[float], label: str
) -> Markup:
    """Return rates from 0 to 1, evenly spaced: (low, value, high) as a line with its intervals.

    `other` is a second rate at the same places, drawn as a thick pale line behind the first.
    """
    # From edge to edge, as the labels of the axis are set below the plot.
    step = 564 / max(len(points) - 1, 1)
    places = [18 + at * step for at in range(len(points))]
    spans = [
        _box(x - 4, _height(high), 8, _height(low) - _height(high), "fill")
        for x, (low, _, high) in zip(places, points, strict=True)
    ]
    values = [value for _, value, _ in points]
    return _canvas(
        600,
        200,
        label,
        *spans,
        tag("path", d=_line(places, other), class_="dots"),
        tag("path", d=_line(places, values), class_="hots"),
        class_="map",
        stretch=False,
    )


def _height(rate: float) -> float:
    """Return where a rate lies, with a margin so that 0 and 1 are not on the edge."""
    return 188 - 176 * _part(rate, 1.0)


def _path(parts: Iterable[str]) -> Markup | None:
    """Return the commands of a path, made of numbers and letters only; None without any."""
    return raw("".join(parts)) or None


def _line(places: Sequence[float], rates: Sequence[float]) -> Markup | None:
    """Return a path through the rates, each with a small dash so that a single one is seen."""
    shown = [(x, rate) for x, rate in zip(places, rates, strict=True) if math.isfinite(rate)]
    if not shown:
        return None
    dashes = "".join(f"M{_fixed(x - 8)} {_fixed(_height(rate))}h16" for x, rate in shown)
    through = "L".join(f"{_fixed(x)} {_fixed(_height(rate))}" for x, rate in shown)
    return _path(("M", through, dashes))


class _Scale:
    """Maps values to 0..length with a margin; the far 0.5 % on each side lie on the edge."""

    def __init__(self, values: Sequence[float], length: float) -> None:
        ranked = sorted(values) or [0.0]
        cut = int(len(ranked) * 0.005)
        low, high = ranked[cut], ranked[len(ranked) - 1 - cut]
        self._low = low if high > low else low - 0.5
        self._span = high - low if high > low else 1.0
        self._length = length

    def __call__(self, value: float) -> float:
        margin = 12.0
        part = (value - self._low) / self._span
        part = min(max(part, 0.0), 1.0) if math.isfinite(part) else 0.5
        return margin + part * (self._length - 2 * margin)
