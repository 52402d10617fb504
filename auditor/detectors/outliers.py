"""Rows far from what was trusted (attacks: perturbation, out-of-range values, availability noise).

A small panel of PyOD detectors that score a row the same alone or in a crowd, fitted on trusted
rows: isolation forest over all rows and per class, nearest neighbours over all rows. Thresholds
are quantiles of the scores of held-out trusted rows, one panel a fold (cross-conformal, Vovk 2015);
the claim is excess mass beyond them. Never an average over detectors: each is tested by itself.
Misses backdoors and label flips, whose rows look ordinary.

Liu et al. 2008 (isolation forest), Ramaswamy et al. 2000 (distance to the nearest neighbours).
ECOD and COPOD are not admissible: a crowd of copies hides a row (PyOD concatenates training and new
rows). HBOS would cost three seconds of compilation in each process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.baseline import Baseline
from auditor.batch import Batch, Roles, as_text, read_columns
from auditor.context import Context
from auditor.errors import Unavailable
from auditor.features import Encoder
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
from auditor.tails import Codes, Excess, Reference, Scores, excess_groups

#: Rows a class needs before it gets a forest of its own, and classes that get one at most.
CLASS_ROWS = 200
CLASS_COUNT = 10
#: Trusted rows that new rows are compared with; distances to more of them add cost, little power.
NEIGHBOUR_ROWS = 4_000
#: Parts of the trusted rows: a panel is fitted without each of them and takes its quantiles there.
FOLDS = 3


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of AUD-F001.

    `levels`: trusted quantiles at which mass is compared. `report_level`: corrected p-value below
    which a group becomes a finding. `trees`: size of each
    isolation forest, shared out over the folds.
    """

    levels: tuple[float, ...] = (0.99, 0.999)
    report_level: float = 0.05
    trees: int = 100


@dataclass(frozen=True)
class Panel:
    """Fitted detectors by name; a name "forest:<label>" scores only rows of that label."""

    encoder: Encoder
    members: Mapping[str, Any]

    def scores(
        self, data: pa.Table | pa.RecordBatch, labels: list[str | None]
    ) -> dict[str, Scores]:
        """One float64[n] for each member, higher = worse; NaN where it does not apply."""
        matrix = self.encoder.transform(data)
        given = np.array(["" if x is None else x for x in labels], dtype=object)
        found = {}
        for name, member in self.members.items():
            scope = name.partition(":")[2]
            mine = given == scope if scope else np.ones(len(matrix), dtype=bool)
            values = np.full(len(matrix), np.nan)
            if mine.any():
                values[mine] = member.decision_function(matrix[mine])
            found[name] = values
        return found


@dataclass(frozen=True)
class Fold:
    """A panel and the quantiles of its scores on trusted rows that it was not fitted on."""

    panel: Panel
    references: Mapping[str, Reference]

    def tails(self, data: pa.RecordBatch, labels: list[str | None]) -> dict[str, Scores]:
        """Share of trusted rows that score as badly: float64[n] a member, NaN as `Panel.scores`."""
        scores = self.panel.scores(data, labels)
        return {
            name: np.where(np.isnan(scores[name]), np.nan, reference.tail(scores[name]))
            for name, reference in self.references.items()
        }


