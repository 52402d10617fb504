"""Classes that are made of two groups (attacks: backdoor, injection, concentrated).

Poison of one class is alike and unlike the rest of its class. Three published statistics look for a
second group: spectral signature, activation clustering, SCAn, in supplied activations (role
`embedding`); plain features of tables do not show one. None of them says when two groups are too
many: honest classes have groups as well. Here trusted rows of the class say it, resampled at the
size of the batch's class and weighted towards it where the batch has moved. Misses groups that
trusted rows have too, rows that are spread over their class, and triggers that the model whose
activations they are has not learned.

Tran, Li, Madry 2018; Chen et al. 2018; Tang et al. 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt

from auditor.batch import Batch
from auditor.detectors.against_trusted import AgainstTrusted
from auditor.domain import fit_domain
from auditor.errors import Unavailable
from auditor.model import Effect, Family, Finding, Outcome, Rule, Severity, row_table
from auditor.sides import Sides, sides
from auditor.signatures import Split, bounded, clustered, scan, spectral, whitening_of
from auditor.statistics import holm, permutation_tail

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

#: Characters of a label in a finding; a cell may hold megabytes.
NAME: Final = 200
STATISTICS: Final = ("spectral", "clusters", "scan")
#: Suspicion of the rows of the second group.
SUSPICION: Final = 0.9


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of AUD-N003.

    `minimum_class`: rows of a class that both sides need. `sample_rows`: rows of a class that are
    looked at. `draws`: resampled trusted classes. `report_level`: corrected p-value below which
    there is a finding.
    """

    minimum_class: int = 50
    sample_rows: int = 200
    draws: int = 59
    report_level: float = 0.05


@dataclass(frozen=True, slots=True)
class ClassStructure(AgainstTrusted[Options]):
    """AUD-N003."""

    options: ClassVar[type[Options]] = Options
    rule: ClassVar[Rule] = Rule(
        id="AUD-N003",
        family=Family.INFLUENCE,
        title="Classes that hold a second group",
        severity=Severity.HIGH,
        effect=Effect.QUARANTINE,
        attacks=("backdoor", "injection", "concentrated"),
        references=(
            "Tran, Li, Madry 2018, Spectral signatures in backdoor attacks",
            "Chen et al. 2018, Detecting backdoor attacks by activation clustering",
            "Tang et al. 2021, Demon in the variant (SCAn)",
        ),
        needs=("label", "embedding"),
        order_free=False,  # rows are drawn by position
        minimum_rows=100,
    )

    def scan(self, batch: Batch) -> Outcome:
        """At most one finding a class."""
        self.need_rows(batch)
        if self.baseline.roles.first("embedding") is None:
            raise Unavailable("the baseline has no embedding role")
        both = sides(self.baseline, batch, self.seed, embedding=True)
        classes = self._classes(both)
        if not classes:
            raise Unavailable(f"no class has {self.settings.minimum_class} rows on both sides")
        weights = fit_domain(
            both.trusted.astype(np.float32), both.matrix.astype(np.float32), seed=self.seed
        ).weights
        whitening = whitening_of(both.trusted, both.trusted_codes)
        tested = [self._test(both, code, weights, whitening) for code in classes]
        corrected = holm([p for p, _, _ in tested])
        findings = [
            self._finding(both, code, name, split, p, whitening)
            for code, p, (_, name, split) in zip(classes, corrected, tested, strict=True)
            if p <= self.settings.report_level
        ]
        return Outcome(rule=self.rule.id, findings=tuple(findings))

    def _classes(self, both: Sides) -> list[int]:
        count = len(both.classes.names)
        least = np.minimum(
            np.bincount(both.codes, minlength=count),
            np.bincount(both.trusted_codes, minlength=count),
        )
        return np.flatnonzero(least >= self.settings.minimum_class).tolist()

    def _test(
        self, both: Sides, code: int, weights: Floats, whitening: Floats
    ) -> tuple[float, str, Split]:
        """The p-value of a class, the statistic that gives it, and its split."""
        rng = np.random.default_rng([self.seed, code])
        mine = both.trusted_codes == code
        trusted, share = both.trusted[mine], weights[mine] / weights[mine].sum()
        rows = both.matrix[both.codes == code]
        if len(rows) > self.settings.sample_rows:
            rows = rows[np.sort(rng.choice(len(rows), self.settings.sample_rows, replace=False))]
        observed = _statistics(rows, trusted, whitening)
        null = np.array(
            [
                [
                    split.value
                    for split in _statistics(
                        trusted[rng.choice(len(trusted), len(rows), p=share)], trusted, whitening
                    )
                ]
                for _ in range(self.settings.draws)
            ]
        )
        # Resamples vary about this one trusted sample, which varies itself.
        wider = np.sqrt(1.0 + len(rows) * float((share**2).sum()))
        p_values = [
            permutation_tail(float(n.mean() + (one.value - n.mean()) / wider), n)
            for one, n in zip(observed, null.T, strict=True)
        ]
        best = int(np.argmin(p_values))
        return min(1.0, len(STATISTICS) * p_values[best]), STATISTICS[best], observed[best]

    def _finding(
        self, both: Sides, code: int, name: str, split: Split, p: float, whitening: Floats
    ) -> Finding:
        places = np.flatnonzero(both.codes == code)
        rows = both.matrix[places]
        second = places[split.second(rows @ whitening if name == "scan" else rows)]
        label = both.classes.names[code][:NAME]
        return Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"label {label!r}: {len(second)} of {len(places)} rows form a group of their "
            f"own ({name}), clearer than in trusted rows",
            p_value=p,
            evidence={
                "label": label,
                "statistic": name,
                "value": round(split.value, 6),
                "rows_in_group": len(second),
                "rows_in_class": len(places),
            },
            rows=row_table(both.rows[second], SUSPICION),
        )


def _statistics(rows: Floats, trusted: Floats, whitening: Floats) -> tuple[Split, Split, Split]:
    near = bounded(rows, trusted)
    white = bounded(rows @ whitening, trusted @ whitening)
    return spectral(near, trusted), clustered(near), scan(white)
