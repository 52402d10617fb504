"""Rows unlike what was trusted (attacks: perturbation, out-of-range values, out-of-distribution).

A small panel of detectors that score a row the same alone or in a crowd, fitted on trusted rows:
models of which values belong together, and isolation forests over all rows and per class.
Thresholds are quantiles of the scores of held-out trusted rows, one panel a fold (cross-conformal,
Vovk 2015); the claim is excess mass beyond them. Never an average over detectors: each is tested by
itself.
Misses backdoors and label flips, whose rows look ordinary, and values that only another unit makes
wrong where they stay plausible.

Hastie, Tibshirani, Friedman 2009, 14.2.4 (a classifier against made rows), Liu et al. 2008
(isolation forest). ECOD and COPOD are not admissible: a crowd of copies hides a row (PyOD
concatenates training and new rows). HBOS would cost three seconds of compilation in each process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.baseline import Baseline
from auditor.batch import Batch, Roles, as_text, read_columns
from auditor.coded import Coded, code, coded
from auditor.context import Context
from auditor.errors import Unavailable
from auditor.features import Encoder
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
from auditor.panel import VERSION, Panel, fit_panel, strongest
from auditor.tails import (
    Codes,
    Excess,
    Reference,
    Scores,
    dispersion_between,
    excess_groups,
)

#: Parts of the trusted rows: a panel is fitted without each of them and takes its quantiles there.
FOLDS = 3
#: From this many trusted rows on one held-out third is enough, and costs a third.
ONE_FOLD_ROWS = 6_000
#: Rows of a contributor that is judged by itself, and how many contributors are, the largest.
SENDER_ROWS = 5
SENDERS = 1_000
NAME = 200
#: Squared coefficient of variation of the tail rate between honest contributors, at least.
DISPERSION = 0.25
#: Where it is measured: further out there are too few rows of one contributor.
SPREAD_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of AUD-F001.

    `levels`: trusted quantiles at which mass is compared. `report_level`: corrected p-value below
    which a group becomes a finding. `trees`: size of each
    isolation forest, shared out over the folds.
    """

    levels: tuple[float, ...] = (0.99, 0.999)
    report_level: float = 0.05
    trees: int = 50


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
    dispersion: float = DISPERSION

    options: ClassVar[type] = Options
    rule: ClassVar[Rule] = Rule(
        id="AUD-F001",
        family=Family.FEATURE,
        title="Rows far from what was trusted",
        severity=Severity.MEDIUM,
        effect=Effect.QUARANTINE,
        attacks=("perturbation", "out-of-range", "out-of-distribution"),
        references=(
            "Hastie, Tibshirani, Friedman 2009, 14.2.4, Unsupervised as supervised learning",
            "Liu et al. 2008, Isolation forest",
            "ATLAS AML.T0020",
        ),
        needs=("feature",),
        row_local=True,
        minimum_rows=50,
    )

    @classmethod
    def load(cls, context: Context) -> Outliers:
        """Works with and without a baseline; without one it only ranks."""
        settings, baseline = context.options(cls.rule.id, Options), context.baseline
        if baseline is None:
            return cls(None, settings, context.seed)
        trusted = _trusted(baseline, settings)
        between = float(baseline.thresholds[cls.rule.id]["dispersion"])
        return cls(trusted, settings, context.seed, max(between, DISPERSION))

    @classmethod
    def calibrate(
        cls, sample: pa.Table, roles: Roles, settings: Options, seed: int
    ) -> dict[str, Any]:
        """For each fold, score quantiles of its rows, which its panel is not fitted on."""
        if not roles.features:
            raise Unavailable("no feature column")
        found, tails, senders = [], [], []
        for train, held in _folds(sample, seed):
            scores = _fit(train, roles, settings, seed, _fold_count(sample)).scores(
                held, _labels(held, roles)
            )
            own = {name: Reference.of(values) for name, values in scores.items()}
            found.append({name: reference.to_json() for name, reference in own.items()})
            tails.append(strongest({name: own[name].tail(v) for name, v in scores.items()}))
            if roles.contributor:
                senders += held.column(roles.contributor).chunks
        between = 0.0
        if senders:
            groups = _groups(code(senders))
            between = dispersion_between(groups, np.concatenate(tails), SPREAD_LEVEL)
        return {
            "panel": VERSION,
            "trees": settings.trees,
            "folds": found,
            "dispersion": between,
        }

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
        worst = strongest(tails)
        senders = self._by_sender(batch, worst, folds)
        # Members and contributors are two questions; each has half of what the rule may spend.
        parts = 2 if senders else 1
        found = [(e, *e.group.partition(":")[::2], "") for e in self._excess(folds, tails)]
        found += [(e, "any", "", e.group[:NAME]) for e in senders]
        findings = tuple(
            self._finding(
                e, member, label, sender, batch, encoder, worst, min(1.0, parts * e.p_value)
            )
            for e, member, label, sender in found
            if parts * e.p_value <= self.settings.report_level
        )
        return Outcome(rule=self.rule.id, findings=findings, ranking=_worst(worst))

    def _excess(self, folds: tuple[Fold, ...], tails: Mapping[str, Scores]) -> list[Excess]:
        """Excess mass of each panel member, a group of its own; Holm over all."""
        joined = np.concatenate(list(tails.values()))
        rows = len(joined) // len(tails)
        groups = {
            name: np.flatnonzero(~np.isnan(own)) + i * rows
            for i, (name, own) in enumerate(tails.items())
        }
        groups = {name: group for name, group in groups.items() if len(group)}
        trusted = {name: sum(f.references[name].count for f in folds) for name in groups}
        found = excess_groups(groups, joined, self.settings.levels, trusted=trusted)
        return [replace(e, rows=e.rows % rows) for e in found]

    def _by_sender(self, batch: Batch, worst: Scores, folds: tuple[Fold, ...]) -> list[Excess]:
        """Excess mass of each contributor's rows by their strongest tail; Holm over all.

        Honest contributors differ: their rates may vary as they do in the baseline, and never less
        than by `DISPERSION`.
        """
        if batch.roles.contributor is None:
            return []
        groups = _groups(coded(batch, batch.roles.contributor))
        trusted = dict.fromkeys(groups, sum(f.references["forest"].count for f in folds))
        return excess_groups(
            groups, worst, self.settings.levels, trusted=trusted, dispersion=self.dispersion
        )

    def _finding(
        self,
        excess: Excess,
        member: str,
        label: str,
        sender: str,
        batch: Batch,
        encoder: Encoder,
        worst: Scores,
        p_value: float,
    ) -> Finding:
        where = (
            f" with label {label!r}" if label else f" of contributor {sender!r}" if sender else ""
        )
        columns = _driving(batch, encoder, excess.rows)
        evidence: dict[str, Scalar] = {
            "member": member,
            "label": label or None,
            "columns": ", ".join(columns),
            "rows_beyond": len(excess.rows),
            "expected": round(excess.expected, 2),
            "level": excess.level,
        }
        if sender:
            evidence["contributor"] = sender
        return Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"{len(excess.rows)} of {excess.total} rows{where} lie beyond the trusted "
            f"{excess.level:.1%} quantile ({member}), {excess.expected:.1f} expected; "
            f"most by {', '.join(columns)}",
            p_value=p_value,
            evidence=evidence,
            rows=row_table(excess.rows, 1.0 - worst[excess.rows]),
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
            own = {n: Reference.of(values).tail(values) for n, values in scores.items()}
            tails[test] = strongest(own)
        return Outcome(rule=self.rule.id, ranking=_worst(tails))


