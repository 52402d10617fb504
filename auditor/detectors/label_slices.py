"""A label that is too frequent in a slice of rows (attacks: targeted flips, bias).

Shows as more rows of a label in a slice (column = value, column in a range, two of them together,
a region around a centre of trusted rows, rows that the model is as sure about, or expects the same
label of) than a model of trusted rows and the same slice among trusted rows explain. Flips of a
subpopulation are few among all rows and many in their slice, whoever sent them. Misses
subpopulations that nothing of this cuts out, and labels that nothing in the features speaks for or
against.

Rao 1948 (score tests); Jagielski et al. 2021 (Subpopulation data poisoning attacks).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.baseline import Baseline
from auditor.batch import Batch, Roles, Shared, as_text
from auditor.coded import coded
from auditor.context import Context
from auditor.copies import take_rows
from auditor.errors import Unavailable
from auditor.features import Encoder, Matrix, numbers
from auditor.items import Slot, fit_slots
from auditor.labels.model import Classes, Codes, LabelModel, Model, Scores, out_of_fold
from auditor.labels.predicted import Items, Likeliest, Margins, Predicted
from auditor.labels.slices import REGIONS, Cut, Labelled, Slice, label_slices
from auditor.labels.trusted import trusted_labels
from auditor.model import Effect, Family, Finding, Outcome, Rule, Severity, row_table
from auditor.regions import Partition, fit_regions

#: Classes whose residuals are looked at, the most frequent ones.
CLASSES = 20
#: More distinct values than this in a real-valued label make it a target to regress on.
CONTINUOUS = 50
#: Probabilities that differ by less are equal: sums depend on the order of rows.
EQUAL = 1e-9
#: Rows that are searched for each trusted one at most. Trusted rows are the smaller side then: all
#: rows of a longer batch would make no score more than 3 % larger.
LONGER = 16
#: Rows of a slice more likely wrong than not: the label's probability is below this.
UNLIKELY = 0.5


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of AUD-L002.

    `model`: which classifier. `report_level`: corrected p-value below which a slice becomes a
    finding.
    """

    model: Model = "logistic"
    report_level: float = 0.05


Way = Slot | Partition | Predicted


@dataclass(frozen=True, slots=True)
class Told:
    """A slice: how many rows, how many too many carry its label, which do, and their P(label).

    `excess` is over what the model expects. `carrying`: int64[k], `chances`: float64[k].
    """

    rows: int
    excess: float
    carrying: npt.NDArray[np.int64]
    chances: Scores


@dataclass(frozen=True, slots=True)
class Side:
    """Rows whose labels can be judged, and P(label) under a model that had not seen them."""

    table: pa.Table
    codes: Codes
    matrix: Matrix
    chances: Scores

    @property
    def other(self) -> npt.NDArray[np.bool_]:
        """Rows that carry another label than their likeliest: bool[n]."""
        return np.asarray(self.codes != self.chances.argmax(axis=1))

    def items(self, cut: Way) -> Items:
        """The item of each row in a cut: int32[n]."""
        if isinstance(cut, Predicted):
            return cut.codes(self.chances)
        if isinstance(cut, Partition):
            return cut.codes(self.matrix)
        return cut.codes(self.table.column(cut.column).combine_chunks())

    def labelled(self, cuts: Sequence[Way]) -> Labelled:
        """Residuals of each label, and last of any other label than the likeliest."""
        # A label after the other: they are summed one by one, again and again.
        carried = np.zeros((len(self.codes), self.chances.shape[1] + 1), order="F")
        carried[np.arange(len(self.codes)), self.codes] = 1.0
        carried[:, -1] = self.other
        chances = np.asfortranarray(np.column_stack([self.chances, 1.0 - self.chances.max(axis=1)]))
        items = np.stack([self.items(cut) for cut in cuts])
        return Labelled(items, carried - chances, chances * (1.0 - chances))

    def told(self, hits: Sequence[Slice], cuts: Sequence[Way]) -> list[Told]:
        """The rows of each slice."""
        used = {cut for hit in hits for cut, _ in hit.items}
        wanted = {cut: self.items(cuts[cut]) for cut in sorted(used)}
        return [self._told(hit, wanted) for hit in hits]

    def _told(self, hit: Slice, wanted: Mapping[int, Items]) -> Told:
        inside = np.all([wanted[cut] == code for cut, code in hit.items], axis=0)
        if hit.label < self.chances.shape[1]:
            carry, chance = self.codes == hit.label, self.chances[:, hit.label]
        else:
            carry, chance = self.other, 1.0 - self.chances.max(axis=1)
        rows = np.flatnonzero(inside & carry)
        excess = len(rows) - float(chance[inside].sum())
        return Told(int(inside.sum()), excess, rows, self.chances[rows, self.codes[rows]])


