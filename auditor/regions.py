"""Regions of the feature space: every row belongs to the nearest of some centres of trusted rows.

A subpopulation need not be cut out by the columns it is described in. Several partitions, from few
large regions to many small ones, because nobody knows its size.

k-means: Lloyd 1982, seeded as Arthur & Vassilvitskii 2007.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.features import Category, Encoder, Matrix, numbers
from auditor.threads import threads

Codes = npt.NDArray[np.int32]

#: Regions of each partition, and trusted rows that a region needs on average.
COUNTS: Final = (8, 24, 72)
ROWS: Final = 15
#: Trusted rows that centres are fitted on at most.
FIT_ROWS: Final = 5_000
#: Encoded values are cut here: one far cell must not make a region of its own.
REACH: Final = 4.0
#: Columns that describe a region.
SAID: Final = 3


@dataclass(frozen=True, slots=True)
class Partition:
    """Centres float32[k, d] in the encoder's columns, and each region in words."""

    centres: Matrix
    names: tuple[str, ...]

    def codes(self, matrix: Matrix) -> Codes:
        """The region of each encoded row float32[n, d]: int32[n] in [0, k)."""
        from sklearn.metrics import pairwise_distances_argmin

        with threads(1):
            found = pairwise_distances_argmin(np.clip(matrix, -REACH, REACH), self.centres)
        return np.asarray(found, dtype=np.int32)


def fit_regions(
    table: pa.Table, encoder: Encoder, matrix: Matrix, *, seed: int
) -> tuple[Partition, ...]:
    """Partitions of trusted rows; fewer of them where rows are few. `matrix` encodes `table`."""
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(matrix))[:FIT_ROWS])
    inside = np.clip(matrix[rows], -REACH, REACH)
    distinct = len(np.unique(inside, axis=0))
    counts = [k for k in COUNTS if k * ROWS <= len(matrix) and k <= distinct]
    return tuple(_partition(table, encoder, inside, rows, k, seed) for k in counts)


def _partition(
    table: pa.Table,
    encoder: Encoder,
    inside: Matrix,
    rows: npt.NDArray[np.int64],
    count: int,
    seed: int,
) -> Partition:
    from sklearn.cluster import KMeans

    with threads(1):  # several threads add up in another order each time
        fitted = KMeans(count, n_init=1, random_state=seed % 2**32).fit(inside)
    usual, spread = inside.mean(axis=0), inside.std(axis=0) + 1e-6
    far = np.abs(fitted.cluster_centers_ - usual) / spread
    taken = table.take(pa.array(rows))
    names = [
        _words(taken.filter(pa.array(fitted.labels_ == i)), encoder, far[i]) for i in range(count)
    ]
    return Partition(fitted.cluster_centers_.astype(np.float32), tuple(names))


def _words(members: pa.Table, encoder: Encoder, far: Matrix) -> str:
    """The columns in which a region differs most, and their usual value in it."""
    origin = np.array(encoder.origin)
    by_column = {c.name: float(far[origin == c.name].max()) for c in encoder.columns}
    most = sorted(by_column, key=lambda name: (-by_column[name], name))[:SAID]
    kind = {column.name: column for column in encoder.columns}
    return "near " + ", ".join(_usual(members.column(name), kind[name]) for name in most)


def _usual(column: pa.ChunkedArray, kind: Any) -> str:
    if isinstance(kind, Category):
        counts = column.cast(pa.string()).combine_chunks().value_counts().to_pylist()
        found = max(counts, key=lambda entry: (entry["counts"], str(entry["values"])))
        return f"{kind.name} = {found['values']}"
    values = numbers(column)
    present = values[~np.isnan(values)]
    middle = f"{float(np.median(present)):.4g}" if present.size else "missing"
    return f"{kind.name} {middle}"