def _groups(known: Coded) -> dict[str, Codes]:
    """Rows of each contributor with enough of them, the largest `SENDERS`."""
    order = np.argsort(known.codes, kind="stable")
    ends = known.missing + np.cumsum(known.counts)
    largest = np.argsort(-known.counts, kind="stable")[:SENDERS]
    return {
        known.names[at]: np.sort(order[ends[at] - known.counts[at] : ends[at]])
        for at in largest.tolist()
        if known.counts[at] >= SENDER_ROWS
    }


def _folds(sample: pa.Table, seed: int) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Rows to fit on and rows to take quantiles from (cross-conformal prediction, Vovk 2015)."""
    fold = np.random.default_rng(seed).permutation(sample.num_rows) % FOLDS
    for held in range(_fold_count(sample)):
        yield sample.take(np.flatnonzero(fold != held)), sample.take(np.flatnonzero(fold == held))


def _fold_count(sample: pa.Table) -> int:
    return FOLDS if sample.num_rows < ONE_FOLD_ROWS else 1


def _trusted(baseline: Baseline, settings: Options) -> tuple[Fold, ...]:
    """The panels that were calibrated, fitted again, with their stored score quantiles.

    The very same forests: those of another seed or sample score by another scale, which would
    look like drift.
    """
    stored = baseline.thresholds.get(Outliers.rule.id)
    if not stored:
        raise Unavailable("the baseline holds no thresholds for it; build it again")
    if stored.get("panel") != VERSION:
        raise Unavailable("the baseline was calibrated for another panel; build it again")
    if stored["trees"] != settings.trees:
        raise Unavailable(
            f"the baseline was calibrated with {stored['trees']} trees; build it again for "
            f"{settings.trees}"
        )
    # A class of just enough rows may have a forest in one fold and none in another.
    names = [n for n in stored["folds"][0] if all(n in own for own in stored["folds"])]
    return tuple(
        Fold(
            _fit(train, baseline.roles, settings, baseline.seed, _fold_count(baseline.sample)),
            {name: Reference.from_json(own[name]) for name in names},
        )
        for own, (train, _) in zip(
            stored["folds"], _folds(baseline.sample, baseline.seed), strict=True
        )
    )


def _fit(table: pa.Table, roles: Roles, settings: Options, seed: int, folds: int = 1) -> Panel:
    """A panel of one of `folds` folds, which share the trees between them."""
    trees = -(-settings.trees // folds)
    return fit_panel(table, _labels(table, roles), roles, trees=trees, seed=seed)


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
