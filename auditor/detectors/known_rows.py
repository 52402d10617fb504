"""Rows that were sent before (attacks: replay, copies of accepted rows to raise their weight).

Shows as batch rows whose keyed 128-bit key occurs among the trusted rows, or among the rows that an
earlier batch published, beyond the rate at which trusted rows repeat each other and earlier batches
repeated each other. The batch itself, audited again, is no earlier batch. Misses copies with a
changed cell, and rows of earlier batches that were set aside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from auditor.baseline import Baseline
from auditor.batch import Batch
from auditor.context import Context, History
from auditor.copies import Copies, Rows, content_columns
from auditor.errors import Unavailable
from auditor.model import Effect, Family, Finding, Outcome, Rule, Severity, row_table
from auditor.replays import Natural, earlier_rows, tally
from auditor.rowhash import KeyIndex
from auditor.statistics import excess_tail

#: What is counted of each batch for the ones that follow.
REPEATS = "repeats"


@dataclass(frozen=True, slots=True)
class Options:
    """No settings."""


@dataclass(frozen=True, slots=True)
class KnownRows:
    """AUD-D002."""

    baseline: Baseline | None
    copies: Copies
    history: History | None = None

    options: ClassVar[type] = Options
    rule: ClassVar[Rule] = Rule(
        id="AUD-D002",
        family=Family.DUPLICATION,
        title="Rows that were sent before",
        severity=Severity.MEDIUM,
        effect=Effect.QUARANTINE,
        attacks=("exact-copy", "replay"),
        references=("Lee et al. 2022, Deduplicating training data", "ATLAS AML.T0020"),
        row_local=True,
    )

    @classmethod
    def load(cls, context: Context) -> KnownRows:
        """Needs a baseline, or an earlier batch."""
        if context.baseline is None and context.history is None:
            raise Unavailable("needs a baseline or an earlier batch")
        copies = Copies(context.site_key, context.shared)
        return cls(context.baseline, copies, context.history)

    def scan(self, batch: Batch) -> Outcome:
        """One finding for rows that the baseline holds, one for those of earlier batches."""
        keys = self.copies.keys(batch, content_columns(batch, self.baseline))
        earlier = earlier_rows(self.history, batch, self.copies.site_key)
        if self.baseline is None and earlier is None:
            raise Unavailable("needs a baseline or an earlier batch with the same columns")
        index = self.baseline.key_index() if self.baseline else None
        trusted = index.counts(keys) > 0 if index else np.zeros(len(keys), dtype=bool)
        findings = []
        if index is not None and trusted.any():
            rows = np.flatnonzero(trusted)
            findings.append(self._trusted(rows, batch.rows, index, 2.0 if earlier else 1.0))
        if earlier is None:
            return Outcome(rule=self.rule.id, findings=tuple(findings))
        held = np.flatnonzero(earlier.keys.hold(keys) & ~trusted)
        pairs = float(batch.rows) * earlier.rows
        if len(held):
            findings.append(self._repeated(held, pairs, index, 2.0 if index else 1.0))
        updates = (tally(REPEATS, held, pairs),)
        return Outcome(rule=self.rule.id, findings=tuple(findings), updates=updates)

    def _trusted(self, rows: Rows, total: int, known: KeyIndex, tests: float) -> Finding:
        repeated = known.repeated
        expected = repeated * total / max(len(known), 1)
        p = excess_tail(len(rows), total, repeated, len(known), clump=known.family_size)
        return Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"{len(rows)} rows are in the baseline already, about {expected:.1f} expected",
            p_value=min(1.0, tests * p),
            evidence={"known_rows": len(rows), "expected": round(expected, 2)},
            rows=row_table(rows, 0.9),
        )

    def _repeated(self, rows: Rows, pairs: float, known: KeyIndex | None, tests: float) -> Finding:
        assert self.history is not None
        natural = Natural.seen(self.history.tallies(self.rule.id, REPEATS))
        if known is not None:
            natural = natural.with_trusted(known.repeated, len(known), known.family_size)
        expected, p = natural.expected(pairs), natural.tail(len(rows), pairs)
        about = f"about {expected:.1f} expected" if natural.known else "no rate is known yet"
        return Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"{len(rows)} rows were published in an earlier batch, {about}",
            p_value=None if p is None else min(1.0, tests * p),
            evidence={"repeated_rows": len(rows), "expected": round(expected, 2)},
            rows=row_table(rows, 0.9),
            calibrated=p is not None,
        )
