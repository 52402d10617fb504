"""Further members of families of near copies, among the rows that were not compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from auditor.batch import Batch
from auditor.features import Encoder, Matrix
from auditor.near_copies.closeness import Closeness, Floats, Rows
from auditor.near_copies.families import Families
from auditor.near_copies.pairs import REACH

#: Members that other rows are compared with, spread over the families.
TEMPLATES: Final = 512
#: Rows compared with all templates at a time: a block of distances that fits in the caches.
BLOCK: Final = 8_192


@dataclass(frozen=True, slots=True)
class Spread:
    """What a pool was made of: `table` holds its batch rows, `matrix` all of its encoded rows."""

    closeness: Closeness
    encoder: Encoder
    trusted: pa.Table
    table: pa.Table
    matrix: Matrix


def more_members(batch: Batch, spread: Spread, compared: Rows, group: Families) -> Rows:
    """Positions in the batch of rows as close to a member as its family is: int64[n], ascending.

    `compared` int64[k]: positions of the rows that are in the pool. Each row is scored against the
    one member that is nearest in the encoded space, if it is as near as members are to each other.
    """
    templates = _templates(group)
    members, least = group.rows[templates], group.least[templates]
    centres = np.clip(spread.matrix[members], -REACH, REACH)
    known = spread.table.take(pa.array(members - spread.closeness.rows))
    reach = _reach(spread, group, centres)
    found: list[Rows] = []
    for chunk in batch.chunks(list(spread.closeness.names)):
        encoded = np.clip(spread.encoder.transform(chunk.data), -REACH, REACH)
        nearest, distance = _nearest(encoded, centres)
        near = np.flatnonzero(distance <= reach)
        near = near[~np.isin(chunk.start + near, compared)]
        if len(near):
            rows = pa.Table.from_batches([chunk.data]).take(pa.array(near))
            score = _scores(spread, known, rows, nearest[near])
            found.append(chunk.start + near[score > least[nearest[near]]])
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def _templates(group: Families) -> Rows:
    """Places in the group of at most `TEMPLATES` members, by turns from each family."""
    order = np.argsort(group.number, kind="stable")
    number = group.number[order]
    start = np.searchsorted(number, number, side="left")
    turn = np.arange(len(order)) - start
    chosen: Rows = order[np.argsort(turn, kind="stable")][:TEMPLATES]
    return chosen


def _reach(spread: Spread, group: Families, centres: Matrix) -> float:
    """The largest distance of a member to the nearest other template."""
    own = np.clip(spread.matrix[group.rows], -REACH, REACH)
    squared = _squared(own, centres)
    squared[squared < 1e-9] = np.inf
    finite = squared.min(axis=1)
    finite = finite[np.isfinite(finite)]
    return float(np.sqrt(finite.max())) if len(finite) else 0.0


def _nearest(encoded: Matrix, centres: Matrix) -> tuple[Rows, Floats]:
    """The nearest template of each row, and how far it is: int64[n], float64[n]."""
    nearest = np.zeros(len(encoded), dtype=np.int64)
    distance = np.zeros(len(encoded))
    for start in range(0, len(encoded), BLOCK):
        squared = _squared(encoded[start : start + BLOCK], centres)
        best = squared.argmin(axis=1)
        nearest[start : start + BLOCK] = best
        distance[start : start + BLOCK] = np.sqrt(squared[np.arange(len(best)), best])
    return nearest, distance


def _squared(rows: Matrix, centres: Matrix) -> Floats:
    product = rows @ centres.T
    own, other = (rows**2).sum(axis=1)[:, None], (centres**2).sum(axis=1)[None, :]
    squared: Floats = np.maximum(own + other - 2 * product, 0.0).astype(np.float64)
    return squared


def _scores(spread: Spread, known: pa.Table, rows: pa.Table, nearest: Rows) -> Floats:
    """The closeness of each row to its template: float64[n]."""
    columns = list(spread.closeness.names)
    both = pa.concat_tables([known.select(columns), rows], promote_options="permissive")
    cells = spread.closeness.cells(spread.trusted, both)
    first = spread.closeness.rows
    left = first + nearest
    right = first + known.num_rows + np.arange(rows.num_rows)
    return spread.closeness.scores(cells, left, right)[0]
