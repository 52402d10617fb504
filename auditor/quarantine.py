"""Findings in, row sets with reasons out. Rows are set aside; none is deleted or relabelled."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.model import Finding

Rows = npt.NDArray[np.int64]

#: One line a row: position, worst suspicion, the rules that name it, the first reason.
SUSPECTS: Final = pa.schema(
    [
        ("row", pa.int64()),
        ("suspicion", pa.float32()),
        ("rules", pa.string()),
        ("reason", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class RowSet:
    """Rows named by findings, ascending; columns as in `SUSPECTS`."""

    table: pa.Table

    @property
    def rows(self) -> Rows:
        """Positions in the batch, ascending: int64[n]."""
        rows: Rows = self.table.column("row").to_numpy()
        return rows

    def __len__(self) -> int:
        """The number of rows."""
        return int(self.table.num_rows)


def collect(findings: Sequence[Finding]) -> RowSet:
    """The union of the rows of `findings`, each with its worst suspicion, rules and reason."""
    named = [f for f in findings if f.rows is not None and f.rows.num_rows]
    tables = [f.rows for f in named if f.rows is not None]
    if not tables:
        return RowSet(SUSPECTS.empty_table())
    rows = np.concatenate([table.column("row").to_numpy() for table in tables])
    suspicion = np.concatenate([table.column("suspicion").to_numpy() for table in tables])
    claim = np.repeat(np.arange(len(tables)), [table.num_rows for table in tables])
    order = np.lexsort((-suspicion, rows))
    rows, suspicion, claim = rows[order], suspicion[order], claim[order]
    first = np.r_[True, rows[1:] != rows[:-1]]
    starts = np.flatnonzero(first)
    groups = np.split(claim, starts[1:])
    rules = [",".join(sorted({named[i].rule for i in group.tolist()})) for group in groups]
    reasons = [named[int(group[0])].message for group in groups]
    columns = [rows[first], suspicion[first], rules, reasons]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, SUSPECTS, strict=True)]
    return RowSet(pa.table(arrays, schema=SUSPECTS))


def set_digest(batch_digest: str, rows: Rows) -> str:
    """sha256 of the batch digest, a newline, then the ascending row numbers, one a line."""
    digest = hashlib.sha256(f"{batch_digest}\n".encode())
    for start in range(0, len(rows), 65_536):
        part = rows[start : start + 65_536]
        digest.update("".join(f"{row}\n" for row in part.tolist()).encode())
    return digest.hexdigest()
