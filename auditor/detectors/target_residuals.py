"""Real-valued targets that the features speak against (attack: regression poison).

A model of trusted rows says which target to expect and how far off it usually is; a row's score is
its error over that. The claim is excess mass: the batch, or one contributor, has more rows beyond a
trusted quantile than its size explains. Without a baseline rows are only ranked, by a fit that
leaves out the worst of them. Misses targets that are off by less than the model's own error, rows
that features explain either way, and poison that keeps every single target plausible.

Jagielski et al. 2018 (TRIM), Shen & Sanghavi 2019 (ITLM).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditor.baseline import Baseline
from auditor.batch import Batch, Roles, as_text, read_columns, texts
from auditor.context import Context
from auditor.errors import Unavailable
from auditor.features import Encoder, Matrix, numbers
from auditor.group_null import positions
from auditor.labels.target import TargetModel, better, fit, out_of_fold, trimmed
from auditor.model import (
    Effect,
    Family,
    Finding,
    Outcome,
    Rule,
    Scalar,
    Severity,
    ranking_table,
    row_table,
)
from auditor.statistics import excess_tail
from auditor.tails import Excess, Reference, dispersion_between, excess_groups

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

#: Up to so many distinct values a real-valued label is one of classes (AUD-L001).
CONTINUOUS = 50
#: Characters of a contributor's name in a finding; a cell may hold megabytes.
NAME = 200
#: One row in so many is ranked.
RANKED = 5
#: Contributors with fewer rows are judged with the batch only.
FEW = 3
#: The claims about the batch, about contributors and about missing targets share the level.
CLAIMS = 3


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of AUD-L003.

    `model`: which regressor; `auto` takes the better one on trusted rows. `levels`: trusted
    quantiles at which mass is compared. `report_level`: corrected p-value below which there is a
    finding.
    """

    model: Literal["auto", "huber", "hist_gradient_boosting"] = "auto"
    levels: tuple[float, ...] = (0.9, 0.95, 0.99)
    report_level: float = 0.05


@dataclass(frozen=True, slots=True)
class Trusted:
    """What the baseline gives: encoder, fitted model, quantiles, how contributors differ."""

    encoder: Encoder
    model: TargetModel
    reference: Reference
    dispersion: float
    missing: int

    @classmethod
    def fit(cls, baseline: Baseline) -> Trusted:
        """Refit on the baseline's sample as it was calibrated; thresholds are the stored ones."""
        stored = baseline.thresholds[TargetResiduals.rule.id]
        sample, roles = baseline.sample, baseline.roles
        encoder, matrix, targets, groups = _prepared(sample, roles)
        model, seed = str(stored["model"]), int(stored["seed"])
        errors, _ = out_of_fold(matrix, targets, model=model, seed=seed, groups=groups)
        fitted = fit(matrix, targets, errors, model=model, seed=seed)
        reference = Reference.from_json(stored["reference"])
        return cls(encoder, fitted, reference, float(stored["dispersion"]), int(stored["missing"]))


