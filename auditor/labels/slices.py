"""Slices of rows in which a label is too frequent: batch against trusted rows, item by item.

A slice is an item (column = value, column in a range) or a pair of items. The residual of a label
is one where a row carries it, else zero, minus its probability under a model of trusted rows. The
sum over a slice is compared with the sum over the same slice of trusted rows, which the model had
not seen: where the model is wrong about a slice, it is wrong about both. Codes in, slices out.

A score test of the model in each slice (Rao 1948), as two samples; Bennett's bound (1962) where
the variance is too small for a normal law. Slices come from columns, which overlap, and from
partitions of all rows into regions, which do not. The spread of the regions gives the scale: a
batch that has moved everywhere does not blame every slice, and an attack on one place, which moves
most slices of columns a little, does not hide itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from auditor.statistics import normal_tail, robust_scale

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int32]

#: Rows that a slice needs in the batch and among trusted rows; variance for a normal law.
ROWS: Final = 20
KNOWN: Final = 10
VARIANCE: Final = 4.0
#: The partition that gives the scale.
REGIONS: Final = "regions"
#: Cells of regions that a scale needs; with fewer the slices of columns give it.
SCALED: Final = 20
#: Squared drift of a slice's rate that is always allowed for, as a share of its binomial variance.
DRIFT: Final = 0.002
#: z from which a cell is looked at.
LOOK: Final = 3.0
#: Slices that are kept of a search, and causes that are reported.
KEPT: Final = 400
CAUSES: Final = 10
CLAIM: Final = 0.05


class Cut(NamedTuple):
    """One way to cut rows into `width` items: by a column, or by a partition of all rows.

    `partition` names its kind; "" for a column. Only columns are paired.
    """

    column: str
    width: int
    partition: str = ""


@dataclass(frozen=True)
class Labelled:
    """One side: item codes int32[slots, n], residuals and variances float64[n, labels]."""

    codes: Codes
    residuals: Matrix
    variances: Matrix

    def where(self, items: Sequence[tuple[int, int]]) -> npt.NDArray[np.bool_]:
        """Rows that hold all items: bool[n]."""
        found = np.ones(self.codes.shape[1], dtype=bool)
        for slot, code in items:
            found &= self.codes[slot] == code
        return found

    def flat(self, slots: Sequence[int], widths: Sequence[int]) -> Ints:
        """Each row's cell in the table of one or two slots: int64[n]."""
        cell = self.codes[slots[0]].astype(np.int64)
        for slot, width in zip(slots[1:], widths[1:], strict=True):
            cell = cell * width + self.codes[slot]
        flat: Ints = cell
        return flat


@dataclass(frozen=True, slots=True)
class Slice:
    """A label with `excess` more rows than expected among `rows` rows; `p_value` is corrected."""

    items: tuple[tuple[int, int], ...]
    label: int
    rows: int
    excess: float
    z: float
    p_value: float


@dataclass(frozen=True)
class _Cells:
    """Cells of one or two slots, all labels: each array has one entry a cell and label."""

    slots: tuple[int, ...]
    widths: tuple[int, ...]
    cell: Ints
    label: Ints
    rows: Floats
    excess: Floats
    z: Floats
    normal: npt.NDArray[np.bool_]

    def hits(self, scale: float, tests: int) -> Iterator[Slice]:
        """Cells that are worth a look, with a p-value corrected for `tests` cells."""
        for h in np.flatnonzero(self.z > LOOK * scale).tolist():
            codes = np.unravel_index(int(self.cell[h]), self.widths)
            z = float(self.z[h]) / scale
            yield Slice(
                items=tuple(zip(self.slots, (int(c) for c in codes), strict=True)),
                label=int(self.label[h]),
                rows=int(self.rows[h]),
                excess=float(self.excess[h]),
                z=z,
                p_value=min(1.0, normal_tail(z) * tests),
            )


def label_slices(batch: Labelled, trusted: Labelled, cuts: Sequence[Cut]) -> tuple[Slice, ...]:
    """Slices with too many rows of a label, one a cause, by p-value.

    Every kind of cut has an even part of the error: few regions do not pay for many pairs.
    """
    kinds: dict[str, list[_Cells]] = {}
    for table in _tables(batch, trusted, cuts):
        kinds.setdefault(cuts[table.slots[0]].partition, []).append(table)
    scale = _scale(kinds.get(REGIONS, []), kinds.get("", []))
    hits: list[Slice] = []
    for tables in kinds.values():
        tests = len(kinds) * sum(len(table.z) for table in tables)
        hits += [hit for table in tables for hit in table.hits(scale, tests)]
    hits.sort(key=lambda hit: (hit.p_value, -hit.z, hit.items))
    return _causes(hits[:KEPT], batch)


