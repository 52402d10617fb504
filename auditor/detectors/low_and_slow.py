"""Contributors whose labels are a little wrong in each of many batches (attack: low and slow).

Shows as evidence that adds up: in each batch the labels of a contributor are too likely under a
small share of wrong ones, too little to be named, and over the batches that is no longer chance.
Honest contributors may differ, as far as trusted ones and the middle of all contributors do. Needs
the same contributor in at least two batches. Misses poison spread so thinly over names that none
stands out, new names in every batch, and labels that the features say nothing about.

The statistic is an e-process, see `label_evidence`: its error holds over all batches together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from auditor.baseline import Baseline
from auditor.batch import Batch, Roles, Shared, texts
from auditor.context import NO_SUMS, Context, Sums, subject_of
from auditor.detectors.contributors import Contributors, Trusted, judge_labels
from auditor.detectors.contributors import Options as ContributorOptions
from auditor.errors import Unavailable
from auditor.labels.claims import Claim, Judged, by_sender, direction, suspicion
from auditor.labels.evidence import TILTS, VERSION, Floats, Standing, Weighed, stand, weigh
from auditor.labels.model import Codes, Model
from auditor.labels.residuals import WRONG_SHARES
from auditor.labels.trusted import calibrated_with
from auditor.model import Effect, Evidence, Family, Finding, Outcome, Rule, Severity, row_table

#: Characters of a contributor's name in a finding.
NAME = 200


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of AUD-C004.

    `model`: which classifier. `report_level`: corrected p-value below which a contributor becomes
    a finding. `batches`: how many a contributor must have sent, this one included.
    """

    model: Model = "logistic"
    report_level: float = 0.05
    batches: int = 2


@dataclass(frozen=True, slots=True)
class LowAndSlow:
    """AUD-C004."""

    baseline: Baseline
    earlier: Sums
    again: bool
    settings: Options
    seed: int
    shared: Shared

    options: ClassVar[type] = Options
    rule: ClassVar[Rule] = Rule(
        id="AUD-C004",
        family=Family.CONTRIBUTOR,
        title="Contributors whose labels are a little wrong in many batches",
        severity=Severity.HIGH,
        effect=Effect.QUARANTINE,
        attacks=("low-and-slow",),
        references=(
            "Ville 1939; Grünwald, de Heide, Koolen 2024, Safe testing",
            "Waudby-Smith, Ramdas 2024, Estimating means of bounded random variables by betting",
            "ATLAS AML.T0020",
        ),
        needs=("label", "contributor", "feature"),
    )

    @classmethod
    def load(cls, context: Context) -> LowAndSlow:
        """Needs a baseline: evidence of several batches needs one measure for all of them."""
        baseline = context.baseline
        if baseline is None:
            raise Unavailable("needs a baseline")
        settings = context.options(cls.rule.id, Options)
        calibrated_with(baseline.thresholds.get(cls.rule.id), settings.model)
        earlier = context.cumulative.get(cls.rule.id, NO_SUMS)
        return cls(baseline, earlier, context.again, settings, context.seed, context.shared)

    @classmethod
    def calibrate(
        cls, sample: pa.Table, roles: Roles, settings: Options, seed: int
    ) -> dict[str, Any]:
        """As AUD-C001: how sure the model may be, and how much trusted contributors differ."""
        same = ContributorOptions(model=settings.model)
        return Contributors.calibrate(sample, roles, same, seed)

    def scan(self, batch: Batch) -> Outcome:
        """At most one finding a contributor of this batch; what it adds to the evidence."""
        sender = batch.roles.contributor
        if batch.roles.label is None or sender is None:
            raise Unavailable("needs a label role and a contributor role")
        judged = judge_labels(self._fit, batch, self.shared, self.settings.model)
        senders = texts(batch, sender)
        own = [senders[i] for i in judged.rows.tolist()]
        order, groups, names = by_sender(own, judged.codes)
        rows = judged.take(order)
        weighed = tuple(weigh(rows.chances, rows.codes, groups))
        parts = dict(zip(names, np.split(order, groups.starts[1:]), strict=True))
        parts.pop("(missing)", None)
        added = list(_evidence(weighed, names, judged.classes.names))
        found = list(self._named(judged, parts, () if self.again else added))
        updates = () if self.again else tuple(added)
        return Outcome(rule=self.rule.id, findings=tuple(found), updates=updates)

    def _fit(self) -> Trusted:
        return Trusted.fit(self.baseline, self.settings.model, self.seed, self.rule.id, self.shared)

    def _named(
        self, judged: Judged, parts: Mapping[str, Codes], added: Sequence[Evidence]
    ) -> Iterator[Finding]:
        sums = _added_up(self.earlier, added)
        subjects = sorted({subject for subject, _ in sums.values})
        if not subjects:
            return
        totals = sums.totals(subjects, judged.classes.names)
        standing = stand(totals, self._spreads(), fitted=judged.fitted)
        place = {subject: i for i, subject in enumerate(subjects)}
        for name, places in parts.items():
            at = place.get(subject_of(name))
            if at is None:
                continue
            p = min(1.0, len(subjects) * float(np.exp(-min(standing.logs[at], 600.0))))
            if p > self.settings.report_level:
                continue
            if (batches := sums.batches(subjects[at])) >= self.settings.batches:
                claim = Claim(name, 1, places, p, int(standing.targets[at]))
                yield self._finding(judged, claim, batches, standing, totals, at)

    def _spreads(self) -> dict[int, float]:
        """Target -> how trusted contributors differ; in the order of `contrasts`."""
        stored = [float(v) for v in self.baseline.thresholds[self.rule.id]["spreads"]]
        return {-1: stored[0]} | dict(enumerate(stored[len(WRONG_SHARES) :]))

    def _finding(
        self,
        judged: Judged,
        claim: Claim,
        batches: int,
        standing: Standing,
        totals: Mapping[int, Floats],
        at: int,
    ) -> Finding:
        rows = judged.take(claim.places)
        _, wrong = suspicion(judged, claim)
        likely = np.flatnonzero(wrong >= 0.5)
        named = likely if len(likely) else np.array([int(wrong.argmax())])
        carried, looks_like = direction(rows, wrong)
        total, name = int(totals[claim.target][at, 0]), claim.name[:NAME]
        return Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"contributor {name!r}: over {batches} batches and {total} rows the labels are "
            f"not as expected; here mostly {carried!r} where {looks_like!r} was expected",
            p_value=claim.p_value,
            evidence={
                "contributor": name,
                "batches": batches,
                "rows_over_all_batches": total,
                "rows_in_batch": len(wrong),
                "log10_evidence": round(float(standing.logs[at]) / np.log(10.0), 2),
                "tilt": float(standing.tilts[at]),
                "carries": carried,
                "looks_like": looks_like,
            },
            rows=row_table(rows.rows[named], wrong[named]),
        )


