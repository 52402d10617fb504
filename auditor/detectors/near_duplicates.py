"""Near copies inside the batch, or of trusted rows (attacks: few rows repeated with small changes).

Shows as rows that lie closer to each other than trusted rows do: the same but for a few cells, or
every number moved a little. Natural near copies occur among trusted rows too; only what exceeds
their rate counts. Families are the connected rows; the one that was copied stays where it can be
told. Copies with another label than their original are also tested by themselves.
Misses copies of very common rows (equal in everything that is rare), copies jittered as far as
honest rows lie apart, and equal rows, which AUD-D001 sees. In a batch far longer than the trusted
sample it compares a seeded sample of the rows, so that a family of few rows escapes.

Koh, Steinhardt, Liang 2022 (attacks that concentrate); Goodall 1966 (similarity by rarity).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.baseline import Baseline
from auditor.batch import Batch, as_text
from auditor.context import Context
from auditor.copies import age, content_columns, take_rows
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
from auditor.near_copies.closeness import Closeness, Floats, Rows
from auditor.near_copies.contrasts import Claim, Contrast, contrasts, strongest
from auditor.near_copies.families import Families, families
from auditor.near_copies.pairs import PARTS, Pool, pool
from auditor.near_copies.search import Spread, more_members

Mask = npt.NDArray[np.bool_]

#: Trusted rows that are compared; batch rows beyond `PARTS` times as many are sampled.
TRUSTED_ROWS: Final = 4_000
#: Distinct rows on both sides below which nothing can be told.
ENOUGH: Final = 20
#: Kinds of near copies that are reported at most, one after the other.
CLAIMS: Final = 8


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of AUD-D005.

    `levels`: shares of the trusted mirror values beyond which events are counted; 0 is the largest
    one. `report_level`: corrected p-value below which a claim is reported. `slack`: how much the
    trusted rate may drift up. `compared_rows`: batch rows that are compared at most.
    """

    levels: tuple[float, ...] = (0.0, 0.001, 0.01)
    report_level: float = 0.01
    slack: float = 1.25
    compared_rows: int = 8_000