@dataclass(frozen=True, slots=True)
class Trusted:
    """The model of trusted rows, what it says of them when it has not seen them, and partitions."""

    classes: Classes
    encoder: Encoder
    model: LabelModel
    side: Side
    partitions: tuple[Partition | Predicted, ...]

    @classmethod
    def fit(cls, baseline: Baseline, settings: Options, seed: int, shared: Shared) -> Trusted:
        """Fit on trusted rows, and once more without each of their folds."""
        table, kind = baseline.sample, settings.model
        classes, _ = _judged(table, baseline.roles)
        fitted = trusted_labels(baseline, classes, model=kind, seed=seed, shared=shared)
        codes, known = fitted.codes, fitted.codes >= 0
        held_out = out_of_fold(
            fitted.matrix, codes, len(classes.names), model=kind, seed=seed, groups=None, folds=3
        )
        side = Side(
            table.filter(pa.array(known)), codes[known], fitted.matrix[known], held_out[known]
        )
        regions = fit_regions(side.table, fitted.encoder, side.matrix, seed=baseline.seed)
        said = Margins.fit(side.chances), Likeliest.of(classes.names)
        partitions: tuple[Partition | Predicted, ...] = (*regions, *said)
        return cls(classes, fitted.encoder, fitted.model, side, partitions)


@dataclass(frozen=True, slots=True)
class New:
    """The batch, and the class of each of its rows, -1 where it cannot be judged: int64[rows]."""

    batch: Batch
    codes: Codes
    trusted: Trusted

    def some(self, rows: npt.NDArray[np.int64]) -> Side:
        """These rows, ascending, as the model of trusted rows sees them."""
        table = take_rows(self.batch, self.trusted.encoder.names, rows)
        return self._side(table, self.codes[rows])

    def _side(self, table: pa.Table, codes: Codes) -> Side:
        matrix = self.trusted.encoder.transform(table)
        return Side(table, codes, matrix, self.trusted.model.probabilities(matrix))

    def told(self, hits: Sequence[Slice], cuts: Sequence[Way]) -> list[Told]:
        """The slices that were found in some rows, counted in all of them."""
        parts: list[list[Told]] = [[] for _ in hits]
        for chunk in self.batch.chunks(self.trusted.encoder.names) if hits else ():
            codes = self.codes[chunk.start : chunk.start + chunk.data.num_rows]
            rows = np.flatnonzero((codes >= 0) & _may_hold(chunk.data, hits, cuts))
            side = self._side(pa.table(chunk.data).take(pa.array(rows)), codes[rows])
            for found, told in zip(parts, side.told(hits, cuts), strict=True):
                found.append(replace(told, carrying=rows[told.carrying] + chunk.start))
        known = self.trusted.side.told(hits, cuts)
        return [
            _joined(found, own.excess / own.rows) for found, own in zip(parts, known, strict=True)
        ]


def _may_hold(
    data: pa.RecordBatch, hits: Sequence[Slice], cuts: Sequence[Way]
) -> npt.NDArray[np.bool_]:
    """Rows that hold the columns' items of any slice; only they need to be encoded: bool[n]."""
    found = np.zeros(data.num_rows, dtype=bool)
    for hit in hits:
        inside = np.ones(data.num_rows, dtype=bool)
        for cut, code in hit.items:
            if isinstance(way := cuts[cut], Slot):
                inside &= way.codes(data.column(way.column)) == code
        found |= inside
    return found


def _joined(parts: Sequence[Told], usual: float) -> Told:
    """All chunks together; `usual`: what a row of the slice is too many among trusted rows."""
    rows = sum(part.rows for part in parts)
    return Told(
        rows,
        sum(part.excess for part in parts) - rows * usual,
        np.concatenate([part.carrying for part in parts]),
        np.concatenate([part.chances for part in parts]),
    )


