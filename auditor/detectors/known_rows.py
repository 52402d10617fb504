"""Rows that the baseline already holds (attack: sending accepted rows again to raise their weight).

Shows as batch rows whose keyed 128-bit key occurs among the trusted rows, beyond the rate at which
trusted rows repeat each other. Misses copies with a changed cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from auditor.baseline import Baseline
from auditor.batch import Batch
from auditor.context import Context
from auditor.copies import Copies, content_columns
from auditor.errors import Unavailable
from auditor.model import Effect, Family, Finding, Outcome, Rule, Severity, row_table
from auditor.statistics import excess_tail


@dataclass(frozen=True, slots=True)
class Options:
    """No settings."""


@dataclass(frozen=True, slots=True)
class KnownRows:
    """AUD-D002."""

    baseline: Baseline
    copies: Copies

    options: ClassVar[type] = Options
    rule: ClassVar[Rule] = Rule(
        id="AUD-D002",
        family=Family.DUPLICATION,
        title="Rows already in the baseline",
        severity=Severity.MEDIUM,
        effect=Effect.QUARANTINE,
        attacks=("exact-copy",),
        references=("Lee et al. 2022, Deduplicating training data", "ATLAS AML.T0020"),
        row_local=True,
    )

    @classmethod
    def load(cls, context: Context) -> KnownRows:
        """Needs a baseline."""
        if context.baseline is None:
            raise Unavailable("needs a baseline")
        return cls(context.baseline, Copies(context.site_key, context.shared))

    def scan(self, batch: Batch) -> Outcome:
        """At most one finding: all rows that the baseline holds."""
        keys = self.copies.keys(batch, content_columns(batch, self.baseline))
        known = self.baseline.key_index()
        rows = np.flatnonzero(known.counts(keys))
        if not len(rows):
            return Outcome(rule=self.rule.id)
        repeated = known.repeated
        expected = repeated * batch.rows / max(len(known), 1)
        finding = Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"{len(rows)} rows are in the baseline already, about {expected:.1f} expected",
            p_value=excess_tail(
                len(rows), batch.rows, repeated, len(known), clump=known.family_size
            ),
            evidence={"known_rows": len(rows), "expected": round(expected, 2)},
            rows=row_table(rows, 0.9),
        )
        return Outcome(rule=self.rule.id, findings=(finding,))
