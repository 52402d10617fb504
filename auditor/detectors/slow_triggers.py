"""A trigger in a few rows of each of many batches (attacks: low and slow, backdoor).

Shows as values that come together with one label too often in this batch and in samples of what
the last ones published, taken as one batch; by itself none of them holds enough. The search is that
of AUD-T001, one more test a batch. Names this batch's rows, and the earlier batches with others.
Misses triggers that the samples of large batches thin out, and those rarer than what the trusted
rows can tell from a natural clump.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import numpy as np
import pyarrow as pa

from auditor.baseline import Baseline
from auditor.batch import Batch, Shared, TableBatch, read_columns
from auditor.context import Context, History, Published
from auditor.copies import Copies
from auditor.detectors.triggers import LONGER, Options, Triggers
from auditor.errors import Unavailable
from auditor.model import Effect, Family, Finding, Outcome, Rule, Severity, row_table
from auditor.rowhash import scheme

#: Share of a finding's rows that have to be earlier ones: the rest is the business of AUD-T001.
EARLIER: Final = 0.2
#: Batches that a finding names.
NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class SlowTriggers:
    """AUD-T002."""

    baseline: Baseline
    history: History | None
    site_key: bytes
    settings: Options
    seed: int

    options: ClassVar[type] = Options
    rule: ClassVar[Rule] = Rule(
        id="AUD-T002",
        family=Family.TRIGGER,
        title="Values that come together too often over several batches",
        severity=Severity.HIGH,
        effect=Effect.QUARANTINE,
        attacks=("low-and-slow", "backdoor"),
        references=("Gu et al. 2017, BadNets", "ATLAS AML.T0020"),
        needs=("feature",),
        needs_earlier=True,
        minimum_rows=Triggers.rule.minimum_rows,
    )

    @classmethod
    def load(cls, context: Context) -> SlowTriggers:
        """Needs a baseline that AUD-T001 can use."""
        baseline = context.baseline
        if baseline is None:
            raise Unavailable("needs a baseline")
        if Triggers.rule.id not in baseline.thresholds:
            raise Unavailable(f"the baseline was built without {Triggers.rule.id}; build it again")
        settings = context.options(cls.rule.id, Options)
        return cls(baseline, context.history, context.site_key, settings, context.seed)

    def scan(self, batch: Batch) -> Outcome:
        """One finding for each cause that this batch and earlier ones share."""
        if not batch.roles.features:
            raise Unavailable("no feature column")
        if batch.rows < self.rule.minimum_rows:
            raise Unavailable(f"needs at least {self.rule.minimum_rows} rows, has {batch.rows}")
        room = LONGER * self.baseline.sample.num_rows - batch.rows
        if room <= 0:
            raise Unavailable(f"with {LONGER} rows for each trusted one no earlier row is counted")
        earlier = self._earlier(batch, room)
        if not earlier:
            raise Unavailable("needs an earlier batch of this gate with the same columns")
        pooled = _pooled(batch, earlier)
        copies = Copies(self.site_key, Shared())  # of its own: these are not the rows of the batch
        found = Triggers(self.baseline, copies, self.settings, self.seed).scan(pooled)
        ends = np.cumsum([batch.rows, *(one.rows.num_rows for one in earlier)])
        named = (self._finding(one, ends, earlier) for one in found.findings)
        return Outcome(rule=self.rule.id, findings=tuple(one for one in named if one is not None))

    def _earlier(self, batch: Batch, room: int) -> tuple[Published, ...]:
        """At most `room` earlier rows of the same columns."""
        if self.history is None:
            return ()
        named = scheme(batch.schema, batch.roles.content, self.site_key)
        mine = pa.schema([batch.schema.field(name) for name in batch.roles.learned.named])
        return tuple(
            one for one in self.history.recent(named, room) if one.rows.schema.equals(mine)
        )

    def _finding(
        self, claim: Finding, ends: np.ndarray, earlier: Sequence[Published]
    ) -> Finding | None:
        """What AUD-T001 says of the pooled rows, as a claim about this batch's; None without."""
        assert claim.rows is not None
        rows = claim.rows.column("row").to_numpy()
        counts = np.bincount(np.searchsorted(ends, rows, side="right"), minlength=len(ends))
        if not counts[0] or counts[1:].sum() < EARLIER * len(rows):
            return None
        sent = [one.batch for one, n in zip(earlier, counts[1:].tolist(), strict=True) if n]
        mine = claim.rows.filter(pa.array(rows < ends[0]))
        here, others = int(counts[0]), len(sent)
        return replace(
            claim,
            rule=self.rule.id,
            severity=self.rule.severity,
            message=f"{claim.message}, in this batch and samples of {len(earlier)} earlier ones: "
            f"{here} rows here, the others in {others} of those",
            evidence=dict(claim.evidence)
            | {
                "rows_in_batch": here,
                "earlier_batches": ", ".join(sent[:NAMED]),
                "batches": others + 1,
            },
            rows=row_table(mine.column("row"), mine.column("suspicion")),
        )


def _pooled(batch: Batch, earlier: Sequence[Published]) -> TableBatch:
    """This batch first, then the earlier rows."""
    roles = batch.roles.learned
    tables = [read_columns(batch, roles.named), *(one.rows for one in earlier)]
    return TableBatch(pa.concat_tables(tables), roles)
