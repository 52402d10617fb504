"""Slices of rows in which a label is too frequent: batch against trusted rows, item by item.

A slice is an item (column = value, column in a range) or a pair of items. The residual of a label
is one where a row carries it, else zero, minus its probability under a model of trusted rows. The
sum over a slice is compared with the sum over the same slice of trusted rows, which the model had
not seen: where the model is wrong about a slice, it is wrong about both. Codes in, slices out.

A score test of the model in each slice (Rao 1948), as two samples; the middle of all slices gives
the scale, so that a batch that has moved everywhere does not blame every slice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from auditor.statistics import normal_tail, robust_scale

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int32]

#: Rows that a slice needs in the batch and among trusted rows, and variance of its residual.
ROWS: Final = 20
KNOWN: Final = 10
VARIANCE: Final = 4.0
#: Squared drift of a slice's rate that is always allowed for, as a share of its binomial variance.
DRIFT: Final = 0.002
#: z from which a cell is looked at.
LOOK: Final = 3.0
#: Slices that are kept of a search, and causes that are reported.
KEPT: Final = 400
CAUSES: Final = 10
CLAIM: Final = 0.05


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


def label_slices(
    batch: Labelled, trusted: Labelled, slots: Sequence[tuple[str, int]]
) -> tuple[Slice, ...]:
    """Slices with too many rows of a label, one a cause, by p-value.

    `slots`: column name and width of each slot.
    """
    tables = list(_tables(batch, trusted, slots))
    scores = np.concatenate([table.z for table in tables]) if tables else np.zeros(0)
    scale = max(1.0, robust_scale(scores[scores != 0.0]))
    hits = [hit for table in tables for hit in table.hits(scale, len(scores))]
    hits.sort(key=lambda hit: (-hit.z, hit.items))
    return _causes(hits[:KEPT], batch)


def _tables(
    batch: Labelled, trusted: Labelled, slots: Sequence[tuple[str, int]]
) -> Iterator[_Cells]:
    for i, (first, wide) in enumerate(slots):
        yield _compare((i,), (wide,), batch, trusted)
        for j in range(i + 1, len(slots)):
            other, width = slots[j]
            if other != first:
                yield _compare((i, j), (wide, width), batch, trusted)


def _compare(
    slots: tuple[int, ...], widths: tuple[int, ...], batch: Labelled, trusted: Labelled
) -> _Cells:
    """Scores of every cell with enough rows on both sides; 0 where its variance is too small."""
    new, known = batch.flat(slots, widths), trusted.flat(slots, widths)
    size = int(np.prod(widths))
    rows, base = np.bincount(new, minlength=size), np.bincount(known, minlength=size)
    cells = np.flatnonzero((rows >= ROWS) & (base >= KNOWN))
    n, m = rows[cells].astype(np.float64), base[cells].astype(np.float64)
    labels = batch.residuals.shape[1]
    excess, z = np.zeros((labels, len(cells))), np.zeros((labels, len(cells)))
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
        enough = variance >= VARIANCE
        z[label, enough] = (excess[label, enough] - 0.5) / np.sqrt(spread[enough])
    return _Cells(
        slots=slots,
        widths=widths,
        cell=np.tile(cells, labels),
        label=np.repeat(np.arange(labels), len(cells)),
        rows=np.tile(n, labels),
        excess=excess.ravel(),
        z=z.ravel(),
    )


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
