"""Contributors without standing, and those who lost it (attacks: reputation farming, Sybil floods).

Standing is earned over batches, not rows: one big batch is one observation. It can only keep a
contributor out of the cap that all newcomers share; it never makes another rule look away, so that
farming it buys nothing else. Only batches whose contributors a signed roll names count, and only
claims that are certain count as bad. Misses who behaves well for long and then sends poison: that
is for the rules that look at the rows.

Beta reputation with forgetting: Jøsang, Ismail 2002, The Beta reputation system.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from auditor.batch import Batch
from auditor.coded import Coded, coded
from auditor.context import Context, Record, subject_of
from auditor.errors import Unavailable
from auditor.model import Effect, Family, Finding, Outcome, Rule, Severity, row_table

#: Characters of a contributor's name in a finding.
NAME = 200


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of AUD-C003.

    `newcomers`: share of a batch that contributors without standing may have together. `standing`:
    what the lower bound of the share of good batches has to reach. `floor`: a contributor with bad
    batches and a lower bound under it is named. `half_life`: after so many batches of a contributor
    one weighs half. `rows`: a good batch has at least so many rows of it.
    """

    newcomers: float = 0.2
    standing: float = 0.8
    floor: float = 0.5
    half_life: float = 30.0
    rows: int = 10


@dataclass(frozen=True, slots=True)
class Standing:
    """Good and bad batches of a contributor, each by its weight, and how many are known."""

    good: float
    bad: float
    batches: int

    @classmethod
    def of(cls, record: Record, settings: Options) -> Standing:
        """What the batches that a roll vouches for say; the others say nothing."""
        good = bad = 0.0
        known = [sent for sent in record.batches if sent.vouched]
        for age, sent in enumerate(reversed(known)):
            weight = 0.5 ** (age / settings.half_life)
            if sent.certain:
                bad += weight
            # Rows that were set aside by chance or with reason: neither good nor bad.
            elif not sent.quarantined and sent.rows >= settings.rows:
                good += weight
        return cls(good, bad, len(known))

    @property
    def lower(self) -> float:
        """Lower 95 % bound of the share of good batches, from a uniform prior."""
        from scipy.special import betaincinv

        return float(betaincinv(1.0 + self.good, 1.0 + self.bad, 0.05))


_STRANGER = Standing(0.0, 0.0, 0)


@dataclass(frozen=True, slots=True)
class Reputation:
    """AUD-C003."""

    records: Mapping[str, Record]
    vouched: bool
    settings: Options
    seed: int

    options: ClassVar[type] = Options
    rule: ClassVar[Rule] = Rule(
        id="AUD-C003",
        family=Family.CONTRIBUTOR,
        title="Too many rows of contributors without standing",
        severity=Severity.MEDIUM,
        effect=Effect.NOTE,
        attacks=("reputation-farming", "injection"),
        references=("Jøsang, Ismail 2002, The Beta reputation system", "ATLAS AML.T0020"),
        needs=("contributor",),
        order_free=False,  # which rows are beyond the cap is drawn by position
    )

    @classmethod
    def load(cls, context: Context) -> Reputation:
        """Needs earlier batches; who came in them is in the context."""
        if not context.contributors:
            raise Unavailable("needs earlier batches with a contributor")
        settings = context.options(cls.rule.id, Options)
        return cls(context.contributors, context.vouched, settings, context.seed)

    def scan(self, batch: Batch) -> Outcome:
        """One finding for newcomers over their cap, one for each contributor with a bad record."""
        column = batch.roles.contributor
        if column is None:
            raise Unavailable("no contributor role")
        if not self.vouched:
            raise Unavailable("no signed roll names the contributors of this batch")
        known = {who: Standing.of(record, self.settings) for who, record in self.records.items()}
        if not any(each.lower >= self.settings.standing for each in known.values()):
            raise Unavailable("no contributor has earned a standing yet")
        senders = coded(batch, column)
        own = [known.get(subject_of(name), _STRANGER) for name in senders.names]
        bad = [i for i, each in enumerate(own) if each.bad and each.lower < self.settings.floor]
        new = [i for i, each in enumerate(own) if each.lower < self.settings.standing]
        findings = [self._with_record(senders, i, own[i]) for i in bad]
        return Outcome(rule=self.rule.id, findings=(*findings, *self._newcomers(senders, new)))

    def _newcomers(self, senders: Coded, new: list[int]) -> Iterator[Finding]:
        """Rows beyond the cap, drawn by the run's seed: nobody can choose which ones."""
        rows = np.flatnonzero(np.isin(senders.codes, [*new, -1]))
        total, cap = len(senders.codes), self.settings.newcomers
        # What stays is to be at most `cap` of what is published, not of what was sent.
        rest = total - len(rows)
        stay = int(cap * rest / (1.0 - cap)) if cap < 1.0 else len(rows)
        if len(rows) <= stay:
            return
        drawn = np.random.default_rng(self.seed).permutation(rows)[stay:]
        over: npt.NDArray[np.int64] = np.sort(drawn)
        yield Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"{len(rows)} of {total} rows come from {len(new)} contributors without "
            f"standing; together they may have {cap:.0%}",
            evidence={
                "newcomers": len(new),
                "rows_of_newcomers": len(rows),
                "limit": cap,
                "rows_over_limit": len(over),
            },
            rows=row_table(over, 0.5),
        )

    def _with_record(self, senders: Coded, place: int, standing: Standing) -> Finding:
        name = str(senders.names[place])[:NAME]
        return Finding(
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"contributor {name!r}: certainly bad rows in earlier batches; at least "
            f"{standing.lower:.0%} of its batches are good, wanted are {self.settings.floor:.0%}",
            evidence={
                "contributor": name,
                "batches": standing.batches,
                "good": round(standing.good, 2),
                "bad": round(standing.bad, 2),
                "lower_bound": round(standing.lower, 3),
            },
            rows=row_table(np.flatnonzero(senders.codes == place), 0.7),
        )
