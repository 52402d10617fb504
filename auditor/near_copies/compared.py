"""The rows that are compared: trusted ones and the batch's, or the batch's alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.baseline import Baseline
from auditor.batch import Batch, as_text
from auditor.coded import code, coded
from auditor.copies import age, take_rows
from auditor.errors import Unavailable
from auditor.features import Encoder
from auditor.near_copies.closeness import Closeness, Floats, Rows
from auditor.near_copies.crowding import crowded
from auditor.near_copies.pairs import PARTS, Pool, pool
from auditor.near_copies.search import Spread

Mask = npt.NDArray[np.bool_]

#: Trusted rows that are compared; batch rows beyond `PARTS` times as many are sampled.
TRUSTED_ROWS: Final = 4_000


@dataclass(frozen=True, slots=True)
class Compared:
    """The batch rows in a pool: `rows` int64[n] their positions in the batch, oldest first.

    `plausible` bool[pool]: rows that may be an original by who sent them. `senders` int64[rows of
    the batch]: who sent each (-1 unknown); None without that role. `trusted_senders` int64[trusted
    rows]: the same by numbers of their own.
    """

    pool: Pool
    rows: Rows
    plausible: Mask
    spread: Spread
    senders: Rows | None
    trusted_senders: Rows

    @classmethod
    def of(cls, batch: Batch, baseline: Baseline, seed: int, most: int) -> Compared:
        """Trusted rows and up to `most` of the batch's, a seeded sample, in one pool."""
        rng = np.random.default_rng([baseline.seed % 2**63, 5])
        kept = np.sort(rng.permutation(baseline.sample.num_rows)[:TRUSTED_ROWS])
        trusted = baseline.sample.take(pa.array(kept))
        closeness = _closeness(trusted, baseline.roles.features)
        encoder = Encoder.fit(trusted, closeness.names)
        rows = _chosen(batch, min(most, PARTS * len(kept)), seed)
        rows = rows[np.lexsort((rows, age(batch, rows)))]
        roles = batch.roles
        wanted = (*closeness.names, roles.label, roles.contributor)
        table = _taken(batch, [*dict.fromkeys(name for name in wanted if name)], rows)
        matrix = np.concatenate([encoder.transform(trusted), encoder.transform(table)])
        labels, cells = _joined(trusted, table, roles.label), closeness.cells(trusted, table)
        return cls(
            pool(closeness, cells, matrix, labels, seed),
            rows,
            _plausible(baseline, trusted, table),
            Spread(closeness, encoder, trusted, table, matrix),
            coded(batch, roles.contributor).codes if roles.contributor else None,
            _who(trusted, baseline.roles.contributor),
        )

    @property
    def pool_senders(self) -> Rows | None:
        """Who sent each row of the pool: int64[pool]."""
        if self.senders is None:
            return None
        found: Rows = np.r_[self.trusted_senders, self.senders[self.rows]]
        return found

    def position(self, members: Rows) -> Rows:
        """Positions in the batch of positions in the pool."""
        found: Rows = self.rows[members - self.pool.closeness.rows]
        return found


def crowded_rows(batch: Batch, seed: int, most: int) -> Floats:
    """A tail for each row from the batch alone, 1 where it was not compared: float64[rows]."""
    rows = _chosen(batch, most, seed)
    table = take_rows(batch, batch.roles.features, rows)
    closeness = _closeness(table, batch.roles.features)
    matrix = Encoder.fit(table, closeness.names).transform(table)
    tails = np.ones(batch.rows)
    tails[rows] = crowded(closeness, closeness.cells(table, table.slice(0, 0)), matrix, seed)
    return tails


def _closeness(table: pa.Table, features: Sequence[str]) -> Closeness:
    closeness = Closeness.of(table, features)
    if not closeness.columns:
        raise Unavailable("no number or category among the feature columns")
    return closeness


def _who(trusted: pa.Table, contributor: str | None) -> Rows:
    if contributor is None:
        return np.full(trusted.num_rows, -1)
    return code(trusted.column(contributor).chunks).codes


def _chosen(batch: Batch, most: int, seed: int) -> Rows:
    """Positions of the rows that are compared, ascending; at most `most`."""
    if batch.rows <= most:
        return np.arange(batch.rows)
    rng = np.random.default_rng([seed, 3])
    found: Rows = np.sort(rng.choice(batch.rows, most, replace=False, shuffle=False))
    return found.astype(np.int64)


def _plausible(baseline: Baseline, trusted: pa.Table, table: pa.Table) -> Mask:
    """Rows that may be an original: from a contributor whom trusted rows know, if they do."""
    everybody = np.ones(trusted.num_rows + table.num_rows, dtype=bool)
    mine = baseline.roles.contributor
    if mine is None or mine not in table.column_names:
        return everybody
    known = set(baseline.trusted_texts("contributor").tolist())
    sent = as_text(table.column(mine)).to_pylist()
    everybody[trusted.num_rows :] = [name in known for name in sent]
    return everybody


def _taken(batch: Batch, columns: list[str], rows: Rows) -> pa.Table:
    """The rows in the given order."""
    order = np.argsort(rows, kind="stable")
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return take_rows(batch, columns, rows[order]).take(pa.array(back))


def _joined(
    trusted: pa.Table, table: pa.Table, label: str | None
) -> npt.NDArray[np.object_] | None:
    """Labels of both tables as text, None where one has none."""
    if label is None or label not in trusted.column_names:
        return None
    texts = [as_text(part.column(label)).to_pylist() for part in (trusted, table)]
    return np.array([*texts[0], *texts[1]], dtype=object)