@dataclass(frozen=True, slots=True)
class Outliers:
    """AUD-F001."""

    trusted: tuple[Fold, ...] | None
    settings: Options
    seed: int

    options: ClassVar[type] = Options
    rule: ClassVar[Rule] = Rule(
        id="AUD-F001",
        family=Family.FEATURE,
        title="Rows far from what was trusted",
        severity=Severity.MEDIUM,
        effect=Effect.QUARANTINE,
        attacks=("perturbation", "out-of-range"),
        references=("Liu et al. 2008, Isolation forest", "ATLAS AML.T0020"),
        needs=("feature",),
        row_local=True,
        minimum_rows=50,
    )

    @classmethod
    def load(cls, context: Context) -> Outliers:
        """Works with and without a baseline; without one it only ranks."""
        settings, baseline = context.options(cls.rule.id, Options), context.baseline
        trusted = _trusted(baseline, settings) if baseline else None
        return cls(trusted, settings, context.seed)

    @classmethod
    def calibrate(
        cls, sample: pa.Table, roles: Roles, settings: Options, seed: int
    ) -> dict[str, Any]:
        """For each fold, score quantiles of its rows, which its panel is not fitted on."""
        if not roles.features:
            raise Unavailable("no feature column")
        found = []
        for train, held in _folds(sample, seed):
            scores = _fit(train, roles, settings, seed, FOLDS).scores(held, _labels(held, roles))
            found.append({name: Reference.of(v).to_json() for name, v in scores.items()})
        return {"trees": settings.trees, "folds": found}

    def scan(self, batch: Batch) -> Outcome:
        """One finding for each panel member with excess mass, and the ranking."""
        if not batch.roles.features:
            raise Unavailable("no feature column")
        if batch.rows < self.rule.minimum_rows:
            raise Unavailable(f"needs at least {self.rule.minimum_rows} rows, has {batch.rows}")
        if self.trusted is None:
            return self._rank_only(batch)
        return self._against(batch, self.trusted)

    def _against(self, batch: Batch, folds: tuple[Fold, ...]) -> Outcome:
        encoder = folds[0].panel.encoder
        used = sorted({name for fold in folds for name in fold.panel.encoder.names})
        missing = [c for c in used if c not in batch.schema.names]
        if missing:
            raise Unavailable(f"columns of the baseline are missing: {', '.join(missing[:5])}")
        tails = _scan_tails(folds, batch, used)
        findings = tuple(
            self._finding(name, excess, batch, encoder, tails[name])
            for name, excess in self._excess(folds, tails)
        )
        worst = _minimum([np.nan_to_num(t, nan=1.0) for t in tails.values()], len(tails))
        return Outcome(rule=self.rule.id, findings=findings, ranking=_worst(worst))

    def _excess(
        self, folds: tuple[Fold, ...], tails: Mapping[str, Scores]
    ) -> list[tuple[str, Excess]]:
        """Groups with excess mass, each panel member a group of its own; Holm over all."""
        joined = np.concatenate(list(tails.values()))
        rows = len(joined) // len(tails)
        groups = {
            name: np.flatnonzero(~np.isnan(own)) + i * rows
            for i, (name, own) in enumerate(tails.items())
        }
        groups = {name: group for name, group in groups.items() if len(group)}
        trusted = {name: sum(f.references[name].count for f in folds) for name in groups}
        found = excess_groups(groups, joined, self.settings.levels, trusted=trusted)
        return [
            (e.group, Excess(e.group, e.level, e.rows % rows, e.total, e.expected, e.p_value))
            for e in found
            if e.p_value <= self.settings.report_level
        ]

    def _finding(
        self, name: str, excess: Excess, batch: Batch, encoder: Encoder, tails: Scores
    ) -> Finding:
        member, _, label = name.partition(":")
        where = f" with label {label!r}" if label else ""
        columns = _driving(batch, encoder, excess.rows)
        return Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"{len(excess.rows)} of {excess.total} rows{where} lie beyond the trusted "
            f"{excess.level:.1%} quantile ({member}), {excess.expected:.1f} expected; "
            f"most by {', '.join(columns)}",
            p_value=excess.p_value,
            evidence={
                "member": member,
                "label": label or None,
                "columns": ", ".join(columns),
                "rows_beyond": len(excess.rows),
                "expected": round(excess.expected, 2),
                "level": excess.level,
            },
            rows=row_table(excess.rows, 1.0 - tails[excess.rows]),
        )

    def _rank_only(self, batch: Batch) -> Outcome:
        """No baseline: each half is scored by a panel fitted on the other; nothing is claimed."""
        columns = [*dict.fromkeys((*batch.roles.features, *filter(None, [batch.roles.label])))]
        table = read_columns(batch, columns)
        labels = _labels(table, batch.roles)
        half = np.random.default_rng(self.seed).permutation(batch.rows) % 2
        tails = np.ones(batch.rows)
        for held in (0, 1):
            train, test = np.flatnonzero(half != held), np.flatnonzero(half == held)
            panel = _fit(table.take(train), batch.roles, self.settings, self.seed)
            scores = panel.scores(table.take(test), [labels[i] for i in test])
            own = [Reference.of(values).tail(values) for values in scores.values()]
            tails[test] = _minimum(own, len(own))
        return Outcome(rule=self.rule.id, ranking=_worst(tails))


