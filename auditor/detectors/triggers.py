"""Values that come together too often with one label (attacks: backdoor, clean-label, injection).

Shows as items (column = value, column in a range), pairs or triples of them that more rows of a
label carry than trusted rows explain; over all labels too, because a clean-label trigger leaves the
label alone. Counted twice at half the level each: against trusted rows as they are, and against
trusted rows re-weighted to the batch, so that columns that drifted by themselves are explained
away. The plain count matters only where there is no drift or where few contributors sent the rows.
A finding names the trigger in words. Misses triggers of single cells that are common anyway, those
spread so thinly that no count is surprising, and content that no column shows. Without a baseline
rows are only ranked: the rows of some contributors against those of all others.

Gu et al. 2017 (BadNets); DuMouchel 1999 (shrinkage of large tables); detection without the model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.baseline import Baseline
from auditor.batch import Batch, Roles, TableBatch, as_text, read_columns
from auditor.coded import Coded, coded
from auditor.context import Context
from auditor.copies import Copies, content_columns
from auditor.domain import fit_domain
from auditor.errors import Unavailable
from auditor.features import Encoder, is_number, numbers
from auditor.items import CodedTable, Slot, fit_slots
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
from auditor.rowhash import batch_keys
from auditor.suppliers import standing_out
from auditor.surprise import Conjunction, Layout, Mined, Side, mine
from auditor.surprise.claims import SLACK, negative_binomial_tails
from auditor.surprise.left_out import left_out

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]

#: Labels that are told apart; the others count as one.
LABELS = 30
#: More distinct values than this in a real-valued label make it a target: its quantiles are labels.
CONTINUOUS = 50
#: The domain test rejects "no drift" below this.
DRIFTED = 0.05
#: Batch rows that are counted for each trusted one at most. Of the clumps of a longer batch trusted
#: rows know too little: what they missed would be claimed.
LONGER = 4
#: Rows that few contributors sent: this share of them, by this many contributors.
CONCENTRATED, FEW = 0.8, 3
#: Rows of a batch that are compared with each other where there is no baseline.
AMONG = 10_000


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of AUD-T001.

    `report_level`: corrected p-value below which a conjunction becomes a finding. `pure`: share of
    its rows that may be expected ones for its rows to be set aside; above it the finding is a note.
    """

    report_level: float = 0.05
    pure: float = 0.34


