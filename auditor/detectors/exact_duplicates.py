"""Exact copies inside the batch (attack: repeating rows to raise their weight).

Shows as rows equal in every feature, text and label beyond what the baseline repeats itself; ids,
contributors and times are left out, a copy comes with new ones. Two tests: all extra copies
together, and each family by itself: a natural family is a row that is common among the trusted rows
too, or a family of a size that occurs there too.
Misses copies with one changed cell (AUD-D003 sees a changed label, AUD-D005 near copies).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from auditor.baseline import Baseline
from auditor.batch import Batch
from auditor.context import Context
from auditor.copies import Copies, Families, Rows, content_columns
from auditor.model import Effect, Family, Finding, Outcome, Rule, Severity, row_table
from auditor.rowhash import KeyIndex
from auditor.statistics import P_FLOOR, excess_tail, holm, negative_binomial_tail


@dataclass(frozen=True, slots=True)
class Options:
    """`family_level`: corrected p-value below which a family is reported by itself."""

    family_level: float = 0.01


@dataclass(frozen=True, slots=True)
class ExactDuplicates:
    """AUD-D001."""

    baseline: Baseline | None
    copies: Copies
    settings: Options

    options: ClassVar[type] = Options
    rule: ClassVar[Rule] = Rule(
        id="AUD-D001",
        family=Family.DUPLICATION,
        title="Exact duplicates",
        severity=Severity.MEDIUM,
        effect=Effect.QUARANTINE,
        attacks=("exact-copy", "injection"),
        references=("Lee et al. 2022, Deduplicating training data", "ATLAS AML.T0020"),
        order_free=False,  # without timestamps the first of a family is the one that stays
    )

    @classmethod
    def load(cls, context: Context) -> ExactDuplicates:
        """Without a baseline copies are still found, as a note."""
        options = context.options(cls.rule.id, Options)
        return cls(context.baseline, Copies(context.site_key, context.shared), options)

    def scan(self, batch: Batch) -> Outcome:
        """One finding for the excess over all families, one for each family that stands out."""
        families = self.copies.families(batch, content_columns(batch, self.baseline))
        if not len(families.rows):
            return Outcome(rule=self.rule.id)
        if self.baseline is None:
            return Outcome(rule=self.rule.id, findings=(self._note(families, batch.rows),))
        known = self.baseline.key_index()
        return Outcome(rule=self.rule.id, findings=self._judge(families, known, batch.rows))

    def _note(self, families: Families, rows: int) -> Finding:
        return Finding(
            rule=self.rule.id,
            severity=Severity.LOW,
            message=f"{len(families.extra)} of {rows} rows repeat another row exactly; "
            "no baseline says how many are usual",
            evidence={"extra_copies": len(families.extra), "families": len(families.sizes)},
            rows=row_table(families.extra, 0.5),
            calibrated=False,
        )

    def _judge(self, families: Families, known: KeyIndex, rows: int) -> tuple[Finding, ...]:
        counted = known.counts(families.keys[families.heads])
        extra_known = known.extra
        exposure = rows / max(len(known), 1)
        # Pairs grow with the square of the rows: a longer batch repeats itself more.
        growth = max(1.0, exposure)
        together = known.extra_at_once  # a double click, a feed sent twice: copies come in clumps
        total = excess_tail(
            len(families.extra) / together,
            rows,
            extra_known / together,
            len(known),
            slack=1.25 * growth,
        )
        each = holm(
            [
                min(1.0, 2 * excess_tail(int(size), rows, int(count), len(known)))
                for size, count in zip(families.sizes, counted, strict=True)
            ]
        )
        single = np.maximum(each, _size_tails(families.sizes, known, 1.25 * exposure * growth))
        unexplained = families.sizes > counted * exposure * 2 + 1
        findings = [
            self._excess(
                families, unexplained, min(1.0, 2 * total), extra_known * exposure * growth
            )
        ]
        for number in np.flatnonzero(single <= self.settings.family_level)[:100]:
            p, seen = float(single[number]), int(counted[number])
            findings.append(self._family(families, int(number), p, seen))
        return tuple(findings)

    def _excess(
        self, families: Families, unexplained: npt.NDArray[np.bool_], p: float, expected: float
    ) -> Finding:
        rows = families.rows[~families.first & unexplained[families.family]]
        return Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"{len(families.extra)} extra copies in {len(families.sizes)} families, "
            f"about {expected:.1f} expected from the baseline",
            p_value=max(p, P_FLOOR),
            evidence={
                "extra_copies": len(families.extra),
                "families": len(families.sizes),
                "largest_family": int(families.sizes.max()),
                "expected": round(expected, 2),
            },
            rows=row_table(rows, 0.9),
        )

    def _family(self, families: Families, number: int, p: float, known: int) -> Finding:
        member = families.family == number
        rows = families.rows[member & ~families.first]
        head = int(families.rows[member & families.first][0])
        return Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"row {head} occurs {len(rows) + 1} times, {known} times in the baseline",
            p_value=max(p, P_FLOOR),
            evidence={"first_row": head, "copies": len(rows) + 1, "in_baseline": known},
            rows=row_table(rows, 0.95),
        )


def _size_tails(sizes: Rows, known: KeyIndex, exposure: float) -> npt.NDArray[np.float64]:
    """P(some family of the batch has at least this size), doubled: float64[families].

    The sizes of trusted families beyond two rows are taken as geometric, with a uniform prior.
    """
    families, extra = known.families, known.extra
    onward = (extra - families + 1) / (extra + 2)
    expected = exposure * (families + 0.5) * onward ** (sizes - 2.0)
    tails = [negative_binomial_tail(1, float(mean), families + 0.5) for mean in expected]
    return np.minimum(1.0, 2.0 * np.array(tails))