@dataclass(frozen=True, slots=True)
class TargetResiduals:
    """AUD-L003."""

    trusted: Trusted | None
    settings: Options
    seed: int
    uncalibrated: bool = False

    options: ClassVar[type] = Options
    rule: ClassVar[Rule] = Rule(
        id="AUD-L003",
        family=Family.LABEL,
        title="Targets that contradict the features",
        severity=Severity.HIGH,
        effect=Effect.QUARANTINE,
        attacks=("regression", "injection"),
        references=(
            "Jagielski et al. 2018, Manipulating machine learning: poisoning regression",
            "Shen & Sanghavi 2019, Learning with bad training data via iterative trimmed loss",
            "ATLAS AML.T0020",
        ),
        needs=("label", "feature"),
        minimum_rows=50,
    )

    @classmethod
    def load(cls, context: Context) -> TargetResiduals:
        """Works with and without a baseline; without one doubtful rows are only ranked."""
        settings, baseline = context.options(cls.rule.id, Options), context.baseline
        if baseline is not None and not baseline.thresholds.get(cls.rule.id):
            return cls(None, settings, context.seed, uncalibrated=True)
        return cls(Trusted.fit(baseline) if baseline else None, settings, context.seed)

    @classmethod
    def calibrate(
        cls, sample: pa.Table, roles: Roles, settings: Options, seed: int
    ) -> dict[str, Any]:
        """Out-of-fold score quantiles of trusted rows, and how trusted contributors differ."""
        _, matrix, targets, groups = _prepared(sample, roles)
        model: str = settings.model
        if model == "auto":
            model, residuals = better(matrix, targets, seed=seed, groups=groups)
        else:
            _, residuals = out_of_fold(matrix, targets, model=model, seed=seed, groups=groups)
        scores = np.abs(residuals)
        reference = Reference.of(scores)
        own = positions(groups, FEW) if groups is not None else {}
        return {
            "model": model,
            "seed": seed,
            "reference": reference.to_json(),
            "dispersion": dispersion_between(own, reference.tail(scores), settings.levels[0]),
            "missing": sample.num_rows - len(targets),
        }

    def scan(self, batch: Batch) -> Outcome:
        """Findings about the batch, about contributors and missing targets; and a ranking."""
        _refuse(batch.schema, batch.roles)
        if self.uncalibrated:
            raise Unavailable("the baseline holds no thresholds for it; build it again")
        if batch.rows < self.rule.minimum_rows:
            raise Unavailable(f"needs at least {self.rule.minimum_rows} rows, has {batch.rows}")
        residuals = _apply(self.trusted, batch) if self.trusted else self._within(batch)
        tails = _tails(self.trusted, residuals)
        worst = np.argsort(tails, kind="stable")[: max(10, batch.rows // RANKED)]
        worst = worst[tails[worst] < 0.2]
        findings = self._findings(batch, residuals, tails) if self.trusted else []
        return Outcome(
            rule=self.rule.id,
            findings=tuple(f for f in findings if _p(f) <= self.settings.report_level),
            ranking=ranking_table(worst, tails[worst]),
        )

    def _within(self, batch: Batch) -> Floats:
        """No baseline: a trimmed fit of the batch itself, grouped by contributor."""
        wanted = [*batch.roles.features, str(batch.roles.label)]
        if batch.roles.contributor:
            wanted.append(batch.roles.contributor)
        table = read_columns(batch, [*dict.fromkeys(wanted)])
        _, matrix, targets, groups = _prepared(table, batch.roles)
        known = np.flatnonzero(~np.isnan(_targets(table.column(str(batch.roles.label)))))
        model = "hist_gradient_boosting" if self.settings.model == "auto" else self.settings.model
        residuals = np.full(batch.rows, np.nan)
        residuals[known] = trimmed(matrix, targets, model=model, seed=self.seed, groups=groups)
        return residuals

    def _findings(self, batch: Batch, residuals: Floats, tails: Floats) -> list[Finding]:
        trusted = self.trusted
        if trusted is None:
            return []
        known = np.flatnonzero(~np.isnan(residuals))
        whole = self._excess({"": known}, tails, trusted, 0.0) if len(known) else []
        found = [self._finding(e, residuals, tails) for e in whole]
        sender = batch.roles.contributor
        if sender is not None:
            names = texts(batch, sender)
            gone = np.isnan(residuals)
            known_names = [None if gone[i] else name for i, name in enumerate(names)]
            groups = positions(known_names, FEW)
            each = self._excess(groups, tails, trusted, trusted.dispersion)
            found += [self._finding(e, residuals, tails) for e in each]
        return found + self._missing(residuals, trusted)

    def _excess(
        self, groups: Mapping[str, Rows], tails: Floats, trusted: Trusted, dispersion: float
    ) -> list[Excess]:
        count = trusted.reference.count
        return excess_groups(
            groups, tails, self.settings.levels,
            trusted=dict.fromkeys(groups, count), dispersion=dispersion,
        )  # fmt: skip

    def _finding(self, excess: Excess, residuals: Floats, tails: Floats) -> Finding:
        name = excess.group[:NAME]
        who = f"contributor {name!r}" if name else "the batch"
        evidence: dict[str, Scalar] = {"contributor": name} if name else {}
        return Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"{who}: {len(excess.rows)} of {excess.total} targets contradict their "
            f"features, {excess.expected:.1f} expected",
            p_value=min(1.0, CLAIMS * excess.p_value),
            evidence=evidence
            | {
                "rows_beyond": len(excess.rows),
                "rows_in_group": excess.total,
                "expected": round(excess.expected, 2),
                "estimated_bad": max(0, round(len(excess.rows) - excess.expected)),
                "too_high": int((residuals[excess.rows] > 0).sum()),
                "level": excess.level,
            },
            rows=row_table(excess.rows, 1.0 - tails[excess.rows]),
        )

    def _missing(self, residuals: Floats, trusted: Trusted) -> list[Finding]:
        """Targets that are missing or not finite, more of them than trusted rows have."""
        rows = np.flatnonzero(np.isnan(residuals))
        if not len(rows):
            return []
        known = trusted.reference.count + trusted.missing
        p = CLAIMS * excess_tail(len(rows), len(residuals), trusted.missing, known)
        return [
            Finding(
                rule=self.rule.id,
                severity=Severity.MEDIUM,
                message=f"{len(rows)} rows have no finite target",
                p_value=min(1.0, p),
                evidence={"code": "LABEL_MISSING", "rows": len(rows)},
                rows=row_table(rows, 0.8),
            )
        ]


def _p(finding: Finding) -> float:
    return 1.0 if finding.p_value is None else finding.p_value


def _refuse(schema: pa.Schema, roles: Roles) -> None:
    """Raise `Unavailable` without a label of real numbers."""
    if roles.label is None:
        raise Unavailable("no label role")
    if not pa.types.is_floating(schema.field(roles.label).type):
        raise Unavailable(f"label {roles.label!r} is of classes; this rule needs real numbers")


def _prepared(
    table: pa.Table, roles: Roles
) -> tuple[Encoder, Matrix, Floats, list[str | None] | None]:
    """Encoder, rows with a finite target float32[n, d], their targets, their contributors."""
    _refuse(table.schema, roles)
    targets = _targets(table.column(str(roles.label)))
    if len(np.unique(targets[~np.isnan(targets)])) <= CONTINUOUS:
        raise Unavailable(f"label {roles.label!r} has few distinct values; they count as classes")
    known = np.flatnonzero(~np.isnan(targets))
    rows = table.take(pa.array(known))
    encoder = Encoder.fit(rows, roles.features)
    sender = roles.contributor
    groups = as_text(rows.column(sender)).to_pylist() if sender else None
    return encoder, encoder.transform(rows), targets[known], groups


def _targets(column: pa.Array | pa.ChunkedArray) -> Floats:
    """Float64[n]; what is missing or not finite is NaN."""
    if not pa.types.is_floating(column.type):
        column = pc.cast(column, pa.float64(), safe=False)
    return numbers(column)


def _apply(trusted: Trusted, batch: Batch) -> Floats:
    """Residuals of the batch under the trusted model, chunk by chunk: float64[rows]."""
    missing = [c for c in trusted.encoder.names if c not in batch.schema.names]
    if missing:
        raise Unavailable(f"columns of the baseline are missing: {', '.join(missing[:5])}")
    label = str(batch.roles.label)
    parts = [
        trusted.model.residuals(
            trusted.encoder.transform(chunk.data), _targets(chunk.data.column(label))
        )
        for chunk in batch.chunks([*dict.fromkeys((*trusted.encoder.names, label))])
    ]
    return np.concatenate(parts)


def _tails(trusted: Trusted | None, residuals: Floats) -> Floats:
    """Share of trusted rows (or of the batch) that are off at least as far: float64[n]."""
    scores = np.abs(residuals)
    reference = trusted.reference if trusted else Reference.of(scores)
    return reference.tail(scores)
