"""Groups of rows without which a model is better on trusted rows (attacks: flips, injection).

Reject on negative impact, for groups: a small model is fitted on the batch without the rows of one
contributor, source or day, and its loss on the trusted sample is compared with refits that leave
out random groups of that size. The claim is about groups that lower the loss by more than random
groups do and than honest groups differ. Misses poison that is spread over many groups, groups that
are too small to move a model, backdoors (trusted rows carry no trigger), harm that only another
kind of model would show, and groups that a feature or the label forms: those differ by nature.

Nelson et al. 2008 and Barreno et al. 2010 (RONI).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt

from auditor.batch import Batch
from auditor.detectors.against_trusted import AgainstTrusted
from auditor.errors import Unavailable
from auditor.group_null import Grouped, group_by, standing_out
from auditor.model import Effect, Family, Finding, Outcome, Rule, Severity, row_table
from auditor.sides import Sides, sides
from auditor.small_model import SmallModel, fit_small, influence
from auditor.statistics import holm

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

#: Roles whose values form groups.
ROLES: Final = ("contributor", "source", "timestamp")
#: Characters of a group's name in a finding; a cell may hold megabytes.
NAME: Final = 200
#: Characters of a time that name its day.
DAY: Final = 10


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of AUD-N001.

    `minimum_group`: smaller groups are not left out one by one. `groups`: most refits for one role;
    where there are more groups, those that first-order influence calls the most harmful.
    `draws`: random groups. `report_level`: corrected p-value below which there is a finding.
    """

    minimum_group: int = 8
    groups: int = 100
    draws: int = 60
    report_level: float = 0.05


@dataclass(frozen=True, slots=True)
class Tested:
    """The groups of one role and how much the trusted loss falls without each: float64[g]."""

    role: str
    groups: Grouped
    chosen: Rows
    falls: Floats
    p_values: Floats


@dataclass(frozen=True)
class Refits:
    """The model of the whole batch and refits without some of its rows."""

    both: Sides
    full: SmallModel
    loss: float

    @classmethod
    def of(cls, both: Sides) -> Refits:
        """Fit the whole batch."""
        classes = len(both.classes.names)
        full = fit_small(both.matrix, both.codes, classes, ridge=1.0 / len(both.codes))
        return cls(both, full, full.loss(both.trusted, both.trusted_codes))

    def without(self, rows: Rows) -> SmallModel:
        """The model without `rows`, started from the whole batch's."""
        kept = np.ones(len(self.both.codes), dtype=bool)
        kept[rows] = False
        return fit_small(
            self.both.matrix[kept], self.both.codes[kept], len(self.both.classes.names),
            ridge=self.full.ridge, start=self.full.weights,
        )  # fmt: skip

    def fall(self, rows: Rows) -> float:
        """How much the trusted loss falls without `rows`."""
        model = self.without(rows)
        return self.loss - model.loss(self.both.trusted, self.both.trusted_codes)


