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

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.baseline import Baseline
from auditor.batch import Batch
from auditor.context import Context
from auditor.copies import content_columns
from auditor.errors import Unavailable
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
from auditor.near_copies.closeness import Floats, Rows
from auditor.near_copies.compared import Compared, crowded_rows
from auditor.near_copies.concentration import Concentration
from auditor.near_copies.contrasts import Claim, Contrast, contrasts, strongest
from auditor.near_copies.families import Families, families
from auditor.near_copies.pairs import Pool
from auditor.near_copies.relabelling import SmallestTail
from auditor.near_copies.search import more_members
from auditor.statistics import fisher

Mask = npt.NDArray[np.bool_]

#: Distinct rows on both sides below which nothing can be told.
ENOUGH: Final = 20
#: Kinds of near copies that are reported at most, one after the other.
CLAIMS: Final = 8
#: A p-value below it needs no law of its own, which takes time and could only make it smaller.
DECIDED: Final = 1e-5


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
class Claimed:
    """A claim, its families, and the members that it is about: bool[members]."""

    claim: Claim
    group: Families
    going: Mask

    @property
    def rows(self) -> Rows:
        """Positions in the pool of the members that go."""
        found: Rows = self.group.rows[self.going]
        return found


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """AUD-D005."""

    baseline: Baseline | None
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
        """Without a baseline rows are ranked and nothing is claimed."""
        return cls(context.baseline, context.options(cls.rule.id, Options), context.seed)

    def scan(self, batch: Batch) -> Outcome:
        """One finding for each kind of near copies that exceeds the trusted rate."""
        content_columns(batch, self.baseline)
        if not batch.roles.features:
            raise Unavailable("no feature column")
        if batch.rows < self.rule.minimum_rows:
            raise Unavailable(f"needs at least {self.rule.minimum_rows} rows, has {batch.rows}")
        if self.baseline is None:
            return Outcome(
                rule=self.rule.id,
                ranking=_ranking(crowded_rows(batch, self.seed, self.settings.compared_rows)),
                skipped="needs a baseline; without it rows are ranked and nothing is claimed",
            )
        return self._judged(batch, self.baseline)

    def _judged(self, batch: Batch, baseline: Baseline) -> Outcome:
        compared = Compared.of(batch, baseline, self.seed, self.settings.compared_rows)
        if min(len(compared.pool.batch), len(compared.pool.trusted)) < ENOUGH:
            return Outcome(rule=self.rule.id)  # nearly all rows are equal: AUD-D001 judges that
        found = contrasts(compared.pool)
        tails = _tails(compared, found, batch.rows)
        findings = tuple(
            self._finding(batch, compared, claimed, tails)
            for claimed in self._claims(compared, found)
        )
        return Outcome(rule=self.rule.id, findings=findings, ranking=_ranking(tails))

    def _claims(self, compared: Compared, found: list[Contrast]) -> Iterator[Claimed]:
        """The strongest claim, then the strongest without the rows it takes, and so on."""
        left, by_chance = compared.pool, None
        for _ in range(CLAIMS):
            claim = strongest(found, self.settings.levels, self.settings.slack)
            if claim.p_value > self.settings.report_level:
                break
            p = claim.p_value * len(found) * len(self.settings.levels)
            if p > DECIDED:
                by_chance = by_chance or self._by_chance(compared.pool)
                p = min(p, by_chance.corrected(claim.p_value))
            if p > self.settings.report_level:
                break
            claim = replace(claim, p_value=p)
            claimed = self._claimed(compared, claim, families(left, claim, compared.plausible))
            yield claimed
            left = left.without(claimed.rows)
            found = contrasts(left)

    def _by_chance(self, pool: Pool) -> SmallestTail:
        return SmallestTail.of(pool, self.settings.levels, self.settings.slack, self.seed)

    def _claimed(self, compared: Compared, claim: Claim, group: Families) -> Claimed:
        """The claim by itself or together with who sent the rows: the better one of two tests."""
        senders = compared.pool_senders
        if senders is None or compared.senders is None:
            return Claimed(claim, group, ~group.original)
        beside = Concentration.of(group, compared.pool, senders, compared.spread.matrix, self.seed)
        p = fisher(claim.p_value, beside.tail(np.ones(len(group.rows), dtype=bool)))
        going = group.going(claim, senders[group.rows], compared.senders, beside.tail)
        return Claimed(replace(claim, p_value=min(1.0, 2.0 * min(claim.p_value, p))), group, going)

    def _finding(
        self, batch: Batch, compared: Compared, claimed: Claimed, tails: Floats
    ) -> Finding:
        claim, group = claimed.claim, claimed.group
        rows = self._rows(batch, compared, claimed)
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
                "kept_rows": len(group.rows) - len(claimed.rows),
                "compared_rows": len(compared.rows),
            },
            rows=row_table(rows, _suspicion(tails[rows])),
        )

    def _rows(self, batch: Batch, compared: Compared, claimed: Claimed) -> Rows:
        """Positions in the batch of the members that go, ascending, and of rows like them."""
        chosen = np.zeros(len(compared.pool.part), dtype=bool)
        chosen[claimed.rows] = True
        everyone = chosen[compared.pool.same]  # with the rows equal to a member
        everyone[: compared.pool.closeness.rows] = False
        rows = compared.position(np.flatnonzero(everyone))
        if len(compared.rows) < batch.rows:
            more = more_members(batch, compared.spread, compared.rows, claimed.group)
            if compared.senders is not None:
                more = more[np.isin(compared.senders[more], compared.senders[rows])]
            rows = np.concatenate([rows, more])
        return np.unique(rows)


def _suspicion(tails: Floats) -> Floats:
    """A member counts by its family; how close it is itself gives the order."""
    suspicion: Floats = 0.7 + 0.25 * np.minimum(1.0, -np.log10(np.maximum(tails, 1e-9)) / 5.0)
    return suspicion


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
