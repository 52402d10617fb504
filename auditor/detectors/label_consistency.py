"""Labels that the features speak against (attacks: random and targeted flips, injection).

Probabilities come from a model fitted on trusted rows (a model of the batch would learn the
poison); without a baseline they are out-of-fold, grouped by contributor. A row's score is the
normalised margin against its label. The claim is about classes: one has more rows beyond a trusted
quantile than its size explains (AUD-C001 judges contributors). Rows are ranked by that score among
rows of their class, or by the log-loss of their label among all, whichever is the rarer.

Misses flips near the decision boundary, backdoors (their rows look clean), and any flip where the
features carry no signal.

Northcutt, Jiang, Chuang 2021 (Confident learning); the joint is computed by cleanlab.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from auditor.baseline import Baseline
from auditor.batch import Batch, Roles, Shared, as_text, read_columns, texts
from auditor.context import Context
from auditor.errors import Unavailable
from auditor.features import Encoder
from auditor.labels.model import Classes, Codes, LabelModel, Model, Scores, out_of_fold
from auditor.labels.references import References
from auditor.labels.trusted import calibrated_with, trusted_labels
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
from auditor.tails import Excess, excess_groups

#: More distinct values than this in a real-valued label make it a target to regress on.
CONTINUOUS = 50
#: One row in so many is ranked.
RANKED = 5


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of AUD-L001.

    `model`: which classifier; `ensemble` pools kernel logistic regression and boosted trees.
    `levels`: trusted quantiles at which mass is compared. `report_level`: corrected p-value below
    which a class becomes a finding (the policy decides on its own budget).
    """

    model: Model = "ensemble"
    levels: tuple[float, ...] = (0.9, 0.95, 0.99)
    report_level: float = 0.05


@dataclass(frozen=True, slots=True)
class Scored:
    """Every row's class code int64[n], probabilities float64[n, classes], tail float64[n].

    `tails`: of the doubt, among rows of the class. `order`: the smaller of it and the tail of the
    loss among all rows; to rank by, no probability.
    """

    classes: Classes
    codes: Codes
    probabilities: Scores
    tails: Scores
    order: Scores
    trusted: Mapping[str, int]
    labels: Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Trusted:
    """What the baseline gives: encoder, fitted model, score quantiles."""

    classes: Classes
    encoder: Encoder
    model: LabelModel
    references: References
    labels: Mapping[str, int]

    @classmethod
    def fit(cls, baseline: Baseline, settings: Options, seed: int, shared: Shared) -> Trusted:
        """Refit on the baseline's sample, deterministically; thresholds are the stored ones."""
        rule = LabelConsistency.rule.id
        stored = calibrated_with(baseline.thresholds.get(rule), settings.model)
        classes = Classes(tuple(stored["classes"]))
        fitted = trusted_labels(baseline, classes, model=settings.model, seed=seed, shared=shared)
        references = References.from_json(stored)
        return cls(classes, fitted.encoder, fitted.model, references, baseline.labels)


