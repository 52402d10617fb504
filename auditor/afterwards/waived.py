"""What a release is judged by: the rows of two batches together, less what people waived. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditor.batch import Batch, BatchKind, Chunk, Roles
from auditor.model import Finding, Outcome

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Joined:
    """The rows of two batches after each other, under one digest and the same roles."""

    first: Batch
    second: Batch
    digest: str
    roles: Roles
    kind: BatchKind

    @property
    def schema(self) -> pa.Schema:
        """That of both."""
        return self.second.schema

    @property
    def rows(self) -> int:
        """Of both."""
        return self.first.rows + self.second.rows

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """See `Batch.chunks`."""
        yield from self.first.chunks(columns)
        for chunk in self.second.chunks(columns):
            yield Chunk(self.first.rows + chunk.start, chunk.data)


@dataclass(frozen=True, slots=True)
class Waived:
    """Rule -> the released rows for which its claims were waived: bool[rows]."""

    rules: Mapping[str, Mask]

    def narrowed(self, outcome: Outcome, before: int) -> Outcome:
        """An outcome as far as it is about released rows, which start at row `before`.

        What is waived stays, marked so; the policy only notes it.
        """
        findings = [part for finding in outcome.findings for part in self._parts(finding, before)]
        ranking = outcome.ranking
        if ranking is not None and before:
            ranking = _from(ranking, before)
        # The batch that the rows came with has counted them already.
        return replace(outcome, findings=tuple(findings), ranking=ranking, updates=())

    def _parts(self, finding: Finding, before: int) -> Iterator[Finding]:
        if finding.rows is None:
            yield finding
            return
        rows = _from(finding.rows, before)
        waived = self.rules.get(finding.rule)
        if waived is None:
            waived = np.zeros(0, dtype=bool)
        known = np.zeros(rows.num_rows, dtype=bool)
        places = rows.column("row").to_numpy()
        known[places < len(waived)] = waived[places[places < len(waived)]]
        for mark, mask in ((True, known), (False, ~known)):
            if mask.any():
                evidence = {**finding.evidence, **({"waived": True} if mark else {})}
                yield replace(finding, rows=rows.filter(pa.array(mask)), evidence=evidence)


def _from(table: pa.Table, before: int) -> pa.Table:
    """The lines about rows from `before` on, counted from there."""
    kept = table.filter(pc.greater_equal(table.column("row"), before))
    moved = pc.subtract(kept.column("row"), before).combine_chunks()
    return kept.set_column(0, kept.schema.field("row"), moved)
