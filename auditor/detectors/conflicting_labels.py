"""Equal features, other label (attacks: conflicting copies, mislabelled copies of a target).

Shows as rows whose features equal those of another row of the batch, or of a trusted row, while the
label differs, beyond the rate at which trusted rows contradict each other; or equal those of a row
that an earlier batch published, never with this label. The row that the baseline or an earlier
batch holds stays, else the oldest of the family. Misses copies with a changed feature.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from auditor.baseline import Baseline
from auditor.batch import Batch, texts
from auditor.context import Context, Earlier, History
from auditor.copies import (
    Copies,
    Families,
    Rows,
    content_columns,
    family_size,
    group_keys,
    mixed,
)
from auditor.errors import Unavailable
from auditor.model import Effect, Family, Finding, Outcome, Rule, Severity, row_table
from auditor.replays import Natural, earlier_rows, tally
from auditor.rowhash import Words
from auditor.statistics import excess_tail

Mask = npt.NDArray[np.bool_]
#: What is counted of each batch for the ones that follow.
CONFLICTS = "conflicts"


@dataclass(frozen=True, slots=True)
class Options:
    """No settings."""


@dataclass(frozen=True, slots=True)
class ConflictingLabels:
    """AUD-D003."""

    baseline: Baseline | None
    copies: Copies
    history: History | None = None

    options: ClassVar[type] = Options
    rule: ClassVar[Rule] = Rule(
        id="AUD-D003",
        family=Family.DUPLICATION,
        title="Conflicting labels on equal features",
        severity=Severity.HIGH,
        effect=Effect.QUARANTINE,
        attacks=("conflicting-copy",),
        references=("Northcutt et al. 2021, Confident learning", "ATLAS AML.T0020"),
        needs=("label",),
        order_free=False,  # without timestamps the first of a family is the one that stays
    )

    @classmethod
    def load(cls, context: Context) -> ConflictingLabels:
        """Without a baseline conflicts inside the batch are still found, as a note."""
        copies = Copies(context.site_key, context.shared)
        return cls(context.baseline, copies, context.history)

    def scan(self, batch: Batch) -> Outcome:
        """Conflicts inside the batch, with trusted rows, with earlier batches: a finding each."""
        label = batch.roles.label
        if label is None:
            raise Unavailable("no label role")
        columns = [c for c in content_columns(batch, self.baseline) if c != label]
        if not columns:
            raise Unavailable("no feature or text column")
        labels = np.array(texts(batch, label), dtype=object)
        families = self.copies.families(batch, columns)
        found = []
        contradicting = self._against_baseline(families.keys, labels)
        earlier = earlier_rows(self.history, batch, self.copies.site_key)
        older = np.zeros(batch.rows, dtype=bool)
        if earlier is not None:
            whole = self.copies.keys(batch, [*columns, label])
            older = _against_earlier(earlier, families.keys, whole) & ~contradicting
        inside = _inside(families, labels, contradicting | older)
        tests = 3.0 if earlier else 2.0
        if len(inside):
            found.append(self._inside_finding(inside, batch.rows, tests))
        if contradicting.any():
            found.append(self._trusted_finding(np.flatnonzero(contradicting), batch.rows, tests))
        if earlier is None:
            return Outcome(rule=self.rule.id, findings=tuple(found))
        rows, pairs = np.flatnonzero(older), float(batch.rows) * earlier.rows
        if len(rows):
            found.append(self._earlier_finding(rows, pairs, tests))
        updates = (tally(CONFLICTS, rows, pairs),)
        return Outcome(rule=self.rule.id, findings=tuple(found), updates=updates)

    def _against_baseline(self, keys: Words, labels: npt.NDArray[np.object_]) -> Mask:
        """Rows whose features a trusted row has, but never with this label: bool[n]."""
        contradicting = np.zeros(len(keys), dtype=bool)
        if self.baseline is None:
            return contradicting
        index = self.baseline.key_index(features_only=True)
        trusted = self.baseline.trusted_texts("label")
        start, stop = index.spans(keys)
        # Once a trusted row, not once a pair: in tables of few categories rows have many equals.
        carried: dict[int, set[object]] = {}
        for row in np.flatnonzero(stop > start):
            at = int(start[row])
            if at not in carried:
                carried[at] = set(trusted[index.order[at : stop[row]]])
            contradicting[row] = labels[row] not in carried[at]
        return contradicting

    def _inside_finding(self, rows: Rows, total: int, tests: float) -> Finding:
        known, base, size = self._trusted_conflicts()
        # Pairs grow with the square of the rows: a longer batch contradicts itself more.
        slack = 1.25 * max(1.0, total / max(base, 1))
        p = excess_tail(len(rows) / (size - 1), total, known / size, base, slack=slack)
        return Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"{len(rows)} rows repeat the features of an older row with another label",
            p_value=min(1.0, tests * p) if base else None,
            evidence={"conflicting_rows": len(rows), "trusted_conflicts": known},
            rows=row_table(rows, 0.95),
            calibrated=base > 0,
        )

    def _trusted_finding(self, rows: Rows, total: int, tests: float) -> Finding:
        known, base, size = self._trusted_conflicts()
        p = excess_tail(len(rows), total, known, base, clump=size)
        return Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"{len(rows)} rows have the features of a trusted row and another label",
            p_value=min(1.0, tests * p),
            evidence={"conflicting_rows": len(rows), "trusted_conflicts": known},
            rows=row_table(rows, 0.98),
        )

    def _earlier_finding(self, rows: Rows, pairs: float, tests: float) -> Finding:
        assert self.history is not None
        natural = Natural.seen(self.history.tallies(self.rule.id, CONFLICTS))
        known, base, size = self._trusted_conflicts()
        if base:
            natural = natural.with_trusted(known, base, size)
        p = natural.tail(len(rows), pairs)
        return Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"{len(rows)} rows have the features of a row that an earlier batch published, "
            "and another label",
            p_value=None if p is None else min(1.0, tests * p),
            evidence={
                "conflicting_rows": len(rows),
                "expected": round(natural.expected(pairs), 2),
            },
            rows=row_table(rows, 0.97),
            calibrated=p is not None,
        )

    def _trusted_conflicts(self) -> tuple[int, int, float]:
        """Trusted rows in families with more than one label, all trusted rows, family size."""
        if self.baseline is None:
            return 0, 0, 2.0
        rows, group = group_keys(self.baseline.row_keys(features_only=True))
        odd = mixed(group, self.baseline.trusted_texts("label")[rows])
        return int(odd.sum()), self.baseline.keys.num_rows, family_size(group[odd])


def _against_earlier(earlier: Earlier, features: Words, whole: Words) -> Mask:
    """Rows whose features an earlier batch published, but never with this label: bool[n]."""
    return earlier.keys.hold(features, features_only=True) & ~earlier.keys.hold(whole)


def _inside(families: Families, labels: npt.NDArray[np.object_], contradicting: Mask) -> Rows:
    """Rows whose label differs from the oldest uncontradicted row of their family: int64[k]."""
    keep: dict[int, object] = {}
    for row, number in zip(families.rows.tolist(), families.family.tolist(), strict=True):
        if not contradicting[row]:
            keep.setdefault(number, labels[row])
    differing = [
        row
        for row, number in zip(families.rows.tolist(), families.family.tolist(), strict=True)
        if number in keep and labels[row] != keep[number] and not contradicting[row]
    ]
    return np.array(sorted(differing), dtype=np.int64)