@dataclass(frozen=True, slots=True)
class LabelSlices:
    """AUD-L002."""

    trusted: Trusted
    settings: Options
    seed: int

    options: ClassVar[type] = Options
    rule: ClassVar[Rule] = Rule(
        id="AUD-L002",
        family=Family.LABEL,
        title="A label too frequent in a slice of rows",
        severity=Severity.HIGH,
        effect=Effect.QUARANTINE,
        attacks=("targeted-flip", "bias"),
        references=("Jagielski et al. 2021, Subpopulation data poisoning", "ATLAS AML.T0020"),
        needs=("label", "feature"),
        minimum_rows=50,
        # Of more than `LONGER` times the trusted rows a seeded choice of positions is searched.
        order_free=False,
    )

    @classmethod
    def load(cls, context: Context) -> LabelSlices:
        """Needs a baseline: the same slice of trusted rows is what it compares with."""
        baseline = context.baseline
        if baseline is None:
            raise Unavailable("needs a baseline")
        if cls.rule.id not in baseline.thresholds:
            raise Unavailable("the baseline was built without it; build it again")
        settings = context.options(cls.rule.id, Options)
        trusted = Trusted.fit(baseline, settings, context.seed, context.shared)
        return cls(trusted, settings, context.seed)

    @classmethod
    def calibrate(
        cls,
        sample: pa.Table,
        roles: Roles,
        settings: Options,  # noqa: ARG003 - every rule is calibrated by the same call
        seed: int,  # noqa: ARG003
    ) -> dict[str, Any]:
        """Which labels can be judged; a baseline where none can does not ask for this rule."""
        classes, _ = _judged(sample, roles)
        if not Encoder.fit(sample, roles.features).columns:
            raise Unavailable("no number or category among the feature columns")
        return {"classes": list(classes.names)}

    def scan(self, batch: Batch) -> Outcome:
        """One finding for each slice with too many rows of a label."""
        if batch.roles.label is None:
            raise Unavailable("no label role")
        if batch.rows < self.rule.minimum_rows:
            raise Unavailable(f"needs at least {self.rule.minimum_rows} rows, has {batch.rows}")
        names = self.trusted.encoder.names
        missing = [c for c in names if c not in batch.schema.names]
        if missing:
            raise Unavailable(f"columns of the baseline are missing: {', '.join(missing[:5])}")
        codes = coded(batch, batch.roles.label).among(self.trusted.classes.names)
        rows = np.flatnonzero(codes >= 0)
        if not len(rows):
            raise Unavailable("no row has a label that trusted rows have")
        found = self._findings(New(batch, codes, self.trusted), rows)
        return Outcome(rule=self.rule.id, findings=tuple(found))

    def _findings(self, new: New, rows: npt.NDArray[np.int64]) -> Iterator[Finding]:
        known, partitions = self.trusted.side, self.trusted.partitions
        most = LONGER * len(known.codes)
        if len(rows) > most:
            rng = np.random.default_rng([self.seed, 11])
            rows = np.sort(rng.choice(rows, most, replace=False))
        some = new.some(rows)
        fitted = fit_slots(known.table, some.table, self.trusted.encoder.names)
        slots = tuple(_one_a_column(fitted))
        cuts = (*slots, *partitions)
        widths = [Cut(slot.column, slot.width) for slot in slots]
        widths += [
            Cut("", len(one.names), REGIONS if isinstance(one, Partition) else one.kind)
            for one in partitions
        ]
        hits = [
            hit
            for hit in label_slices(some.labelled(cuts), known.labelled(cuts), widths)
            if hit.p_value <= self.settings.report_level
        ]
        for hit, found in zip(hits, new.told(hits, cuts), strict=True):
            words = " and ".join(cuts[cut].names[code] for cut, code in hit.items)
            yield self._finding(hit, words, found)

    def _finding(self, hit: Slice, words: str, found: Told) -> Finding:
        names = self.trusted.classes.names
        label = names[hit.label] if hit.label < len(names) else None
        # As many rows as are too many, the least likely first, with those as unlikely as the last;
        # never one that is likely right.
        own, carrying = found.chances, len(found.carrying)
        least = np.sort(own)[: max(1, round(found.excess))]
        named = np.flatnonzero((own <= least.max(initial=0.0) + EQUAL) & (own < UNLIKELY))
        what = "another label than the likeliest" if label is None else f"label {label!r}"
        return Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"{words}: {found.excess:.0f} more rows with {what} than expected, "
            f"{carrying} of {found.rows} rows carry it",
            p_value=hit.p_value,
            evidence={
                "items": words,
                "label": label,
                "rows": found.rows,
                "carrying": carrying,
                "excess": round(found.excess, 1),
                "z": round(hit.z, 2),
            },
            rows=row_table(found.carrying[named], 1.0 - own[named]),
        )


def _judged(table: pa.Table, roles: Roles) -> tuple[Classes, list[str | None]]:
    """The labels that can be told apart, and each row's label."""
    if roles.label is None:
        raise Unavailable("no label role")
    if not roles.features:
        raise Unavailable("no feature column")
    label = table.column(roles.label).combine_chunks()
    if pa.types.is_floating(label.type) and len(np.unique(numbers(label))) > CONTINUOUS:
        raise Unavailable(f"label {roles.label!r} is a real-valued target")
    labels: list[str | None] = as_text(label).to_pylist()
    classes = Classes(Classes.of(labels).names[:CLASSES])
    if len(classes.names) < 2:
        raise Unavailable("fewer than two labels with enough trusted rows")
    return classes, labels


def _one_a_column(slots: tuple[Slot, ...]) -> Iterator[Slot]:
    """Ranges where a column has them, its values else: a slice has to have many rows."""
    ranges = {slot.column for slot in slots if not slot.exact}
    for slot in slots:
        if not slot.exact or slot.column not in ranges:
            yield slot