@dataclass(frozen=True, slots=True)
class GroupInfluence(AgainstTrusted[Options]):
    """AUD-N001."""

    options: ClassVar[type[Options]] = Options
    rule: ClassVar[Rule] = Rule(
        id="AUD-N001",
        family=Family.INFLUENCE,
        title="Groups of rows that make a model worse",
        severity=Severity.HIGH,
        effect=Effect.QUARANTINE,
        attacks=("label-flip", "targeted-flip", "injection"),
        references=(
            "Nelson et al. 2008, Exploiting machine learning to subvert your spam filter",
            "Barreno et al. 2010, The security of machine learning",
            "Koh & Liang 2017, Understanding black-box predictions via influence functions",
        ),
        needs=("label", "feature"),
        order_free=False,  # random groups are drawn by position
        minimum_rows=100,
    )

    def scan(self, batch: Batch) -> Outcome:
        """At most one finding a group."""
        self.need_rows(batch)
        both = sides(self.baseline, batch, self.seed)
        by_role = self._groups(batch, both.rows)
        refits = Refits.of(both)
        harm = influence(refits.full, both)
        tested = [self._test(role, groups, refits, harm) for role, groups in by_role.items()]
        findings = [
            self._finding(refits, one, number, len(tested))
            for one in tested
            for number in range(len(one.chosen))
            if one.p_values[number] * len(tested) <= self.settings.report_level
        ]
        return Outcome(rule=self.rule.id, findings=tuple(findings))

    def _groups(self, batch: Batch, rows: Rows) -> dict[str, Grouped]:
        """Role -> groups, for the roles that form enough of them.

        Raises:
            Unavailable: no role does.
        """
        found, reasons = {}, []
        for role in ROLES:
            column = batch.roles.first(role)
            if column is None:
                continue
            try:
                cut = DAY if role == "timestamp" else None
                found[role] = group_by(batch, column, rows, self.settings.minimum_group, cut)
            except Unavailable as reason:
                reasons.append(f"{role}: {reason}")
        if not found:
            raise Unavailable("; ".join(reasons) or "no contributor, source or timestamp role")
        return found

    def _test(self, role: str, groups: Grouped, refits: Refits, harm: Floats) -> Tested:
        counts, inside = groups.counts, groups.of >= 0
        sums = np.bincount(groups.of[inside], weights=harm[inside], minlength=len(counts))
        chosen = np.sort(np.argsort(-sums, kind="stable")[: self.settings.groups])
        falls = np.array([refits.fall(groups.rows(int(g))) for g in chosen])
        sizes = counts[chosen]
        mean, variance, null = self._random(refits, np.flatnonzero(inside), sizes)
        total = int(inside.sum())
        variances = variance * sizes * (1.0 - sizes / total)
        p = standing_out(falls - mean * sizes, sizes, variances, null)
        skipped = [1.0] * (len(counts) - len(chosen))
        return Tested(role, groups, chosen, falls, np.array(holm([*p.tolist(), *skipped])))

    def _random(self, refits: Refits, inside: Rows, sizes: Rows) -> tuple[float, float, Floats]:
        """Mean and variance a row of what random groups do, and their standardised falls."""
        rng = np.random.default_rng(self.seed)
        of_size = rng.choice(sizes, self.settings.draws)
        falls = np.array([refits.fall(rng.choice(inside, n, replace=False)) for n in of_size])
        mean = float(falls.sum() / of_size.sum())
        square = (falls - mean * of_size) ** 2 / (of_size * (1.0 - of_size / len(inside)))
        variance = max(float(square.mean()), 1e-300)
        null = (falls - mean * of_size) / np.sqrt(
            variance * of_size * (1.0 - of_size / len(inside))
        )
        return mean, variance, null

    def _finding(self, refits: Refits, tested: Tested, number: int, roles: int) -> Finding:
        group = int(tested.chosen[number])
        places, name = tested.groups.rows(group), tested.groups.names[group][:NAME]
        without = refits.without(places).probabilities(refits.both.matrix[places])
        own = without[np.arange(len(places)), refits.both.codes[places]]
        unlike = without.argmax(axis=1) != refits.both.codes[places]
        named = places[unlike] if unlike.any() else places
        suspicion = (1.0 - own)[unlike] if unlike.any() else 1.0 - own
        what = "day" if tested.role == "timestamp" else tested.role
        return Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"{what} {name!r}: without its {len(places)} rows a model's loss on trusted "
            f"rows is {tested.falls[number]:.3g} lower, more than without random rows",
            p_value=min(1.0, float(tested.p_values[number]) * roles),
            evidence={
                what: name,
                "rows_in_group": len(places),
                "loss": round(refits.loss, 6),
                "loss_without": round(refits.loss - float(tested.falls[number]), 6),
                "unlike_expected": int(unlike.sum()),
            },
            rows=row_table(refits.both.rows[named], suspicion),
        )
