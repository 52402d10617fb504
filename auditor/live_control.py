"""The live control: the newest trusted rows, audited against the older ones.

Nothing was planted there, so that everything a rule would set aside is a false alarm.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa

from auditor.baseline import Baseline, Piece
from auditor.baseline_sampling import merged
from auditor.batch import TableBatch
from auditor.clean_rate import newest_apart, pool
from auditor.context import Context
from auditor.engine import Judged, Loaded, load
from auditor.errors import BaselineError
from auditor.report_records import ControlRecord
from auditor.shadow_copies import LEAST, ROWS, Audited, Budget, named_rows
from auditor.statistics import wilson

#: Families whose rules need no fitted model: loading the others anew takes longer than an audit of
#: thousands of rows may spend. The baseline's clean rate is measured over all of them.
FAMILIES: Final = ("trigger", "duplication")
#: Characters of a part's name in the report.
NAME: Final = 200


@dataclass(frozen=True, slots=True)
class Control:
    """The newest trusted rows as a batch, and a context with the baseline without them."""

    part: str = ""
    batch: TableBatch | None = None
    context: Context | None = None
    reason: str = ""

    @classmethod
    def of(cls, audit: Audited) -> Control:
        """Of the audit's baseline; where it has one part, the reason why there is none."""
        try:
            early, late = newest_apart(audit.baseline)
        except BaselineError as error:
            return cls(reason=str(error))
        if not early:
            return cls(reason="the baseline has one part")
        if min(sum(p.part.rows for p in side) for side in (early, late)) < LEAST:
            return cls(reason=f"the newest part or the others have fewer than {LEAST} rows")
        rows = _drawn(late, audit)
        name = late[0].part.name if len(late) == 1 else f"{late[0].part.name} and its other parts"
        context = Context(
            seed=audit.context.seed,
            site_key=audit.context.site_key,
            baseline=_without(audit.baseline, early),
            settings=audit.context.settings,
        )
        batch = TableBatch(rows, audit.baseline.roles)
        return cls(name[:NAME], batch, context)

    def audited(self, audit: Audited, budget: Budget) -> ControlRecord:
        """Judged by the rules of `FAMILIES` that there is time for."""
        if self.batch is None or self.context is None:
            return ControlRecord(reason=self.reason)
        named, done = np.zeros(self.batch.rows, dtype=bool), []
        for family in FAMILIES:
            judges = audit.acting(family)
            if judges and budget.allows(audit.cost(judges, self.batch.rows)):
                loaded = _loaded(judges, audit, self.context)
                named |= named_rows(audit, [one.scan(self.batch) for one in loaded], self.batch)
                done.append(family)
        if not done:
            return ControlRecord(part=self.part, reason="the time was used up, or no such rule ran")
        low, high = wilson(int(named.sum()), len(named))
        return ControlRecord(
            part=self.part,
            rows=len(named),
            set_aside=int(named.sum()),
            low=round(low, 4),
            high=round(high, 4),
            families=tuple(done),
        )


def _loaded(judges: Iterable[Judged], audit: Audited, context: Context) -> list[Loaded]:
    return [load(audit.detectors[one.loaded.rule], context) for one in judges]


def _drawn(late: list[Piece], audit: Audited) -> pa.Table:
    """A seeded choice of the sampled rows of some parts, each as likely as what it stands for."""
    table, weights = pool(late, audit.baseline)
    rng = np.random.default_rng([audit.context.seed, 47])
    share = weights / weights.sum()
    wanted = min(ROWS, int(np.count_nonzero(share)))
    chosen = np.sort(rng.choice(len(table), wanted, replace=False, p=share))
    return table.take(pa.array(chosen))


def _without(baseline: Baseline, early: list[Piece]) -> Baseline:
    """The baseline over some of its parts, with the thresholds of the whole one."""
    return replace(
        baseline,
        parts=tuple(piece.part for piece in early),
        contents=tuple(piece.content for piece in early),
        sample=merged(early, baseline.frame, len(baseline.sample)),
        keys=pa.concat_tables([piece.content.keys for piece in early]),
    )