def _folds(sample: pa.Table, seed: int) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Rows to fit on and rows to take quantiles from (cross-conformal prediction, Vovk 2015)."""
    fold = np.random.default_rng(seed).permutation(sample.num_rows) % FOLDS
    for held in range(FOLDS):
        yield sample.take(np.flatnonzero(fold != held)), sample.take(np.flatnonzero(fold == held))


def _trusted(baseline: Baseline, settings: Options) -> tuple[Fold, ...]:
    """The panels that were calibrated, fitted again, with their stored score quantiles.

    The very same forests: those of another seed or sample score by another scale, which would
    look like drift.
    """
    stored = baseline.thresholds.get(Outliers.rule.id)
    if not stored:
        raise Unavailable("the baseline holds no thresholds for it; build it again")
    # A class of just enough rows may have a forest in one fold and none in another.
    if stored["trees"] != settings.trees:
        raise Unavailable(
            f"the baseline was calibrated with {stored['trees']} trees; build it again for "
            f"{settings.trees}"
        )
    names = [n for n in stored["folds"][0] if all(n in own for own in stored["folds"])]
    return tuple(
        Fold(
            _fit(train, baseline.roles, settings, baseline.seed, FOLDS),
            {name: Reference.from_json(own[name]) for name in names},
        )
        for own, (train, _) in zip(
            stored["folds"], _folds(baseline.sample, baseline.seed), strict=True
        )
    )


def _fit(table: pa.Table, roles: Roles, settings: Options, seed: int, folds: int = 1) -> Panel:
    """A panel of one of `folds` folds, which share the trees and the neighbours between them."""
    from pyod.models.iforest import IForest
    from pyod.models.knn import KNN

    encoder = Encoder.fit(table, roles.features)
    matrix = encoder.transform(table)
    if not encoder.columns:
        raise Unavailable("no number or category among the feature columns")
    seed %= 2**32  # scikit-learn takes no larger one
    trees = -(-settings.trees // folds)
    chosen = np.random.default_rng(seed).permutation(len(matrix))[: NEIGHBOUR_ROWS // folds]
    near = matrix[np.sort(chosen)]
    members: dict[str, Any] = {
        "forest": IForest(n_estimators=trees, random_state=seed).fit(matrix),
        "neighbours": KNN(n_neighbors=5, method="mean").fit(near),
    }
    labels = _labels(table, roles)
    for label in _frequent(labels):
        mine = np.array([x == label for x in labels], dtype=bool)
        forest = IForest(n_estimators=trees, random_state=seed)
        members[f"forest:{label}"] = forest.fit(matrix[mine])
    return Panel(encoder, members)


def _frequent(labels: list[str | None]) -> list[str]:
    counts = Counter(x for x in labels if x)
    order = sorted(counts, key=lambda name: (-counts[name], name))
    return [name for name in order[:CLASS_COUNT] if counts[name] >= CLASS_ROWS]


def _labels(table: pa.Table, roles: Roles) -> list[str | None]:
    if roles.label is None:
        return [None] * table.num_rows
    found: list[str | None] = as_text(table.column(roles.label)).to_pylist()
    return found


def _scan_tails(folds: tuple[Fold, ...], batch: Batch, used: list[str]) -> dict[str, Scores]:
    """The mean over the folds of each member's tails, chunk by chunk: float64[rows]."""
    label = batch.roles.label
    columns = [*dict.fromkeys((*used, *filter(None, [label])))]
    parts: dict[str, list[Scores]] = {}
    for chunk in batch.chunks(columns):
        rows = chunk.data.num_rows
        labels = as_text(chunk.data.column(label)).to_pylist() if label else [None] * rows
        found = [fold.tails(chunk.data, labels) for fold in folds]
        for name in found[0]:
            parts.setdefault(name, []).append(np.mean([own[name] for own in found], axis=0))
    return {name: np.concatenate(values) for name, values in parts.items()}


def _minimum(tails: list[Scores], tests: int) -> Scores:
    """The smallest tail over the panel, corrected for taking the smallest: float64[n]."""
    smallest: Scores = np.minimum(np.min(np.stack(tails), axis=0) * tests, 1.0)
    return smallest


def _worst(tails: Scores) -> pa.Table:
    worst = np.argsort(tails, kind="stable")[: max(10, len(tails) // 20)]
    worst = worst[tails[worst] < 0.2]
    return ranking_table(worst, tails[worst])


def _driving(batch: Batch, encoder: Encoder, rows: Codes, count: int = 3) -> list[str]:
    """The columns in which these rows differ most from trusted ones, by mean absolute value."""
    wanted = np.sort(rows)
    total = np.zeros(encoder.width)
    for chunk in batch.chunks(list(encoder.names)):
        start, stop = np.searchsorted(wanted, (chunk.start, chunk.start + len(chunk.data)))
        if stop > start:
            part = chunk.data.take(pa.array(wanted[start:stop] - chunk.start))
            total += np.minimum(np.abs(encoder.transform(part)), 100.0).sum(axis=0)
    return _top_columns(total, encoder.origin, count)


def _top_columns(total: npt.NDArray[np.float64], origin: tuple[str, ...], count: int) -> list[str]:
    weight: dict[str, float] = {}
    for value, name in zip(total, origin, strict=True):
        if name:
            weight[name] = max(weight.get(name, 0.0), float(value))
    return sorted(weight, key=lambda n: (-weight[n], n))[:count]
