"""Contributors whose rows are worth less than nothing to a model (attacks: flips, injection).

Two values of a row are known in closed form: its exact Shapley value for a nearest-neighbour
classifier, and its first-order influence on the loss of a logistic one, both measured on the
trusted sample. They are summed over each contributor's rows and held against random groups of that
size. Misses poison spread over many contributors, backdoors (trusted rows carry no trigger), rows
in regions without trusted rows, and labels that the features say nothing about.

Jia et al. 2019 (kNN-Shapley); Koh & Liang 2017 (influence functions).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt

from auditor.batch import Batch
from auditor.detectors.against_trusted import AgainstTrusted
from auditor.errors import Unavailable
from auditor.group_null import Grouped, group_by, sums_standing_out
from auditor.model import Effect, Family, Finding, Outcome, Rule, Severity, row_table
from auditor.shapley import knn_shapley
from auditor.sides import Sides, sides
from auditor.small_model import fit_small, influence
from auditor.statistics import holm, midranks

Floats = npt.NDArray[np.float64]

#: Characters of a contributor's name in a finding; a cell may hold megabytes.
NAME: Final = 200


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of AUD-N002.

    `minimum_group`: contributors with fewer rows are not judged. `neighbours`: of a trusted row
    whose labels count. `report_level`: corrected p-value below which there is a finding.
    """

    minimum_group: int = 3
    neighbours: int = 5
    report_level: float = 0.05


@dataclass(frozen=True, slots=True)
class RowValues(AgainstTrusted[Options]):
    """AUD-N002."""

    options: ClassVar[type[Options]] = Options
    rule: ClassVar[Rule] = Rule(
        id="AUD-N002",
        family=Family.INFLUENCE,
        title="Contributors whose rows do harm",
        severity=Severity.HIGH,
        effect=Effect.QUARANTINE,
        attacks=("label-flip", "targeted-flip", "injection"),
        references=(
            "Jia et al. 2019, Efficient data valuation for nearest neighbor algorithms",
            "Koh & Liang 2017, Understanding black-box predictions via influence functions",
        ),
        needs=("label", "contributor", "feature"),
        order_free=False,  # random groups are drawn by position
        minimum_rows=100,
    )

    def scan(self, batch: Batch) -> Outcome:
        """At most one finding a contributor."""
        sender = batch.roles.contributor
        if sender is None:
            raise Unavailable("no contributor role")
        self.need_rows(batch)
        both = sides(self.baseline, batch, self.seed)
        groups = group_by(batch, sender, both.rows, self.settings.minimum_group)
        harms = self._harms(both)
        each = {name: sums_standing_out(harm, groups, self.seed) for name, harm in harms.items()}
        corrected = holm(np.minimum(1.0, len(each) * np.minimum(*each.values())).tolist())
        findings = []
        for group, p in enumerate(corrected):
            if p <= self.settings.report_level:
                clearest = min(each, key=lambda name: float(each[name][group]))
                findings.append(_finding(both, groups, group, clearest, harms[clearest], p))
        return Outcome(rule=self.rule.id, findings=tuple(findings))

    def _harms(self, both: Sides) -> dict[str, Floats]:
        classes = len(both.classes.names)
        model = fit_small(both.matrix, both.codes, classes, ridge=1.0 / len(both.codes))
        values = knn_shapley(
            both.matrix, both.codes, both.trusted, both.trusted_codes,
            neighbours=self.settings.neighbours,
        )  # fmt: skip
        return {"shapley": -values, "influence": influence(model, both)}


def _finding(
    both: Sides, groups: Grouped, group: int, statistic: str, harm: Floats, p: float
) -> Finding:
    places, name = groups.rows(group), groups.names[group][:NAME]
    bad = places[harm[places] > 0.0]
    named = bad if len(bad) else places
    suspicion = midranks(harm)[named] / len(harm)
    return Finding(
        rule=RowValues.rule.id,
        severity=RowValues.rule.severity,
        message=f"contributor {name!r}: {len(bad)} of {len(places)} rows do harm to a model "
        f"({statistic}), more than random rows together",
        p_value=p,
        evidence={
            "contributor": name,
            "rows_in_group": len(places),
            "harmful": len(bad),
            "statistic": statistic,
        },
        rows=row_table(both.rows[named], suspicion),
    )
