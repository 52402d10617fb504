"""How much a page shows of a report that may be of any size."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of each thing is shown: counts of items, `cell` and `text` in characters."""

    findings: int = 60
    detailed: int = 20  # findings with their rows
    samples: int = 10
    neighbours: int = 3
    columns: int = 24
    cell: int = 120
    items: int = 200
    text: int = 20_000
    points: int = 4000
