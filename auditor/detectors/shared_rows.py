"""The same rows from several contributors (attack: one sender under several names).

Shows as families of equal rows that span contributors, beyond the rate among trusted rows; the
finding names the contributors that share most. A note by default: AUD-D001 sets extra copies aside.
Misses Sybils that change a cell in each copy.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from auditor.baseline import Baseline
from auditor.batch import Batch, texts
from auditor.context import Context
from auditor.copies import (
    Copies,
    Rows,
    content_columns,
    family_size,
    group_keys,
    mixed,
)
from auditor.errors import Unavailable
from auditor.model import Effect, Family, Finding, Outcome, Rule, Severity, row_table
from auditor.statistics import excess_tail


@dataclass(frozen=True, slots=True)
class Options:
    """No settings."""


@dataclass(frozen=True, slots=True)
class SharedRows:
    """AUD-D004."""

    baseline: Baseline | None
    copies: Copies

    options: ClassVar[type] = Options
    rule: ClassVar[Rule] = Rule(
        id="AUD-D004",
        family=Family.DUPLICATION,
        title="The same rows from several contributors",
        severity=Severity.MEDIUM,
        effect=Effect.NOTE,
        attacks=("injection",),
        references=("Fung et al. 2020, FoolsGold", "ATLAS AML.T0020"),
        needs=("contributor",),
    )

    @classmethod
    def load(cls, context: Context) -> SharedRows:
        """Without a baseline shared rows are still found, as a note."""
        return cls(context.baseline, Copies(context.site_key, context.shared))

    def scan(self, batch: Batch) -> Outcome:
        """At most one finding: all rows whose family spans contributors."""
        if batch.roles.contributor is None:
            raise Unavailable("no contributor role")
        families = self.copies.families(batch, content_columns(batch, self.baseline))
        senders = np.array(texts(batch, batch.roles.contributor), dtype=object)[families.rows]
        shared = mixed(families.family, senders)
        rows = families.rows[shared]
        if not len(rows):
            return Outcome(rule=self.rule.id)
        known, base, together = self._trusted()
        # Pairs grow with the square of the rows: a longer batch shares more within itself.
        slack = 1.25 * max(1.0, batch.rows / max(base, 1))
        p = excess_tail(len(rows) / together, batch.rows, known / together, base, slack=slack)
        finding = Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"{len(rows)} equal rows came from more than one contributor",
            p_value=p if base else None,
            evidence={
                "rows": len(rows),
                "trusted_rows": known,
                **_pairs(families.family[shared], senders[shared]),
            },
            rows=row_table(np.sort(rows), 0.6),
            calibrated=base > 0,
        )
        return Outcome(rule=self.rule.id, findings=(finding,))

    def _trusted(self) -> tuple[int, int, float]:
        """Trusted rows shared between contributors, trusted rows (0 if not known), family size."""
        if self.baseline is None or self.baseline.roles.contributor is None:
            return 0, 0, 2.0
        rows, group = group_keys(self.baseline.row_keys())
        senders = self.baseline.trusted_texts("contributor")[rows]
        shared = mixed(group, senders)
        return int(shared.sum()), self.baseline.keys.num_rows, family_size(group[shared])


def _pairs(group: Rows, senders: npt.NDArray[np.object_]) -> dict[str, str]:
    """The two contributors that share most families, as evidence."""
    counted: Counter[tuple[str, str]] = Counter()
    members: dict[int, set[str]] = {}
    for number, sender in zip(group.tolist(), senders.tolist(), strict=True):
        members.setdefault(number, set()).add(str(sender))
    for names in members.values():
        counted.update(pairwise(sorted(names)))
    return {"contributors": " and ".join(counted.most_common(1)[0][0])} if counted else {}
