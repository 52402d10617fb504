"""Equal features, other label (attacks: conflicting copies, mislabelled copies of a target).

Shows as rows whose features equal those of another row of the batch, or of a trusted row, while the
label differs, beyond the rate at which trusted rows contradict each other. The row that the
baseline holds stays, else the oldest of the family. Misses copies with a changed feature.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from auditor.baseline import Baseline
from auditor.batch import Batch, texts
from auditor.context import Context
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
from auditor.rowhash import Words
from auditor.statistics import excess_tail

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Options:
    """No settings."""


@dataclass(frozen=True, slots=True)
class ConflictingLabels:
    """AUD-D003."""

    baseline: Baseline | None
    copies: Copies

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
        return cls(context.baseline, Copies(context.site_key, context.shared))

    def scan(self, batch: Batch) -> Outcome:
        """One finding for conflicts inside the batch, one for conflicts with trusted rows."""
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
        inside = _inside(families, labels, contradicting)
        if len(inside):
            found.append(self._inside_finding(inside, batch.rows))
        if contradicting.any():
            found.append(self._trusted_finding(np.flatnonzero(contradicting), batch.rows))
        return Outcome(rule=self.rule.id, findings=tuple(found))

    def _against_baseline(self, keys: Words, labels: npt.NDArray[np.object_]) -> Mask:
        """Rows whose features a trusted row has, but never with this label: bool[n]."""
        contradicting = np.zeros(len(keys), dtype=bool)
        if self.baseline is None:
            return contradicting
        index = self.baseline.key_index(features_only=True)
        trusted = self.baseline.trusted_texts("label")
        start, stop = index.spans(keys)
        # Once a trusted row, not once a pair: in tables of few categories every row has many equals.
        carried: dict[int, set[object]] = {}
        for row in np.flatnonzero(stop > start):
            at = int(start[row])
            if at not in carried:
                carried[at] = set(trusted[index.order[at : stop[row]]])
            contradicting[row] = labels[row] not in carried[at]
        return contradicting

    def _inside_finding(self, rows: Rows, total: int) -> Finding:
        known, base, size = self._trusted_conflicts()
        # Pairs grow with the square of the rows: a longer batch contradicts itself more.
        slack = 1.25 * max(1.0, total / max(base, 1))
        p = excess_tail(len(rows) / (size - 1), total, known / size, base, slack=slack)
        return Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"{len(rows)} rows repeat the features of an older row with another label",
            p_value=_doubled(p) if base else None,
            evidence={"conflicting_rows": len(rows), "trusted_conflicts": known},
            rows=row_table(rows, 0.95),
            calibrated=base > 0,
        )

    def _trusted_finding(self, rows: Rows, total: int) -> Finding:
        known, base, size = self._trusted_conflicts()
        return Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"{len(rows)} rows have the features of a trusted row and another label",
            p_value=_doubled(excess_tail(len(rows), total, known, base, clump=size)),
            evidence={"conflicting_rows": len(rows), "trusted_conflicts": known},
            rows=row_table(rows, 0.98),
        )

    def _trusted_conflicts(self) -> tuple[int, int, float]:
        """Trusted rows in families with more than one label, all trusted rows, family size."""
        if self.baseline is None:
            return 0, 0, 2.0
        rows, group = group_keys(self.baseline.row_keys(features_only=True))
        odd = mixed(group, self.baseline.trusted_texts("label")[rows])
        return int(odd.sum()), self.baseline.keys.num_rows, family_size(group[odd])


def _doubled(p: float) -> float:
    """Because conflicts are counted inside the batch and against trusted rows."""
    return min(1.0, 2.0 * p)


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