@dataclass(frozen=True, slots=True)
class LabelConsistency:
    """AUD-L001."""

    trusted: Trusted | None
    settings: Options
    seed: int

    options: ClassVar[type] = Options
    rule: ClassVar[Rule] = Rule(
        id="AUD-L001",
        family=Family.LABEL,
        title="Labels that contradict the features",
        severity=Severity.HIGH,
        effect=Effect.QUARANTINE,
        attacks=("label-flip", "targeted-flip", "injection"),
        references=("Northcutt et al. 2021, Confident learning", "ATLAS AML.T0020"),
        needs=("label", "feature"),
        minimum_rows=50,
    )

    @classmethod
    def load(cls, context: Context) -> LabelConsistency:
        """Works with and without a baseline; without one doubtful rows are only ranked."""
        settings, baseline = context.options(cls.rule.id, Options), context.baseline
        trusted = None
        if baseline is not None:
            trusted = Trusted.fit(baseline, settings, context.seed, context.shared)
        return cls(trusted, settings, context.seed)

    @classmethod
    def calibrate(
        cls, sample: pa.Table, roles: Roles, settings: Options, seed: int
    ) -> dict[str, Any]:
        """Out-of-fold score quantiles of trusted rows."""
        labels, groups = _columns(sample, roles)
        classes = _judged(sample.schema, roles, labels)
        codes = classes.codes(labels)
        encoder = Encoder.fit(sample, roles.features)
        probabilities = out_of_fold(
            encoder.transform(sample), codes, len(classes.names),
            model=settings.model, seed=seed, groups=groups,
        )  # fmt: skip
        found = References.of(probabilities, codes)
        return {"classes": list(classes.names), "model": settings.model, **found.to_json()}

    def scan(self, batch: Batch) -> Outcome:
        """Findings by class, and the ranking of doubtful rows."""
        if batch.roles.label is None:
            raise Unavailable("no label role")
        if batch.rows < self.rule.minimum_rows:
            raise Unavailable(f"needs at least {self.rule.minimum_rows} rows, has {batch.rows}")
        scored = _apply(self.trusted, batch) if self.trusted else self._within(batch)
        findings = [*self._unjudged(scored, batch.roles.label)]
        if self.trusted is not None:
            findings += self._by_class(scored)
        worst = np.argsort(scored.order, kind="stable")[: max(10, batch.rows // RANKED)]
        worst = worst[scored.order[worst] < 0.2]
        ranking = ranking_table(worst, scored.order[worst])
        return Outcome(rule=self.rule.id, findings=tuple(findings), ranking=ranking)

    def _within(self, batch: Batch) -> Scored:
        """No baseline: the other folds stand in; tails are relative to the batch itself."""
        label, sender = str(batch.roles.label), batch.roles.contributor
        labels = texts(batch, label)
        classes = _judged(batch.schema, batch.roles, labels)
        codes = classes.codes(labels)
        table = read_columns(batch, batch.roles.features)
        matrix = Encoder.fit(table, batch.roles.features).transform(table)
        groups = texts(batch, sender) if sender else None
        probabilities = out_of_fold(
            matrix, codes, len(classes.names),
            model=self.settings.model, seed=self.seed, groups=groups,
        )  # fmt: skip
        references = References.of(probabilities, codes)
        return _scored(classes, labels, codes, probabilities, references)

    def _unjudged(self, scored: Scored, label: str) -> list[Finding]:
        """Rows whose label no model knows: a way around the rule, unless trusted rows do it too.

        A label that no trusted row carries is a certain claim. Missing and rare labels are held
        against how often trusted rows have them. Without a baseline both are only noted.
        """
        known = self.trusted.labels if self.trusted else {}
        groups: dict[str, list[int]] = {"LABEL_MISSING": [], "LABEL_NEW": [], "LABEL_UNSEEN": []}
        for row in np.flatnonzero(scored.codes < 0).tolist():
            text = scored.labels[row]
            new = self.trusted is not None and text not in known
            code = "LABEL_MISSING" if text is None else "LABEL_NEW" if new else "LABEL_UNSEEN"
            groups[code].append(row)
        judged = sum(known.get(name, 0) for name in scored.classes.names)
        counts = {
            "LABEL_MISSING": known.get("(missing)", 0),
            "LABEL_UNSEEN": sum(known.values()) - judged - known.get("(missing)", 0),
        }
        return [
            self._unjudged_finding(code, rows, label, counts.get(code), scored)
            for code, rows in groups.items()
            if rows
        ]

    def _unjudged_finding(
        self, code: str, rows: list[int], label: str, trusted: int | None, scored: Scored
    ) -> Finding:
        what = {
            "LABEL_MISSING": "have no label",
            "LABEL_NEW": "carry a label that no trusted row has",
            "LABEL_UNSEEN": "carry a label too rare to judge",
        }[code]
        p = None
        if self.trusted is not None and trusted is not None:
            base = sum(self.trusted.labels.values())
            p = min(1.0, 2.0 * excess_tail(len(rows), len(scored.codes), trusted, base))
        return Finding(
            rule=self.rule.id,
            severity=Severity.MEDIUM,
            message=f"{len(rows)} rows {what} in column {label!r}",
            p_value=p,
            evidence={"code": code, "rows": len(rows)},
            rows=row_table(rows, 0.8),
            calibrated=self.trusted is not None,
        )

    def _by_class(self, scored: Scored) -> list[Finding]:
        groups = {
            name: np.flatnonzero(scored.codes == i) for i, name in enumerate(scored.classes.names)
        }
        groups = {name: rows for name, rows in groups.items() if len(rows)}
        found = excess_groups(groups, scored.tails, self.settings.levels, trusted=scored.trusted)
        return [
            self._finding(
                excess,
                scored,
                f"label {excess.group!r}: {len(excess.rows)} of {excess.total} rows contradict "
                f"their features, {excess.expected:.1f} expected",
                _looks_like(scored, excess.rows) | {"label": excess.group},
            )
            for excess in found
            if excess.p_value <= self.settings.report_level
        ]

    def _finding(
        self, excess: Excess, scored: Scored, message: str, evidence: dict[str, Scalar]
    ) -> Finding:
        return Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=message,
            p_value=excess.p_value,
            evidence=evidence
            | {
                "rows_beyond": len(excess.rows),
                "rows_in_group": excess.total,
                "expected": round(excess.expected, 2),
                "estimated_bad": max(0, round(len(excess.rows) - excess.expected)),
                "level": excess.level,
            },
            rows=row_table(excess.rows, 1.0 - scored.tails[excess.rows]),
        )


def _apply(trusted: Trusted, batch: Batch) -> Scored:
    """Score every row of the batch against what was trusted, chunk by chunk."""
    missing = [c for c in trusted.encoder.names if c not in batch.schema.names]
    if missing:
        raise Unavailable(f"columns of the baseline are missing: {', '.join(missing[:5])}")
    label = str(batch.roles.label)
    codes, rows = [], []
    for chunk in batch.chunks([*dict.fromkeys((*trusted.encoder.names, label))]):
        codes.append(trusted.classes.codes(as_text(chunk.data.column(label)).to_pylist()))
        rows.append(trusted.model.probabilities(trusted.encoder.transform(chunk.data)))
    code, probabilities = np.concatenate(codes), np.concatenate(rows)
    # Read again: equal texts are one object there, and the chunks' own lists would all stay.
    labels = texts(batch, label)
    return _scored(trusted.classes, labels, code, probabilities, trusted.references)


def _scored(
    classes: Classes,
    labels: Sequence[str | None],
    codes: Codes,
    probabilities: Scores,
    references: References,
) -> Scored:
    tails, order = references.tails(probabilities, codes)
    return Scored(
        classes=classes,
        codes=codes,
        probabilities=probabilities,
        tails=tails,
        order=order,
        trusted={name: references.doubts[i].count for i, name in enumerate(classes.names)},
        labels=labels,
    )


def _columns(sample: pa.Table, roles: Roles) -> tuple[list[str | None], list[str | None] | None]:
    """Labels and contributors (None without that role) of a table, as text."""
    if roles.label is None:
        raise Unavailable("no label role")
    labels = as_text(sample.column(roles.label)).to_pylist()
    sender = roles.contributor
    return labels, as_text(sample.column(sender)).to_pylist() if sender else None


def _judged(schema: pa.Schema, roles: Roles, labels: list[str | None]) -> Classes:
    """The classes to model.

    Raises:
        Unavailable: a real-valued target, or fewer than two classes with enough rows.
    """
    label = str(roles.label)
    if pa.types.is_floating(schema.field(label).type) and len(set(labels)) > CONTINUOUS:
        raise Unavailable(f"label {label!r} is a real number; this rule needs classes")
    classes = Classes.of(labels)
    if len(classes.names) < 2:
        raise Unavailable(f"label {label!r} has fewer than two classes with 10 rows")
    return classes


def _looks_like(scored: Scored, rows: Codes) -> dict[str, Scalar]:
    """What the features say instead, and cleanlab's count of confidently wrong rows."""
    if not len(rows):
        return {}
    predicted = scored.probabilities[rows].argmax(axis=1)
    common = int(np.bincount(predicted).argmax())
    return {
        "looks_like": scored.classes.names[common],
        "confidently_wrong": _confidently_wrong(scored, rows),
    }


def _confidently_wrong(scored: Scored, rows: Codes) -> int:
    """Off-diagonal mass of the confident joint over the rows of these labels."""
    from cleanlab.count import compute_confident_joint

    known = np.flatnonzero(scored.codes >= 0)
    if len(np.unique(scored.codes[known])) < len(scored.classes.names):
        return 0  # the joint is defined only where every class occurs
    joint, off = compute_confident_joint(
        scored.codes[known],
        scored.probabilities[known],
        calibrate=False,
        return_indices_of_off_diagonals=True,
    )
    del joint
    wrong = known[np.asarray(off, dtype=np.int64)]
    return int(np.isin(wrong, rows).sum())