@dataclass(frozen=True, slots=True)
class Triggers:
    """AUD-T001."""

    baseline: Baseline | None
    copies: Copies
    settings: Options
    seed: int

    options: ClassVar[type] = Options
    rule: ClassVar[Rule] = Rule(
        id="AUD-T001",
        family=Family.TRIGGER,
        title="Values that come together too often with one label",
        severity=Severity.CRITICAL,
        effect=Effect.QUARANTINE,
        attacks=("backdoor", "clean-label", "injection", "near-copy"),
        references=("Gu et al. 2017, BadNets", "ATLAS AML.T0020"),
        needs=("feature",),
        minimum_rows=50,
    )

    @classmethod
    def load(cls, context: Context) -> Triggers:
        """Without a baseline rows are ranked and nothing is claimed."""
        if context.baseline is not None and cls.rule.id not in context.baseline.thresholds:
            raise Unavailable("the baseline was built without it; build it again")
        settings = context.options(cls.rule.id, Options)
        copies = Copies(context.site_key, context.shared)
        return cls(context.baseline, copies, settings, context.seed)

    @classmethod
    def calibrate(
        cls,
        sample: pa.Table,
        roles: Roles,
        settings: Options,  # noqa: ARG003 - every rule is calibrated by the same call
        seed: int,  # noqa: ARG003
    ) -> dict[str, Any]:
        """Whether there is anything to count; a baseline without it does not ask for this rule."""
        slots = fit_slots(sample, sample, roles.features)
        if not slots:
            raise Unavailable("no value repeats and no number column varies")
        return {"items": sum(slot.width - 1 for slot in slots)}

    def scan(self, batch: Batch) -> Outcome:
        """One finding for each cause, and every row by its most surprising items."""
        if not batch.roles.features:
            raise Unavailable("no feature column")
        if batch.rows < self.rule.minimum_rows:
            raise Unavailable(f"needs at least {self.rule.minimum_rows} rows, has {batch.rows}")
        columns = [c for c in batch.roles.features if c in batch.schema.names]
        label = batch.roles.label
        senders = coded(batch, batch.roles.contributor) if batch.roles.contributor else None
        if self.baseline is None:
            table = read_columns(batch, [*columns, *([label] if label else [])])
            return self._among(table, columns, label, senders)
        missing = [c for c in self.baseline.roles.features if c not in batch.schema.names]
        if missing:
            raise Unavailable(f"columns of the baseline are missing: {', '.join(missing[:5])}")
        columns = [c for c in columns if c in self.baseline.schema.names]
        table = read_columns(batch, [*columns, *([label] if label else [])])
        first = _first(self.copies, batch, self.baseline)
        found = self._mine(self.baseline, table, first, columns, senders)
        return found.outcome(self)

    def _among(
        self, table: pa.Table, columns: list[str], label: str | None, senders: Coded | None
    ) -> Outcome:
        """No baseline: the rows of other contributors stand in; nothing is claimed."""
        if senders is None or len(senders.names) < 2:
            raise Unavailable("needs a baseline, or contributors to compare with each other")
        score = np.zeros(table.num_rows)
        counted = _at_most(np.ones(table.num_rows, dtype=bool), AMONG, self.seed)
        table = table.filter(pa.array(counted))
        slots = fit_slots(table, table, columns)
        if not slots:
            raise Unavailable("no value repeats and no number column varies")
        names, labels, _ = _label_codes(table, table, label)
        layout = Layout(tuple((slot.column, slot.width) for slot in slots), len(names))
        side = Side(_codes(slots, table), labels, senders=senders.codes[counted])
        score[counted] = left_out(side, layout, self.seed)
        return Outcome(
            rule=self.rule.id,
            ranking=_ranking(score),
            skipped="needs a baseline; without it rows are ranked and nothing is claimed",
        )

    def _mine(
        self,
        baseline: Baseline,
        table: pa.Table,
        first: npt.NDArray[np.bool_],
        columns: list[str],
        senders: Coded | None,
    ) -> _Found:
        trusted = baseline.sample.filter(pa.array(_unlike(baseline, self.copies)))
        first = _at_most(first, LONGER * trusted.num_rows, self.seed)
        once = table.filter(pa.array(first))
        # What repeats in the sample of a long batch is all that can be counted there.
        long = table.num_rows > LONGER * trusted.num_rows
        slots = fit_slots(trusted, once if long else table, columns)
        if not slots:
            raise Unavailable("nothing repeats and no number column of the baseline varies")
        names, known, new = _label_codes(trusted, table, baseline.roles.label)
        encoder = Encoder.fit(trusted, columns)
        encoded = encoder.transform(once)
        domain = fit_domain(encoder.transform(trusted), encoded, seed=self.seed)
        sent = senders.codes[first] if senders else None
        batch = Side(_codes(slots, once), new[first], senders=sent, ratios=domain.ratios(encoded))
        own = _codes(slots, trusted)
        sides = (Side(own, known), Side(own, known, domain.weights))
        layout = Layout(tuple((slot.column, slot.width) for slot in slots), len(names))
        plain, weighted = mine(batch, sides, layout)
        return _Found(
            slots,
            names,
            CodedTable(slots, table, new),
            first,
            plain,
            weighted,
            domain.p_value,
            senders,
            layout.tests,
        )


