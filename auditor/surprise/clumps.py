"""Natural clumps: rows that belong together by nature, and who sends rows of such clumps.

Real rows come in clumps that independence does not explain: one form letter, one machine, one kind
of customer. That a batch holds a clump is no attack. How many clumps trusted rows hold at which
rate, and how many they may hide, gives the number of clumps that one would expect to have been
missed before and to show up now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from auditor.surprise.claims import LEAST, SLACK, Conjunction, Floats, Item, Mask, Side

#: Rates on which clumps are laid out, as a share of all rows: twelve to a factor of ten.
RATES: Final = np.logspace(-5.0, 0.0, 61)
#: Clumps at each of `RATES` that trusted rows may hide, on top of those they show.
HIDDEN: Final = 1.0
#: Trusted rows that make a clump, and how many clumps are counted.
CLUMP_ROWS: Final = 3
CLUMPS: Final = 1_500
#: The contributors whose share of a clump is looked at.
FEW: Final = 3
#: Ordinary pairs of the batch that show how concentrated rows are, and how many are enough.
ORDINARY: Final = 1_000
ENOUGH: Final = 100
#: A group is compared with ordinary ones up to this factor smaller or larger.
ALIKE: Final = 1.5

#: A trusted cell that independence does not explain: its p-value, items and label.
Cell = tuple[float, tuple[Item, Item], int]


@dataclass(frozen=True)
class Clumps:
    """How many natural clumps there are at each rate of `RATES`, seen from `rows` trusted rows."""

    intensity: Floats
    rows: int

    @classmethod
    def of(cls, cells: Sequence[Cell], trusted: Side) -> Clumps:
        """Clumps of trusted rows, one a cause; each has the Gamma law of its rate."""
        from scipy.special import gammainc

        free: Mask = np.ones(trusted.rows, dtype=bool)
        intensity = np.full(len(RATES), HIDDEN)
        edges = np.r_[0.0, np.sqrt(RATES[:-1] * RATES[1:]), np.inf]
        for _, items, label in sorted(cells)[:CLUMPS]:
            found = trusted.where(items, label) & free
            size = int(found.sum())
            if size >= CLUMP_ROWS:
                free &= ~found
                intensity += np.diff(gammainc(size + 0.5, edges * trusted.rows))
        return cls(intensity, trusted.rows)

    def missed(self, observed: float, known: float, ratio: float) -> float:
        """Expected number of clumps with at most `known` trusted and `observed` or more new rows.

        `ratio`: new rows for each trusted one.
        """
        from scipy.special import gammainc, gammaincc

        mean = RATES * self.rows
        before, now = gammaincc(known + 1.0, mean), gammainc(observed, SLACK * ratio * mean)
        return float(np.sum(self.intensity * before * now))

    def as_rare(self, observed: float, known: float, ratio: float, chance: float) -> float:
        """Expected number of clumps that are as rare by their size and their senders together.

        `chance`: that a clump comes from as few contributors. By nature it is spread evenly between
        0 and 1, so that of the clumps at a size of which x are expected a share of min(1, a / x)
        has a product x * chance of at most a. x runs from 0 to that of the smallest size looked at,
        one clump a unit (Fisher 1932, two tests combined).
        """
        product = self.missed(observed, known, ratio) * chance
        most = self.missed(LEAST, known, ratio)
        return product * (1.0 + float(np.log(max(most / max(product, 1e-300), 1.0))))


@dataclass(frozen=True)
class Senders:
    """How concentrated in few contributors ordinary groups of rows are: float64[m, 2].

    Columns: rows of a group, share of its `FEW` largest contributors. Contributors are not alike:
    natural clumps may come from some of them only, and so do ordinary pairs of items then.
    """

    batch: Side
    ordinary: Floats

    @classmethod
    def of(cls, pairs: Sequence[tuple[tuple[Item, ...], int | None]], batch: Side) -> Senders:
        """Measure at most `ORDINARY` of the pairs (items and label) that nothing is wrong with."""
        found: list[tuple[int, float]] = []
        if batch.senders is not None:
            chosen = pairs[:: max(1, len(pairs) // ORDINARY)]
            found = [_few(batch, items, label) for items, label in chosen]
        return cls(batch, np.array(found, dtype=np.float64).reshape(-1, 2))

    def chance(self, hit: Conjunction) -> float | None:
        """Share of ordinary groups of that size that come from as few: in (0, 1].

        None where there are too few to compare with, or where nobody says who sent a row.
        """
        size, share = self.ordinary.T
        alike = (size >= hit.observed / ALIKE) & (size <= hit.observed * ALIKE)
        if alike.sum() < ENOUGH:
            # Larger groups are spread wider: where those are rare the smaller ones stand in.
            alike = size <= hit.observed * ALIKE
        if alike.sum() < ENOUGH:
            return None
        _, own = _few(self.batch, hit.items, hit.label)
        return float((1 + np.sum(share[alike] >= own)) / (1 + alike.sum()))


def _few(batch: Side, items: Sequence[Item], label: int | None) -> tuple[int, float]:
    """Rows with these items, and the share of them that the `FEW` largest contributors sent."""
    if batch.senders is None:
        return 0, 0.0
    counts = np.sort(np.bincount(batch.senders[batch.holding(items, label)] + 1))
    total = int(counts.sum())
    return total, float(counts[-FEW:].sum() / max(total, 1))
