"""A batch that has moved away from what was trusted (attacks: perturbation, bias, omission).

Shows as a column whose values are spread otherwise than in trusted rows: over all rows, within one
label, or within one contributor's rows; as other label shares; or as a model that tells trusted
from new rows. It says what moved and from where to where. Much drift is honest: by default it is
noted, and only above `hold_above` the batch is held.
Misses what leaves every column as it is, and poison too rare to move one.

Gretton et al. 2012 and Lopez-Paz & Oquab 2017 (two-sample tests); Siddiqi 2006 (stability index);
Benjamini & Hochberg 1995 (false discovery rate).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import pyarrow as pa

from auditor.baseline import Baseline
from auditor.batch import Batch, read_columns
from auditor.coded import code, coded
from auditor.context import Context
from auditor.copies import take_rows
from auditor.domain import ENOUGH, FIT_ROWS, Domain, fit_domain
from auditor.errors import Unavailable
from auditor.features import Encoder, numbers
from auditor.model import Effect, Family, Finding, Outcome, Rule, Scalar, Severity
from auditor.shifts import (
    Bins,
    Counts,
    Floats,
    Grouping,
    Shift,
    TextBins,
    compare,
    count,
    fit_bins,
    fits,
    moved,
    weighted,
)
from auditor.statistics import benjamini_hochberg

#: Rows that a label or contributor needs on both sides, and how many of them are compared.
GROUP_ROWS: Final = 50
GROUPS: Final = 50
#: Columns that a finding names; characters of a name or value in it.
NAMED: Final = 5
LONGEST: Final = 60
#: Claims: columns, labels, columns within labels, within contributors, the domain model.
SCOPES: Final = 5
#: Rows that are named as those least like trusted ones. Evidence only: drift accuses no row.
UNLIKE: Final = 20
#: A share has to change by this much before it is told rather than the median.
TOLD: Final = 0.05


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of AUD-R001.

    `level`: false discovery rate of what is named. `psi`: stability index, less what chance gives,
    from which a column counts as moved. `hold_above`: the batch is held where a column or the
    labels lie above this index; 0 never holds.
    """

    level: float = 0.01
    psi: float = 0.1
    hold_above: float = 0.0