@dataclass(frozen=True)
class _Found:
    """What both counts said, and the rows they are about."""

    slots: tuple[Slot, ...]
    labels: list[str]
    every: CodedTable
    first: npt.NDArray[np.bool_]
    plain: Mined
    weighted: Mined
    drift: float
    senders: Coded | None
    #: How many conjunctions of one, two and three items may be looked at.
    tests: tuple[int, int, int]

    def outcome(self, detector: Triggers) -> Outcome:
        """Findings, each cause once, and the ranking."""
        claims = [(c, "plain") for c in self.plain.conjunctions]
        claims += [(c, "drift-weighted") for c in self.weighted.conjunctions]
        claims.sort(key=lambda claim: claim[0].p_value)
        free = np.ones(len(self.every.labels), dtype=bool)
        findings = []
        for claim, way in claims:
            mask = self.every.where(claim.items, claim.label)
            rows = np.flatnonzero(mask)
            if 2 * np.sum(mask & free) < len(rows) or not self._counts(way, rows):
                continue
            p = min(1.0, 2.0 * claim.p_value)
            if p > detector.settings.report_level:
                break
            free &= ~mask
            findings.append(self._finding(claim, way, p, rows, detector))
        return Outcome(rule=detector.rule.id, findings=tuple(findings), ranking=self._ranking())

    def _counts(self, way: str, rows: Rows) -> bool:
        """A plain count is a claim where nothing drifted or few contributors sent the rows."""
        if way != "plain" or self.drift > DRIFTED:
            return True
        return self._concentration(rows)[0] >= CONCENTRATED

    def _concentration(self, rows: Rows) -> tuple[float, list[str]]:
        """Share of the rows that the `FEW` most frequent contributors sent, and who they are."""
        if self.senders is None:
            return 0.0, []
        counts = np.bincount(self.senders.codes[rows] + 1)
        most = np.argsort(-counts, kind="stable")[:FEW]
        who = [self.senders.names[int(i) - 1] if i else "" for i in most if counts[i]]
        return float(counts[most].sum() / max(len(rows), 1)), who

    def _finding(
        self, claim: Conjunction, way: str, p: float, rows: Rows, detector: Triggers
    ) -> Finding:
        words = " and ".join(self.slots[slot].names[code] for slot, code in claim.items)
        label = None if claim.label is None else self.labels[claim.label]
        target = "any label" if label is None else f"label {label!r}"
        share, who = self._concentration(rows)
        going = self._going(claim, rows)
        pure = claim.expected <= detector.settings.pure * claim.observed
        return Finding(
            rule=detector.rule.id,
            severity=detector.rule.severity,
            message=f"{words} → {target}: {claim.observed} rows, expected {claim.expected:.1f}",
            p_value=p,
            evidence={
                "items": words,
                "label": label,
                "observed": claim.observed,
                "expected": round(claim.expected, 2),
                "trusted_rows": round(claim.trusted, 1),
                "counted": way,
                "contributors": ", ".join(who) if share >= CONCENTRATED else None,
                "kept_rows": len(rows) - len(going),
            },
            rows=row_table(going, 1.0 - claim.expected / (claim.observed + claim.expected)),
            calibrated=pure,
        )

    def _going(self, claim: Conjunction, rows: Rows) -> Rows:
        """Those of its rows that the claim is about, by who supplied them."""
        if self.senders is None:
            return rows
        mean = SLACK * claim.expected * len(rows) / claim.observed
        shape, tests = np.array(claim.trusted + 0.5), self.tests[len(claim.items) - 1]

        def tails(count: Scores, share: Scores) -> Scores:
            return tests * negative_binomial_tails(count, mean * share, shape)

        every = self.senders.codes
        return rows[standing_out(every[rows], every, tails)]

    def _ranking(self) -> pa.Table:
        score = np.zeros(len(self.first))
        weighted = self.weighted.scores
        score[self.first] = np.maximum(
            self.plain.scores if self.drift > DRIFTED else np.minimum(self.plain.scores, 1.0),
            weighted,
        )
        return _ranking(score)