def _scale(regions: Sequence[_Cells], columns: Sequence[_Cells]) -> float:
    """How much wider than expected the middle of the scores is, at least 1."""
    for tables in (regions, columns):
        scores = np.concatenate([np.zeros(0), *(table.z[table.normal] for table in tables)])
        if len(scores) >= SCALED:
            return max(1.0, robust_scale(scores))
    return 1.0


def _tables(batch: Labelled, trusted: Labelled, cuts: Sequence[Cut]) -> Iterator[_Cells]:
    for i, first in enumerate(cuts):
        yield _compare((i,), (first.width,), batch, trusted)
        for j in range(i + 1, len(cuts)):
            other = cuts[j]
            if other.column != first.column and not (first.partition or other.partition):
                yield _compare((i, j), (first.width, other.width), batch, trusted)


def _compare(
    slots: tuple[int, ...], widths: tuple[int, ...], batch: Labelled, trusted: Labelled
) -> _Cells:
    """Scores of every cell with enough rows on both sides."""
    new, known = batch.flat(slots, widths), trusted.flat(slots, widths)
    size = int(np.prod(widths))
    rows, base = np.bincount(new, minlength=size), np.bincount(known, minlength=size)
    cells = np.flatnonzero((rows >= ROWS) & (base >= KNOWN))
    n, m = rows[cells].astype(np.float64), base[cells].astype(np.float64)
    labels = batch.residuals.shape[1]
    excess, z = np.zeros((labels, len(cells))), np.zeros((labels, len(cells)))
    normal = np.zeros((labels, len(cells)), dtype=bool)
    for label in range(labels if len(cells) else 0):

        def total(where: Ints, values: Floats) -> Floats:
            return np.asarray(np.bincount(where, weights=values, minlength=size)[cells], float)

        variance = total(new, batch.variances[:, label])
        known_variance = total(known, trusted.variances[:, label])
        excess[label] = total(new, batch.residuals[:, label]) - (n / m) * total(
            known, trusted.residuals[:, label]
        )
        # A quarter more on the trusted side: ten rows that all agree are not a certainty.
        spread = variance * (1.0 + DRIFT * n) + (known_variance + 0.25) * (n / m) ** 2
        normal[label] = variance >= VARIANCE
        over = excess[label] - 0.5
        z[label] = np.where(
            normal[label], over / np.sqrt(spread), _bennett(over, spread, np.maximum(1.0, n / m))
        )
    return _Cells(
        slots=slots,
        widths=widths,
        cell=np.tile(cells, labels),
        label=np.repeat(np.arange(labels), len(cells)),
        rows=np.tile(n, labels),
        excess=excess.ravel(),
        z=z.ravel(),
        normal=normal.ravel(),
    )


def _bennett(over: Floats, variance: Floats, jump: Floats) -> Floats:
    """The z whose normal tail is Bennett's bound of P(sum >= over); 0 where nothing is over.

    `jump`: the most that one row adds.
    """
    ratio = jump * np.maximum(over, 0.0) / variance
    exponent = variance / jump**2 * ((1.0 + ratio) * np.log1p(ratio) - ratio)
    # normal_tail(z) is close to exp(-z^2 / 2) / (2.5 z).
    less = np.log(np.maximum(1.0, 2.5 * np.sqrt(2.0 * exponent)))
    z: Floats = np.sqrt(2.0 * np.maximum(exponent - less, 0.0))
    return z


def _causes(hits: Sequence[Slice], batch: Labelled) -> tuple[Slice, ...]:
    """One slice a cause: rows that a better one names do not count again."""
    free = np.ones(batch.codes.shape[1], dtype=bool)
    kept: list[Slice] = []
    for hit in hits:
        if hit.p_value > CLAIM or len(kept) >= CAUSES:
            break
        rows = batch.where(hit.items)
        if np.sum(rows & free) >= 0.5 * np.sum(rows):
            free &= ~rows
            kept.append(hit)
    return tuple(kept)