@dataclass(frozen=True, slots=True)
class Drift:
    """AUD-R001."""

    baseline: Baseline
    settings: Options
    seed: int

    options: ClassVar[type] = Options
    rule: ClassVar[Rule] = Rule(
        id="AUD-R001",
        family=Family.DRIFT,
        title="The batch has moved away from what was trusted",
        severity=Severity.LOW,
        effect=Effect.NOTE,
        attacks=("perturbation", "bias", "omission"),
        references=("Lopez-Paz & Oquab 2017, Revisiting classifier two-sample tests",),
        needs=("feature",),
        minimum_rows=50,
        # Of more than `FIT_ROWS` rows the domain model takes a seeded choice of positions.
        order_free=False,
    )

    @classmethod
    def load(cls, context: Context) -> Drift:
        """Needs a baseline: drift is a difference to it."""
        if context.baseline is None:
            raise Unavailable("needs a baseline")
        return cls(context.baseline, context.options(cls.rule.id, Options), context.seed)

    def scan(self, batch: Batch) -> Outcome:
        """At most one finding a scope: columns, labels, within labels, contributors, domain."""
        if batch.rows < self.rule.minimum_rows:
            raise Unavailable(f"needs at least {self.rule.minimum_rows} rows, has {batch.rows}")
        bins = self._bins(batch, self.baseline.roles.features)
        if not bins:
            raise Unavailable("no feature column that can be compared with the baseline")
        label, sender = (self._shared_role(batch, r) for r in ("label", "contributor"))
        weights = self._weights()
        whole = Grouping(
            ("",), np.zeros(batch.rows, np.int64), np.zeros(len(weights), dtype=np.int64)
        )
        labels = self._bins(batch, (label,) if label else (), classes=True)
        within = {"column": whole}
        for scope, column in (("column by label", label), ("column by contributor", sender)):
            if column:
                within[scope] = self._groups(batch, column)
        found = [
            *self._shifted(batch, within, bins, weights),
            *self._shifted(batch, {"label": whole}, labels, weights),
            self._domain(batch, tuple(bins)),
        ]
        return Outcome(rule=self.rule.id, findings=tuple(f for f in found if f is not None))

    def _shared_role(self, batch: Batch, role: str) -> str | None:
        """The column of a role, where batch and baseline agree on it."""
        column = batch.roles.first(role)
        same = column is not None and column == self.baseline.roles.first(role)
        return column if same and column in batch.schema.names else None

    def _bins(
        self, batch: Batch, columns: Sequence[str], *, classes: bool = False
    ) -> dict[str, Bins]:
        found = {}
        for name in columns:
            if name not in batch.schema.names or name not in batch.roles.content:
                continue
            bins = fit_bins(self.baseline.sample.column(name), classes=classes)
            if bins is not None and fits(bins, batch.schema.field(name).type):
                found[name] = bins
        return found

    def _weights(self) -> Floats:
        """The sample keeps more of rare labels; each row counts for those that it stands for."""
        sample, label = self.baseline.sample, self.baseline.roles.label
        if label is None or sample.num_rows >= self.baseline.rows:
            return np.ones(sample.num_rows)
        own = code(c for c in sample.column(label).chunks)
        rows = np.array([self.baseline.labels.get(n, 0) for n in own.names], dtype=np.float64)
        each = np.append(rows / np.maximum(own.counts, 1), 1.0)[own.codes]
        return np.asarray(each / each.mean(), dtype=np.float64)

    def _groups(self, batch: Batch, column: str) -> Grouping:
        """The largest groups with enough rows on both sides."""
        mine = coded(batch, column)
        known = code(c for c in self.baseline.sample.column(column).chunks)
        trusted = dict(zip(known.names, known.counts.tolist(), strict=True))
        enough = [
            (-n, name)
            for name, n in zip(mine.names, mine.counts.tolist(), strict=True)
            if min(n, trusted.get(name, 0)) >= GROUP_ROWS
        ]
        names = tuple(name for _, name in sorted(enough)[:GROUPS])
        return Grouping(names, mine.among(names), known.among(names))

    def _shifted(
        self, batch: Batch, scopes: dict[str, Grouping], bins: dict[str, Bins], weights: Floats
    ) -> Iterator[Finding | None]:
        counts = count(batch, bins, list(scopes.values()))
        for (scope, groups), mine in zip(scopes.items(), counts, strict=True):
            yield self._moved(batch, scope, groups, bins, mine, weights)

    def _moved(
        self,
        batch: Batch,
        scope: str,
        groups: Grouping,
        bins: dict[str, Bins],
        mine: dict[str, Counts],
        weights: Floats,
    ) -> Finding | None:
        """What has moved in this scope, by the false discovery rate over all its tests."""
        size = len(groups.names)
        if not size or not bins:
            return None
        known = weighted(self.baseline.sample, bins, groups.trusted, size, weights)
        shifts = [
            shift
            for name, own in bins.items()
            for g in range(size)
            if (shift := compare(name, g, own, known[name][g], mine[name][g].astype(float)))
        ]
        adjusted = benjamini_hochberg([s.p_value for s in shifts])
        places = moved(shifts, adjusted, self.settings.level, self.settings.psi)
        if not places:
            return None
        told = [_told(batch, self.baseline, shifts[i], groups, bins) for i in places[:NAMED]]
        largest = shifts[places[0]]
        whole = scope in ("column", "label")
        limit = self.settings.hold_above
        over = whole and 0.0 < limit < largest.index
        evidence: dict[str, Scalar] = {
            "scope": scope,
            "columns": ", ".join(dict.fromkeys(_short(shifts[i].column) for i in places[:NAMED])),
            "moved": len(places),
            "compared": len(shifts),
            "psi": round(largest.index, 4),
            "over_limit": over,
        }
        if not whole:
            evidence["group"] = _short(groups.names[largest.group or 0])
        text = f"{_WORDS[scope]}: {len(places)} of {len(shifts)} moved: {'; '.join(told)}"
        if len(places) > NAMED:
            text += f"; and {len(places) - NAMED} more"
        if over:
            text += f"; over the limit of {limit:g}"
        return self._finding(text, min(1.0, SCOPES * min(adjusted[i] for i in places)), evidence)

    def _finding(self, message: str, p_value: float, evidence: dict[str, Scalar]) -> Finding:
        return Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=message,
            p_value=p_value,
            evidence=evidence,
        )

    def _domain(self, batch: Batch, columns: tuple[str, ...]) -> Finding | None:
        """Whether a model tells trusted from new rows, and by which columns."""
        sample = self.baseline.sample
        encoder = Encoder.fit(sample, [c for c in columns if _encodable(batch, sample, c)])
        if not encoder.columns or min(batch.rows, sample.num_rows) < ENOUGH:
            return None
        rng = np.random.default_rng(self.seed)
        rows = np.sort(rng.permutation(batch.rows)[:FIT_ROWS]).astype(np.int64)
        mine = encoder.transform(take_rows(batch, list(encoder.names), rows))
        domain = fit_domain(encoder.transform(sample), mine, seed=self.seed)
        p = min(1.0, SCOPES * domain.p_value)
        if p > self.settings.level:
            return None
        names = _driving(domain, encoder)
        ratios = domain.ratios(mine)
        unlike = np.argsort(-ratios, kind="stable")[:UNLIKE]
        return self._finding(
            f"A model tells batch from trusted rows (AUC {domain.auc:.2f}, 0.5 = not at all), most "
            f"by {', '.join(names)}; re-weighted to the batch, the {sample.num_rows} trusted rows "
            f"are worth {domain.effective:.0f}",
            p,
            {
                "scope": "domain",
                "columns": ", ".join(names),
                "auc": round(domain.auc, 4),
                "effective": round(domain.effective, 1),
                "highest_ratio": round(float(ratios.max()), 2),
                "rows_least_like_trusted": ", ".join(str(row) for row in rows[unlike].tolist()),
            },
        )