def _ranking(score: Scores) -> pa.Table:
    """The most surprising fifth of the rows: `score` float64[n], -log10 of a tail."""
    worst = np.argsort(-score, kind="stable")[: max(10, len(score) // 5)]
    worst = worst[score[worst] > 0.0]
    return ranking_table(worst, 10.0 ** -np.minimum(score[worst], 300.0))


def _first(copies: Copies, batch: Batch, baseline: Baseline) -> npt.NDArray[np.bool_]:
    """Rows that equal no earlier one: copies are the business of other rules. bool[rows]."""
    families = copies.families(batch, content_columns(batch, baseline))
    first = np.ones(batch.rows, dtype=bool)
    first[families.rows] = False
    _, earliest = np.unique(families.family, return_index=True)
    first[families.rows[earliest]] = True
    return first


def _at_most(rows: npt.NDArray[np.bool_], most: int, seed: int) -> npt.NDArray[np.bool_]:
    """A seeded sample of the marked rows: bool[rows]."""
    marked = np.flatnonzero(rows)
    if len(marked) <= most:
        return rows
    chosen = np.zeros(len(rows), dtype=bool)
    chosen[np.random.default_rng([seed, 7]).choice(marked, most, replace=False)] = True
    return chosen


def _unlike(baseline: Baseline, copies: Copies) -> npt.NDArray[np.bool_]:
    """Rows of the sample that equal no earlier one: bool[rows]."""
    sample = TableBatch(baseline.sample, baseline.roles)
    keys = batch_keys(sample, baseline.roles.content, copies.site_key)
    _, earliest = np.unique(keys, axis=0, return_index=True)
    first = np.zeros(baseline.sample.num_rows, dtype=bool)
    first[earliest] = True
    return first


def _codes(slots: Sequence[Slot], table: pa.Table) -> npt.NDArray[np.int32]:
    return np.stack([slot.codes(table.column(slot.column).combine_chunks()) for slot in slots])


def _label_codes(
    trusted: pa.Table, batch: pa.Table, label: str | None
) -> tuple[list[str], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Names of labels and the code of each row on both sides; one label where there is no role."""
    if label is None:
        return [""], np.zeros(len(trusted), np.int32), np.zeros(len(batch), np.int32)
    known, new = trusted.column(label).combine_chunks(), batch.column(label).combine_chunks()
    if pa.types.is_floating(new.type) and is_number(known.type):
        distinct = np.unique(numbers(known))
        if len(distinct) > CONTINUOUS:
            return _quantile_codes(numbers(known), numbers(new))
    texts_known, texts_new = as_text(known).to_pylist(), as_text(new).to_pylist()
    counts = Counter(texts_new)
    counts.update(texts_known)
    names = sorted(counts, key=lambda text: (-counts[text], str(text)))[:LABELS]
    place = {name: i for i, name in enumerate(names)}
    shown = ["missing" if name is None else name for name in names]
    if len(counts) > len(names):
        shown.append("any other")
    codes = [
        np.array([place.get(text, len(names)) for text in side], dtype=np.int32)
        for side in (texts_known, texts_new)
    ]
    return shown, codes[0], codes[1]


def _quantile_codes(
    known: Scores, new: Scores, bins: int = 8
) -> tuple[list[str], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """A real-valued target as its quantile bins."""
    edges = np.unique(np.quantile(known[~np.isnan(known)], np.linspace(0, 1, bins + 1)[1:-1]))
    bounds = [-np.inf, *edges.tolist(), np.inf]
    names = [f"{a:.6g} to {b:.6g}" for a, b in pairwise(bounds)]
    codes = [
        np.where(np.isnan(side), len(names), np.searchsorted(edges, side, side="right"))
        for side in (known, new)
    ]
    return [*names, "missing"], codes[0].astype(np.int32), codes[1].astype(np.int32)
