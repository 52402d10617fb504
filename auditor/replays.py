"""How often rows are expected to come again, from what earlier batches did by themselves.

P(a row equals one of H earlier rows) is 0 at H = 0 and never grows faster than H. A rate by row and
earlier row, measured on a shorter history, is therefore not too small for a longer one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.batch import Batch
from auditor.context import Earlier, History
from auditor.model import Tally
from auditor.rowhash import scheme
from auditor.statistics import excess_tail


@dataclass(frozen=True, slots=True)
class Natural:
    """Rows that came again in `pairs` of a row and an earlier row; `clump`: rows at a time."""

    rows: float
    pairs: float
    clump: float = 1.0

    @classmethod
    def seen(cls, tallies: npt.NDArray[np.float64]) -> Natural:
        """From earlier batches: (rows, pairs) of each, float64[batches, 2]."""
        rows = tallies[:, 0]
        clump = float((rows**2).sum() / rows.sum()) if rows.any() else 1.0
        return cls(float(rows.sum()), float(tallies[:, 1].sum()), max(1.0, clump))

    def with_trusted(self, rows: float, total: int, clump: float) -> Natural:
        """And of `total` trusted rows, `rows` that equal another one, in families of `clump`."""
        larger = max(self.clump, clump) if rows else self.clump
        return Natural(self.rows + rows, self.pairs + float(total) ** 2, larger)

    @property
    def known(self) -> bool:
        """Whether anything could have come again before."""
        return self.pairs > 0

    def expected(self, pairs: float) -> float:
        """Rows that are expected to come again."""
        return self.rows * pairs / self.pairs if self.pairs else 0.0

    def tail(self, rows: int, pairs: float) -> float | None:
        """P(at least so many come again); None where no rate is known."""
        if not self.known:
            return None
        # In units of pairs, scaled so that both fit: the law depends on their ratio only.
        scale = max(self.pairs, pairs) / 1e9
        return excess_tail(
            rows,
            max(1, round(pairs / scale)),
            self.rows,
            max(1, round(self.pairs / scale)),
            clump=self.clump,
        )


def earlier_rows(history: History | None, batch: Batch, site_key: bytes) -> Earlier | None:
    """What earlier batches published under the same keys; None where that is nothing."""
    if history is None or not batch.roles.content:
        return None
    found = history.earlier(scheme(batch.schema, batch.roles.content, site_key))
    return found if found.rows else None


def tally(name: str, rows: npt.NDArray[np.int64], pairs: float) -> Tally:
    """What later batches will be compared with."""
    return Tally(name=name, rows=pa.array(rows, pa.int64()), exposure=pairs)