_WORDS: Final = {
    "column": "columns",
    "label": "label shares",
    "column by label": "columns within labels",
    "column by contributor": "columns within contributors",
}


def _encodable(batch: Batch, sample: pa.Table, name: str) -> bool:
    """The encoder refuses text where it learned numbers; only like types are compared."""
    return bool(batch.schema.field(name).type == sample.schema.field(name).type)


def _driving(domain: Domain, encoder: Encoder) -> list[str]:
    parts: dict[str, float] = {}
    for name, part in zip(encoder.origin, domain.moved.tolist(), strict=True):
        if name:
            parts[name] = parts.get(name, 0.0) + part**2
    order = sorted((n for n in parts if parts[n] > 0.0), key=lambda n: (-parts[n], n))
    return [_short(n) for n in order[:3]]


def _told(
    batch: Batch, baseline: Baseline, shift: Shift, groups: Grouping, bins: dict[str, Bins]
) -> str:
    """One shift in words: where, old -> new, how much."""
    where = groups.names[shift.group or 0]
    name = _short(shift.column) + (f" in {_short(where)!r}" if where else "")
    own = bins[shift.column]
    was, now = shift.trusted / shift.trusted.sum(), shift.batch / shift.batch.sum()
    if isinstance(own, TextBins):
        values = [repr(_short(v)) for v in own.values]
        told = _share((*values, "other values", "missing"), was, now)
    elif abs(now[-1] - was[-1]) >= TOLD or max(now[-1], was[-1]) == 1.0:
        told = _share(("missing",), was[-1:], now[-1:])
    else:
        told = _number(batch, baseline, shift, groups)
    return f"{name} {told} (PSI {shift.index:.2f})"


def _share(names: Sequence[str], was: Floats, now: Floats) -> str:
    """The share that changed most."""
    at = int(np.argmax(np.abs(now - was)))
    return f"{names[at]} {was[at]:.1%} -> {now[at]:.1%}"


def _number(batch: Batch, baseline: Baseline, shift: Shift, groups: Grouping) -> str:
    """The quartile that changed most in spreads; the median where they changed alike."""
    old = numbers(baseline.sample.column(shift.column))[groups.trusted == shift.group]
    new = numbers(read_columns(batch, [shift.column]).column(0))[groups.batch == shift.group]
    quartiles = [np.nanquantile(v, (0.5, 0.25, 0.75, 0.0, 1.0)) for v in (old, new)]
    at = int(np.argmax(np.abs(quartiles[1] - quartiles[0])[:3]))
    if quartiles[0][at] == quartiles[1][at]:
        at = 3 if quartiles[0][3] != quartiles[1][3] else 4
    word = ("median", "lower quartile", "upper quartile", "lowest", "highest")[at]
    return f"{word} {quartiles[0][at]:.4g} -> {quartiles[1][at]:.4g}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
