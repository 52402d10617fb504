"""A label that is too frequent in a slice of rows (attacks: targeted flips, bias).

Shows as more rows of a label in a slice (column = value, column in a range, two of them together,
a region around a centre of trusted rows, rows that the model is as sure about) than a model of
trusted rows and the same slice among trusted rows explain. Flips of a subpopulation are few among
all rows and many in their slice, whoever sent them. Misses subpopulations that nothing of this cuts
out, and labels that nothing in the features speaks for or against.

Rao 1948 (score tests); Jagielski et al. 2021 (Subpopulation data poisoning attacks).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.baseline import Baseline
from auditor.batch import Batch, Roles, Shared, as_text, read_columns
from auditor.context import Context
from auditor.errors import Unavailable
from auditor.features import Encoder, Matrix, numbers
from auditor.items import Slot, fit_slots
from auditor.labels.model import Classes, Codes, LabelModel, Scores, out_of_fold
from auditor.labels.slices import REGIONS, Cut, Labelled, Slice, label_slices
from auditor.labels.trusted import trusted_labels
from auditor.model import Effect, Family, Finding, Outcome, Rule, Severity, row_table
from auditor.regions import Partition, fit_regions

Items = npt.NDArray[np.int32]

#: Classes whose residuals are looked at, the most frequent ones.
CLASSES = 20
#: More distinct values than this in a real-valued label make it a target to regress on.
CONTINUOUS = 50
#: Shares of trusted rows below which the model's margin is a bin of its own.
UNDECIDED = (0.03, 0.06, 0.12, 0.25, 0.5)
#: Probabilities that differ by less are equal: sums depend on the order of rows.
EQUAL = 1e-9
#: Rows of a slice more likely wrong than not: the label's probability is below this.
UNLIKELY = 0.5


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of AUD-L002.

    `model`: which classifier. `report_level`: corrected p-value below which a slice becomes a
    finding.
    """

    model: Literal["logistic", "hist_gradient_boosting"] = "logistic"
    report_level: float = 0.05


@dataclass(frozen=True, slots=True)
class Margins:
    """A partition by how undecided the model is: lowest margins first, float64[k - 1] edges."""

    edges: Scores
    names: tuple[str, ...]

    @classmethod
    def fit(cls, chances: Scores) -> Margins:
        """Bins that hold these shares of trusted rows."""
        edges = np.unique(np.quantile(_margin(chances), UNDECIDED))
        ends = [0.0, *edges.tolist(), 1.0]
        return cls(
            edges, tuple(f"margin of the model {a:.2g} to {b:.2g}" for a, b in pairwise(ends))
        )

    def codes(self, chances: Scores) -> Items:
        """The bin of each row: int32[n]."""
        return np.searchsorted(self.edges, _margin(chances), side="right").astype(np.int32)


def _margin(chances: Scores) -> Scores:
    """The likeliest label's probability minus the next one's: float64[n]."""
    two = np.partition(chances, -2, axis=1)[:, -2:]
    margin: Scores = two[:, 1] - two[:, 0]
    return margin


Way = Slot | Partition | Margins


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
        if isinstance(cut, Margins):
            return cut.codes(self.chances)
        if isinstance(cut, Partition):
            return cut.codes(self.matrix)
        return cut.codes(self.table.column(cut.column).combine_chunks())

    def labelled(self, cuts: tuple[Way, ...]) -> Labelled:
        """Residuals of each label, and last of any other label than the likeliest."""
        carried = np.zeros((len(self.codes), self.chances.shape[1] + 1))
        carried[np.arange(len(self.codes)), self.codes] = 1.0
        carried[:, -1] = self.other
        chances = np.column_stack([self.chances, 1.0 - self.chances.max(axis=1)])
        items = np.stack([self.items(cut) for cut in cuts])
        return Labelled(items, carried - chances, chances * (1.0 - chances))


@dataclass(frozen=True, slots=True)
class Trusted:
    """The model of trusted rows, what it says of them when it has not seen them, and partitions."""

    classes: Classes
    encoder: Encoder
    model: LabelModel
    side: Side
    partitions: tuple[Partition | Margins, ...]

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
        partitions: tuple[Partition | Margins, ...] = (*regions, Margins.fit(side.chances))
        return cls(classes, fitted.encoder, fitted.model, side, partitions)


@dataclass(frozen=True, slots=True)
class LabelSlices:
    """AUD-L002."""

    trusted: Trusted
    settings: Options

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
        return cls(trusted, settings)

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
        table = read_columns(batch, [*dict.fromkeys((*names, batch.roles.label))])
        codes = self.trusted.classes.codes(as_text(table.column(batch.roles.label)).to_pylist())
        rows = np.flatnonzero(codes >= 0)
        if not len(rows):
            raise Unavailable("no row has a label that trusted rows have")
        table = table.take(pa.array(rows))
        matrix = self.trusted.encoder.transform(table)
        new = Side(table, codes[rows], matrix, self.trusted.model.probabilities(matrix))
        return Outcome(rule=self.rule.id, findings=tuple(self._findings(new, rows)))

    def _findings(self, new: Side, rows: npt.NDArray[np.int64]) -> Iterator[Finding]:
        known, partitions = self.trusted.side, self.trusted.partitions
        fitted = fit_slots(known.table, new.table, self.trusted.encoder.names)
        slots = tuple(_one_a_column(fitted))
        cuts = (*slots, *partitions)
        widths = [Cut(slot.column, slot.width) for slot in slots]
        widths += [
            Cut("", len(one.names), REGIONS if isinstance(one, Partition) else "margins")
            for one in partitions
        ]
        labelled = new.labelled(cuts)
        for hit in label_slices(labelled, known.labelled(cuts), widths):
            if hit.p_value <= self.settings.report_level:
                words = " and ".join(cuts[cut].names[code] for cut, code in hit.items)
                yield self._finding(hit, words, new, labelled.where(hit.items), rows)

    def _finding(
        self,
        hit: Slice,
        words: str,
        new: Side,
        inside: npt.NDArray[np.bool_],
        rows: npt.NDArray[np.int64],
    ) -> Finding:
        names = self.trusted.classes.names
        label = names[hit.label] if hit.label < len(names) else None
        carrying = np.flatnonzero(inside & (new.other if label is None else new.codes == hit.label))
        own = new.chances[carrying, new.codes[carrying]]
        # As many rows as are too many, the least likely first, with those as unlikely as the last;
        # never one that is likely right.
        least = np.sort(own)[: max(1, round(hit.excess))]
        named = np.flatnonzero((own <= least.max(initial=0.0) + EQUAL) & (own < UNLIKELY))
        what = "another label than the likeliest" if label is None else f"label {label!r}"
        return Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"{words}: {hit.excess:.0f} more rows with {what} than expected, "
            f"{len(carrying)} of {hit.rows} rows carry it",
            p_value=hit.p_value,
            evidence={
                "items": words,
                "label": label,
                "rows": hit.rows,
                "carrying": len(carrying),
                "excess": round(hit.excess, 1),
                "z": round(hit.z, 2),
            },
            rows=row_table(rows[carrying[named]], 1.0 - own[named]),
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