@dataclass(frozen=True, slots=True)
class _Sums:
    """(subject, name) -> values added up, and over how many batches."""

    values: Mapping[tuple[str, str], Floats]
    counts: Mapping[tuple[str, str], int]

    def totals(self, subjects: Sequence[str], classes: Sequence[str]) -> dict[int, Floats]:
        """Target -> the values of each subject, zeros where it has none."""
        named = {-1: _name(-1, classes)} | {i: _name(i, classes) for i in range(len(classes))}
        known = {name for _, name in self.values}
        none = np.zeros(4 + len(TILTS))
        return {
            target: np.stack([self.values.get((subject, name), none) for subject in subjects])
            for target, name in named.items()
            if name in known
        }

    def batches(self, subject: str) -> int:
        """In how many batches it sent rows that could be judged."""
        return max(count for (who, _), count in self.counts.items() if who == subject)


def _added_up(earlier: Sums, added: Sequence[Evidence]) -> _Sums:
    usable = {k: e for k, e in earlier.items() if len(e.values) == 4 + len(TILTS)}
    values = {key: np.array(each.values) for key, each in usable.items()}
    counts = {key: each.batches for key, each in usable.items()}
    for one in added:
        key = (subject_of(one.subject), one.name)
        values[key] = values[key] + one.values if key in values else np.array(one.values)
        counts[key] = counts.get(key, 0) + 1
    return _Sums(values, counts)


def _name(target: int, classes: Sequence[str]) -> str:
    return f"{VERSION} any" if target < 0 else f"{VERSION} carries {subject_of(classes[target])}"


def _evidence(
    weighed: Sequence[Weighed], names: Sequence[str], classes: Sequence[str]
) -> Iterator[Evidence]:
    for one in weighed:
        for name, values in zip(names, one.values.tolist(), strict=True):
            if name != "(missing)":
                target = _name(one.target, classes)
                yield Evidence(subject=name, name=target, values=tuple(values))
