"""What a sample of its values says about a column: missing, distinct, how long, whether times."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from auditor.batch import Batch, Chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnStatistics:
    """What a sample says about a column. Shares are fractions of 1.

    `distinct_share`: distinct values over values. `mean_length`: characters, 0 for what is not
    text. `parses_as_time`: every sampled value is an ISO-8601 date or time.
    """

    rows: int
    values: int
    distinct: int
    mean_length: float = 0.0
    parses_as_time: bool = False

    @property
    def distinct_share(self) -> float:
        """0 where the column holds no value."""
        return self.distinct / self.values if self.values else 0.0

    @property
    def null_share(self) -> float:
        """0 where there are no rows."""
        return 1 - self.values / self.rows if self.rows else 0.0


Statistics = Mapping[str, ColumnStatistics]


def describe(batch: Batch, sample_rows: int = 10_000) -> dict[str, ColumnStatistics]:
    """Statistics of every column over about `sample_rows` rows, spread evenly over the batch.

    Evenly, because files are often sorted: the first rows of one would show one label only.
    """
    step = max(1, -(-batch.rows // max(sample_rows, 1)))
    columns: dict[str, list[Any]] = {name: [] for name in batch.schema.names}
    for chunk in batch.chunks(batch.schema.names):
        taken = _every(step, chunk)
        for name, found in columns.items():
            found.append(chunk.data.column(name).take(taken))
    return {
        name: _describe(pa.chunked_array(found, batch.schema.field(name).type))
        for name, found in columns.items()
    }


def _every(step: int, chunk: Chunk) -> Any:
    """Positions in the chunk whose row is a multiple of `step`, without `pa.array`.

    `pa.array` imports pandas where that is installed, which takes a second.
    """
    rows = array("q", range(-chunk.start % step, chunk.data.num_rows, step))
    return pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(rows)])


def _describe(values: Any) -> ColumnStatistics:
    rows, present = len(values), len(values) - values.null_count
    if pa.types.is_nested(values.type):
        return ColumnStatistics(rows=rows, values=present, distinct=0)
    known = pc.drop_null(values)
    distinct = pc.count_distinct(known).as_py()
    if not pa.types.is_string(values.type) or not present:
        return ColumnStatistics(rows=rows, values=present, distinct=distinct)
    return ColumnStatistics(
        rows=rows,
        values=present,
        distinct=distinct,
        mean_length=float(pc.mean(pc.utf8_length(known)).as_py()),
        parses_as_time=_parses_as_time(known),
    )


def _parses_as_time(texts: Any) -> bool:
    for type_ in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            pc.cast(texts, type_)
        except pa.ArrowInvalid:
            continue
        return True
    return False