@dataclass(frozen=True, slots=True)
class Compared:
    """The batch rows in a pool: `rows` int64[n] their positions in the batch, oldest first."""

    pool: Pool
    rows: Rows
    plausible: Mask
    spread: Spread

    def position(self, members: Rows) -> Rows:
        """Positions in the batch of positions in the pool."""
        found: Rows = self.rows[members - self.pool.closeness.rows]
        return found


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """AUD-D005."""

    baseline: Baseline
    settings: Options
    seed: int

    options: ClassVar[type] = Options
    rule: ClassVar[Rule] = Rule(
        id="AUD-D005",
        family=Family.DUPLICATION,
        title="Near duplicates",
        severity=Severity.HIGH,
        effect=Effect.QUARANTINE,
        attacks=("near-copy", "concentrated", "injection"),
        references=("Koh et al. 2022, Stronger data poisoning attacks", "ATLAS AML.T0020"),
        needs=("feature",),
        order_free=False,  # without timestamps the first of a family is the one that stays
        minimum_rows=50,
    )

    @classmethod
    def load(cls, context: Context) -> NearDuplicates:
        """Needs a baseline: what is usually close is what it compares with."""
        if context.baseline is None:
            raise Unavailable("needs a baseline")
        return cls(context.baseline, context.options(cls.rule.id, Options), context.seed)

    def scan(self, batch: Batch) -> Outcome:
        """One finding for each kind of near copies that exceeds the trusted rate."""
        content_columns(batch, self.baseline)
        if not batch.roles.features:
            raise Unavailable("no feature column")
        if batch.rows < self.rule.minimum_rows:
            raise Unavailable(f"needs at least {self.rule.minimum_rows} rows, has {batch.rows}")
        compared = self._compare(batch)
        if min(len(compared.pool.batch), len(compared.pool.trusted)) < ENOUGH:
            return Outcome(rule=self.rule.id)  # nearly all rows are equal: AUD-D001 judges that
        found = contrasts(compared.pool)
        tails = _tails(compared, found, batch.rows)
        findings = tuple(
            self._finding(batch, compared, claim, group, tails)
            for claim, group in self._claims(compared, found)
        )
        return Outcome(rule=self.rule.id, findings=findings, ranking=_ranking(tails))

    def _compare(self, batch: Batch) -> Compared:
        """Trusted rows and the batch's, or a seeded sample of them, in one pool."""
        rng = np.random.default_rng([self.baseline.seed % 2**63, 5])
        sample = self.baseline.sample
        kept = np.sort(rng.permutation(sample.num_rows)[:TRUSTED_ROWS])
        trusted = sample.take(pa.array(kept))
        features = self.baseline.roles.features
        closeness = Closeness.of(trusted, features)
        if not closeness.columns:
            raise Unavailable("no number or category among the feature columns")
        encoder = Encoder.fit(trusted, closeness.names)
        rows = self._chosen(batch, PARTS * len(kept))
        rows = rows[np.lexsort((rows, age(batch, rows)))]
        table = _taken(batch, self._columns(batch, closeness), rows)
        matrix = np.concatenate([encoder.transform(trusted), encoder.transform(table)])
        labels = _joined(trusted, table, batch.roles.label)
        cells = closeness.cells(trusted, table)
        return Compared(
            pool(closeness, cells, matrix, labels, self.seed),
            rows,
            self._plausible(trusted, table),
            Spread(closeness, encoder, trusted, table, matrix),
        )

    def _chosen(self, batch: Batch, most: int) -> Rows:
        """Positions of the rows that are compared, ascending; at most `most`."""
        count = min(self.settings.compared_rows, most)
        if batch.rows <= count:
            return np.arange(batch.rows)
        rng = np.random.default_rng([self.seed, 3])
        chosen = rng.choice(batch.rows, count, replace=False, shuffle=False)
        return np.sort(chosen).astype(np.int64)

    def _columns(self, batch: Batch, closeness: Closeness) -> list[str]:
        roles = batch.roles
        wanted = (*closeness.names, roles.label, roles.contributor)
        return [*dict.fromkeys(name for name in wanted if name)]

    def _plausible(self, trusted: pa.Table, table: pa.Table) -> Mask:
        """Rows that may be an original: from a contributor whom trusted rows know, if they do."""
        everybody = np.ones(trusted.num_rows + table.num_rows, dtype=bool)
        mine = self.baseline.roles.contributor
        if mine is None or mine not in table.column_names:
            return everybody
        known = set(self.baseline.trusted_texts("contributor").tolist())
        sent = as_text(table.column(mine)).to_pylist()
        everybody[trusted.num_rows :] = [name in known for name in sent]
        return everybody

    def _claims(self, compared: Compared, found: list[Contrast]) -> list[tuple[Claim, Families]]:
        """The strongest claim, then the strongest among the rows it leaves, and so on."""
        free = np.ones(len(compared.pool.batch), dtype=bool)
        kept: list[tuple[Claim, Families]] = []
        while len(kept) < CLAIMS:
            claim = strongest(found, free, self.settings.levels, self.settings.slack)
            if claim.p_value > self.settings.report_level:
                break
            group = families(compared.pool, claim, free, compared.plausible)
            free &= ~np.isin(compared.pool.batch, group.rows)
            kept.append((claim, group))
        return kept

    def _finding(
        self, batch: Batch, compared: Compared, claim: Claim, group: Families, tails: Floats
    ) -> Finding:
        rows = self._rows(batch, compared, group)
        contrast = claim.contrast
        what = "trusted rows" if contrast.copies_of == "trusted" else "each other"
        label = ", with another label" if contrast.conflicting else ""
        sampled = len(compared.rows) < batch.rows
        seen = f" (found by comparing {len(compared.rows)} of {batch.rows} rows)" if sampled else ""
        return Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"{len(rows)} rows are near copies of {what}{label}, "
            f"in {group.count} families{seen}",
            p_value=claim.p_value,
            evidence={
                "contrast": contrast.name,
                "families": group.count,
                "largest_family": int(np.bincount(group.number).max()),
                "close_rows": int(claim.rows.sum()),
                "expected": round(claim.expected, 2),
                "kept_originals": int(group.original.sum()),
                "compared_rows": len(compared.rows),
            },
            rows=row_table(rows, _suspicion(tails[rows])),
        )

    def _rows(self, batch: Batch, compared: Compared, group: Families) -> Rows:
        """Positions in the batch of all members but the originals, ascending."""
        going = group.rows[~group.original]
        size = len(compared.pool.part)
        chosen = np.zeros(size, dtype=bool)
        chosen[going] = True
        everyone = chosen[compared.pool.same]  # with the rows equal to a member
        everyone[: compared.pool.closeness.rows] = False
        rows = compared.position(np.flatnonzero(everyone))
        if len(compared.rows) < batch.rows:
            rows = np.concatenate(
                [rows, more_members(batch, compared.spread, compared.rows, group)]
            )
        return np.unique(rows)


def _suspicion(tails: Floats) -> Floats:
    """A member counts by its family; how close it is itself gives the order."""
    suspicion: Floats = 0.7 + 0.25 * np.minimum(1.0, -np.log10(np.maximum(tails, 1e-9)) / 5.0)
    return suspicion


def _taken(batch: Batch, columns: list[str], rows: Rows) -> pa.Table:
    """The rows in the given order."""
    order = np.argsort(rows, kind="stable")
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return take_rows(batch, columns, rows[order]).take(pa.array(back))


def _joined(
    trusted: pa.Table, table: pa.Table, label: str | None
) -> npt.NDArray[np.object_] | None:
    """Labels of both tables as text, None where one has none."""
    if label is None or label not in trusted.column_names:
        return None
    texts = [as_text(part.column(label)).to_pylist() for part in (trusted, table)]
    return np.array([*texts[0], *texts[1]], dtype=object)


def _tails(compared: Compared, found: list[Contrast], rows: int) -> Floats:
    """The smallest tail of each row over all contrasts, corrected for their number.

    float64[rows of the batch]; 1 where a row was not compared.
    """
    whole = np.ones(len(compared.pool.part))
    smallest = np.min([c.tails() for c in found], axis=0)
    whole[compared.pool.batch] = np.minimum(1.0, len(found) * smallest)
    tails = np.ones(rows)
    tails[compared.rows] = whole[compared.pool.same][compared.pool.closeness.rows :]
    return tails


def _ranking(tails: Floats) -> pa.Table:
    worst = np.argsort(tails, kind="stable")[: max(10, len(tails) // 20)]
    worst = worst[tails[worst] < 0.2]
    return ranking_table(worst, tails[worst])
