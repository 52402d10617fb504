"""The records of the trials as a picture: for each attack, rates against the number of poison rows.

An SVG file by itself: its text scales with it, and it obeys light and dark.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import numpy as np

Record = Mapping[str, Any]
Rates = Mapping[float, tuple[float, float, float]]

#: What is drawn, with the class of its line: name, how it is taken from a record.
LINES: Final = (
    ("stopped", "batches not accepted"),
    ("aside", "poison rows set aside"),
    ("ranked", "recall at 1 % false positives"),
)
ACROSS: Final = 5
WIDTH, HEIGHT = 180, 150
#: The plot inside a panel: left, top, width, height.
LEFT, TOP, WIDE, TALL = 30, 26, 138, 92

_STYLE: Final = """
text{font:10px sans-serif;fill:#333}.name{font-size:11px;font-weight:600}
.grid{stroke:#ddd}path{fill:none;stroke-width:2}
.stopped{stroke:#9a5b00;fill:#9a5b00}.aside{stroke:#0b63a5;fill:#0b63a5}.ranked{stroke:#777;fill:#777}
path.aside{stroke-dasharray:6 3}path.ranked{stroke-dasharray:2 3}path{fill:none!important}
@media (prefers-color-scheme:dark){text{fill:#ddd}.grid{stroke:#444}
.stopped{stroke:#f0b04a;fill:#f0b04a}.aside{stroke:#6fb7ea;fill:#6fb7ea}.ranked{stroke:#aaa;fill:#aaa}}
"""


def figure(records: Sequence[Record], said: str) -> str:
    """The SVG text; `said` is one line about what was tried, on what.

    Raises:
        ValueError: no batch with planted rows is among the records.
    """
    panels = _panels(records)
    if not panels:
        raise ValueError("no planted batches: nothing to draw")
    lines = -(-len(panels) // ACROSS)
    width, height = ACROSS * WIDTH, lines * HEIGHT + 44
    drawn = [
        f'<g transform="translate({(i % ACROSS) * WIDTH} {(i // ACROSS) * HEIGHT})">'
        f"{_panel(attack, rates)}</g>"
        for i, (attack, rates) in enumerate(panels.items())
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
        f"<title>{escape(said)}</title><style>{_STYLE}</style>{''.join(drawn)}"
        f"{_legend(lines * HEIGHT + 14)}"
        f'<text x="{LEFT}" y="{height - 8}">{escape(said)}</text></svg>\n'
    )


def _panels(records: Sequence[Record]) -> dict[str, Rates]:
    """Means over sets and seeds: attack -> size -> (stopped, aside, ranked)."""
    found: dict[str, dict[float, list[tuple[float, float, float]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for r in records:
        if r["attack"] == "clean" or "unavailable" in r or not r["poison"]:
            continue
        stopped, aside = r["verdict"] != "ACCEPT", r["poison_quarantined"] / r["poison"]
        found[r["attack"]][r["size"]].append((float(stopped), aside, r["recall"]))
    return {
        attack: {size: _mean(each) for size, each in sorted(sizes.items())}
        for attack, sizes in found.items()
    }


def _mean(each: Sequence[tuple[float, float, float]]) -> tuple[float, float, float]:
    stopped, aside, ranked = np.nanmean(np.array(each), axis=0).tolist()
    return stopped, aside, ranked


def _panel(attack: str, rates: Rates) -> str:
    places = np.linspace(LEFT + 6, LEFT + WIDE - 6, max(len(rates), 2))[: len(rates)].tolist()
    grid = "".join(
        f'<path class="grid" d="M{LEFT} {_y(rate)}h{WIDE}"/>'
        f'<text x="{LEFT - 4}" y="{_y(rate) + 3}" text-anchor="end">{rate:g}</text>'
        for rate in (0.0, 0.5, 1.0)
    )
    axis = "".join(
        f'<text x="{x:.0f}" y="{TOP + TALL + 14}" text-anchor="middle">{_size(size)}</text>'
        for x, size in zip(places, rates, strict=True)
    )
    lines = "".join(
        _line(name, places, [own[i] for own in rates.values()])
        for i, (name, _) in reversed(tuple(enumerate(LINES)))
    )
    title = f'<text class="name" x="{LEFT}" y="14">{escape(attack)}</text>'
    return title + grid + axis + lines


def _line(name: str, places: Sequence[float], rates: Sequence[float]) -> str:
    points = [(f"{x:.0f}", f"{_y(rate)}") for x, rate in zip(places, rates, strict=True)]
    dots = "".join(f'<circle class="{name}" cx="{x}" cy="{y}" r="2"/>' for x, y in points)
    return f'<path class="{name}" d="M{"L".join(" ".join(p) for p in points)}"/>{dots}'


def _y(rate: float) -> float:
    return round(TOP + TALL * (1.0 - rate), 1)


def _size(size: float) -> str:
    return f"{size:.0%}" if size < 1 else f"{size:g}"


def _legend(y: int) -> str:
    return "".join(
        f'<path class="{name}" d="M{LEFT + 200 * i} {y - 3}h24"/>'
        f'<text x="{LEFT + 30 + 200 * i}" y="{y}">{text}</text>'
        for i, (name, text) in enumerate(LINES)
    )
