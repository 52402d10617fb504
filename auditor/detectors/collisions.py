"""Rows that lie among another class (attacks: collision, flips).

A row is held against its nearest trusted neighbours: how near those of other classes are, over how
near those of its own class are. Trusted rows, each left out, say which ratios are usual for a
class. The claim is that a class of the batch, or a contributor, has more rows beyond a trusted
quantile than its size explains. Misses rows that are moved less than their class is wide, and
collisions in a network's feature space, unless its activations are supplied as the embedding.

Peri et al. 2020 (Deep k-NN defense against clean-label data poisoning attacks).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt

from auditor.batch import Batch, as_text, texts
from auditor.detectors.against_trusted import AgainstTrusted
from auditor.group_null import positions
from auditor.model import (
    Effect,
    Family,
    Finding,
    Outcome,
    Rule,
    Severity,
    ranking_table,
    row_table,
)
from auditor.neighbours import class_ratios
from auditor.sides import Sides, sides
from auditor.tails import Excess, Reference, dispersion_between, excess_groups

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

#: Characters of a name in a finding; a cell may hold megabytes.
NAME: Final = 200
#: Contributors with fewer rows are judged with their classes only.
FEW: Final = 3
#: The claims about classes and about contributors share the level.
CLAIMS: Final = 2


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of AUD-N004.

    `neighbours`: nearest trusted rows of each side. `levels`: trusted quantiles at which mass is
    compared. `report_level`: corrected p-value below which there is a finding.
    """

    neighbours: int = 5
    levels: tuple[float, ...] = (0.9, 0.95, 0.99)
    report_level: float = 0.05


@dataclass(frozen=True, slots=True)
class Collisions(AgainstTrusted[Options]):
    """AUD-N004."""

    options: ClassVar[type[Options]] = Options
    rule: ClassVar[Rule] = Rule(
        id="AUD-N004",
        family=Family.INFLUENCE,
        title="Rows that lie among another class",
        severity=Severity.HIGH,
        effect=Effect.QUARANTINE,
        attacks=("collision", "label-flip"),
        references=(
            "Peri et al. 2020, Deep k-NN defense against clean-label data poisoning attacks",
            "Shafahi et al. 2018, Poison frogs",
        ),
        needs=("label", "feature"),
        minimum_rows=100,
    )

    def scan(self, batch: Batch) -> Outcome:
        """Findings by class and by contributor, and the ranking of the worst rows."""
        self.need_rows(batch)
        both = sides(self.baseline, batch, self.seed, embedding=True)
        trusted = class_ratios(
            both.trusted, both.trusted_codes, both.trusted, both.trusted_codes,
            neighbours=self.settings.neighbours, same=True,
        )  # fmt: skip
        scores = class_ratios(
            both.matrix, both.codes, both.trusted, both.trusted_codes,
            neighbours=self.settings.neighbours,
        )  # fmt: skip
        count = len(both.classes.names)
        references = [Reference.of(trusted[both.trusted_codes == i]) for i in range(count)]
        tails = _tails(scores, both.codes, references)
        found = self._by_class(both, tails, references)
        found += self._by_sender(
            batch, both, tails, _tails(trusted, both.trusted_codes, references)
        )
        worst = np.argsort(tails, kind="stable")[: max(10, batch.rows // 20)]
        worst = worst[tails[worst] < 0.2]
        return Outcome(
            rule=self.rule.id,
            findings=tuple(f for f in found if (f.p_value or 0.0) <= self.settings.report_level),
            ranking=ranking_table(both.rows[worst], tails[worst]),
        )

    def _by_class(self, both: Sides, tails: Floats, references: list[Reference]) -> list[Finding]:
        names = both.classes.names
        groups = {n: np.flatnonzero(both.codes == i) for i, n in enumerate(names)}
        groups = {name: rows for name, rows in groups.items() if len(rows)}
        trusted = {name: references[i].count for i, name in enumerate(names)}
        found = self._excess(groups, tails, trusted, 0.0)
        return [self._finding(both, tails, e, "label") for e in found]

    def _by_sender(
        self, batch: Batch, both: Sides, tails: Floats, trusted_tails: Floats
    ) -> list[Finding]:
        sender, known = batch.roles.contributor, self.baseline.roles.contributor
        if sender is None or known is None:
            return []
        values = texts(batch, sender)
        groups = positions([values[i] for i in both.rows.tolist()], FEW)
        own = as_text(self.baseline.sample.column(known)).to_pylist()
        base = positions([own[i] for i in both.trusted_rows.tolist()], FEW)
        dispersion = dispersion_between(base, trusted_tails, self.settings.levels[0])
        trusted = dict.fromkeys(groups, len(trusted_tails))
        found = self._excess(groups, tails, trusted, dispersion)
        return [self._finding(both, tails, e, "contributor") for e in found]

    def _excess(
        self, groups: Mapping[str, Rows], tails: Floats, trusted: Mapping[str, int], between: float
    ) -> list[Excess]:
        levels = self.settings.levels
        return excess_groups(groups, tails, levels, trusted=trusted, dispersion=between)

    def _finding(self, both: Sides, tails: Floats, excess: Excess, role: str) -> Finding:
        name = excess.group[:NAME]
        return Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"{role} {name!r}: {len(excess.rows)} of {excess.total} rows lie among "
            f"another class, {excess.expected:.1f} expected",
            p_value=min(1.0, CLAIMS * excess.p_value),
            evidence={
                role: name,
                "rows_beyond": len(excess.rows),
                "rows_in_group": excess.total,
                "expected": round(excess.expected, 2),
                "estimated_bad": max(0, round(len(excess.rows) - excess.expected)),
                "level": excess.level,
                "embedding": both.embedded,
            },
            rows=row_table(both.rows[excess.rows], 1.0 - tails[excess.rows]),
        )


def _tails(scores: Floats, codes: Rows, references: list[Reference]) -> Floats:
    """Share of trusted rows of the same class with at least this ratio: float64[n]."""
    tails = np.ones(len(scores))
    for code, reference in enumerate(references):
        mine = codes == code
        tails[mine] = reference.tail(scores[mine])
    return tails
