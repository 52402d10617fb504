"""What the surprise miner takes and gives: coded rows, conjunctions, the layout of columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from auditor.items import Codes

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
#: A slot and one of its codes.
Item = tuple[int, int]

#: Trusted rates may drift up by this before a count is surprising.
SLACK: Final = 1.25
#: Rows that a conjunction needs.
LEAST: Final = 8


@dataclass(frozen=True)
class Side:
    """Rows as item codes: int32[slots, n], label codes int32[n].

    `weights` float64[n] (mean 1) of trusted rows. Of new rows: `senders` int64[n], who sent it (-1
    where nobody says); `ratios` float64[n], how much more likely it is in the batch than among
    trusted rows.
    """

    codes: npt.NDArray[np.int32]
    labels: Codes
    weights: Floats | None = None
    senders: Ints | None = None
    ratios: Floats | None = None
    _holding: dict[Item, Codes] = field(default_factory=dict, repr=False, compare=False)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.labels)

    def where(self, items: Sequence[Item], label: int | None) -> Mask:
        """Rows that hold all `items` (and the label, None for any): bool[n]."""
        found = np.zeros(self.rows, dtype=bool)
        found[self.holding(items, label)] = True
        return found

    def holding(self, items: Sequence[Item], label: int | None) -> Codes:
        """Positions of these rows: int32[k]. The rarest item's rows are found once and kept."""
        rarest = min((self._positions(item) for item in items), key=len)
        keep = np.ones(len(rarest), dtype=bool)
        for slot, code in items:
            keep &= self.codes[slot, rarest] == code
        if label is not None:
            keep &= self.labels[rarest] == label
        rows: Codes = rarest[keep]
        return rows

    def _positions(self, item: Item) -> Codes:
        if item not in self._holding:
            slot, code = item
            self._holding[item] = np.flatnonzero(self.codes[slot] == code).astype(np.int32)
        return self._holding[item]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conjunction:
    """Items that came together `observed` times with a label (None: any) where `expected` were.

    `trusted`: their (weighted) count among trusted rows. `tail`: P(count or more) under the
    predictive law; `p_value`: corrected for all conjunctions that were looked at.
    """

    items: tuple[Item, ...]
    label: int | None
    observed: int
    expected: float
    trusted: float
    tail: float
    p_value: float = field(default=1.0)


@dataclass(frozen=True, slots=True)
class Mined:
    """Conjunctions by p-value, and a score for each row (higher = more surprising): float64[n]."""

    conjunctions: tuple[Conjunction, ...]
    scores: Floats


@dataclass(frozen=True)
class Layout:
    """Column name and width of each slot, and the number of label codes."""

    slots: tuple[tuple[str, int], ...]
    labels: int

    @property
    def widths(self) -> Ints:
        """Codes of each slot: int64[slots]."""
        return np.array([width for _, width in self.slots], dtype=np.int64)

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Pairs of slots of different columns."""
        for i, (first, _) in enumerate(self.slots):
            for j in range(i + 1, len(self.slots)):
                if self.slots[j][0] != first:
                    yield i, j

    @property
    def tests(self) -> tuple[int, int, int]:
        """How many single items, pairs and triples may be looked at, over all labels and any.

        Triples are reached through pairs, five at most for each slot and pair (the beam asks for a
        fifth of the pair's rows).
        """
        cells, width = self.labels + 1, self.widths - 1
        pairs = int(cells * sum(width[i] * width[j] for i, j in self.pairs()))
        return int(cells * width.sum()), pairs, pairs * max(1, len(self.slots)) * 5

    def cells(self, side: Side, i: int, j: int | None) -> Ints:
        """Each row's place in the table [code of i, code of j, label]: int64[n]."""
        cell = side.codes[i].astype(np.int64)
        if j is not None:
            cell = cell * self.slots[j][1] + side.codes[j]
        place: Ints = cell * self.labels + side.labels
        return place

    def count(self, side: Side, i: int, j: int | None, weights: Floats | None = None) -> Floats:
        """(Weighted) rows of each cell: float64[width of i, width of j (1 without), labels]."""
        shape = (self.slots[i][1], 1 if j is None else self.slots[j][1], self.labels)
        size = shape[0] * shape[1] * shape[2]
        counted = np.bincount(self.cells(side, i, j), weights=weights, minlength=size)
        table: Floats = counted.reshape(shape).astype(np.float64)
        return table


def with_any(table: Floats) -> Floats:
    """A table with one more label in front of nothing: the sum over all labels, as the last one."""
    return np.concatenate([table, table.sum(-1, keepdims=True)], axis=-1)


def negative_binomial_tails(count: Floats, mean: Floats, shape: Floats) -> Floats:
    """P(X >= count), X negative binomial with this mean and shape: float64, elementwise."""
    from scipy.special import betainc

    found = np.maximum(betainc(np.maximum(count, 1.0), shape, mean / (mean + shape)), 1e-300)
    tails: Floats = np.where(count <= 0, 1.0, found)
    return tails
