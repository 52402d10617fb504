"""A label that is too frequent in a slice of rows (attacks: targeted flips, bias).

Shows as more rows of a label in a slice (column = value, column in a range, two of them together)
than a model of trusted rows and the same slice among trusted rows explain. Flips of a
subpopulation are few among all rows and many in their slice, whoever sent them. Misses slices that
no two columns cut out, and labels that nothing in the features speaks for or against.

Rao 1948 (score tests); Jagielski et al. 2021 (Subpopulation data poisoning attacks).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.batch import Batch, Roles, as_text, read_columns
from auditor.context import Context
from auditor.errors import Unavailable
from auditor.features import Encoder, numbers
from auditor.items import Slot, fit_slots
from auditor.label_model import Classes, Codes, LabelModel, Scores, fit, out_of_fold
from auditor.label_slices import Labelled, Slice, label_slices
from auditor.model import Effect, Family, Finding, Outcome, Rule, Severity, row_table

#: Classes whose residuals are looked at, the most frequent ones.
CLASSES = 20
#: More distinct values than this in a real-valued label make it a target to regress on.
CONTINUOUS = 50
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
class Trusted:
    """The model of trusted rows, and what it says of them when it has not seen them."""

    table: pa.Table
    classes: Classes
    codes: Codes
    encoder: Encoder
    model: LabelModel
    held_out: Scores

    @classmethod
    def fit(cls, table: pa.Table, roles: Roles, settings: Options, seed: int) -> Trusted:
        """Fit on trusted rows, and once more without each of their folds."""
        classes, labels = _judged(table, roles)
        encoder = Encoder.fit(table, roles.features)
        matrix, codes = encoder.transform(table), classes.codes(labels)
        count, kind = len(classes.names), settings.model
        model = fit(matrix, codes, count, model=kind, seed=seed)
        held_out = out_of_fold(matrix, codes, count, model=kind, seed=seed, groups=None, folds=3)
        known = codes >= 0
        return cls(
            table.filter(pa.array(known)), classes, codes[known], encoder, model, held_out[known]
        )


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
        return cls(Trusted.fit(baseline.sample, baseline.roles, settings, baseline.seed), settings)

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
        table, codes = table.take(pa.array(rows)), codes[rows]
        slots = tuple(_one_a_column(fit_slots(self.trusted.table, table, names)))
        chances = self.trusted.model.probabilities(self.trusted.encoder.transform(table))
        new = _labelled(table, slots, chances, codes)
        known = _labelled(self.trusted.table, slots, self.trusted.held_out, self.trusted.codes)
        found = label_slices(new, known, [(slot.column, slot.width) for slot in slots])
        return Outcome(
            rule=self.rule.id,
            findings=tuple(
                self._finding(hit, slots, new, chances, codes, rows)
                for hit in found
                if hit.p_value <= self.settings.report_level
            ),
        )

    def _finding(
        self,
        hit: Slice,
        slots: tuple[Slot, ...],
        new: Labelled,
        chances: Scores,
        codes: Codes,
        rows: npt.NDArray[np.int64],
    ) -> Finding:
        words = " and ".join(slots[slot].names[code] for slot, code in hit.items)
        label = self.trusted.classes.names[hit.label]
        carrying = np.flatnonzero(new.where(hit.items) & (codes == hit.label))
        own = chances[carrying, hit.label]
        # As many rows as are too many, the least likely first; never one that is likely right.
        order = np.argsort(own, kind="stable")[: max(1, round(hit.excess))]
        order = order[own[order] < UNLIKELY]
        named = np.sort(order)
        return Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"{words}: {hit.excess:.0f} more rows with label {label!r} than expected, "
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


def _labelled(table: pa.Table, slots: tuple[Slot, ...], chances: Scores, codes: Codes) -> Labelled:
    """Item codes of the rows, and the residual and its variance for each label."""
    items = np.stack([slot.codes(table.column(slot.column).combine_chunks()) for slot in slots])
    carried = np.zeros_like(chances)
    carried[np.arange(len(codes)), codes] = 1.0
    return Labelled(items, carried - chances, chances * (1.0 - chances))
