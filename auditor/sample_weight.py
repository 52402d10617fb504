"""The column of sample weights in published files: who adds it, leaves it out, or supplies it.

Part of what the base install runs: a training job reads published files with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

#: Incoming data may not have a column of this name: nobody weighs the own rows.
COLUMN: Final = "_auditor_weight"
FIELD: Final = pa.field(COLUMN, pa.float32())


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleWeight:
    """What the column `_auditor_weight` of published files holds: 0 for `rows` of them, else 1.

    `share`: how much of the batch was to be trimmed at most, rows set aside among it. `rule` knew
    the loss. A release has none: people let its rows go, and all have weight 1.
    """

    share: float
    rule: str
    rows: int


def with_weights(rows: pa.RecordBatch, values: Any) -> pa.RecordBatch:
    """The rows with the column behind the others; `values` float32[rows]."""
    columns = [*rows.columns, pa.array(values, FIELD.type)]
    return pa.RecordBatch.from_arrays(columns, schema=with_field(rows.schema))


def completed(table: pa.Table) -> pa.Table:
    """The table with the column: of a file that has none, nothing was trimmed."""
    if COLUMN in table.column_names:
        return table
    return table.append_column(FIELD, pa.repeat(pa.scalar(1.0, FIELD.type), table.num_rows))


def with_field(schema: pa.Schema) -> pa.Schema:
    """The schema with the column."""
    return schema if COLUMN in schema.names else schema.append(FIELD)


def without_field(schema: pa.Schema) -> pa.Schema:
    """The columns that a supplier sent."""
    place = schema.get_field_index(COLUMN)
    return schema if place < 0 else schema.remove(place)
