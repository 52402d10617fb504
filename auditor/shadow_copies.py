"""An audit that looks at itself: what it judged with, and rows of its batch to plant in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.baseline import Baseline
from auditor.batch import Batch
from auditor.context import Context, Detector
from auditor.copies import take_rows
from auditor.engine import Judged
from auditor.errors import Unavailable
from auditor.model import Effect, Outcome, Rule
from auditor.policy import Policy, decide

Mask = npt.NDArray[np.bool_]
Clock = Callable[[], float]

#: Rows of a shadow copy, or as many as the baseline's power was measured on where that is more.
ROWS: Final = 2_000
#: Fewer rows than this are not enough to plant in, or to be a control.
LEAST: Final = 200
_ACTS: Final = (Effect.QUARANTINE, Effect.REJECT, Effect.HOLD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """An audit before its verdict. `outcomes`: of all rules; `judged`: of the detectors.

    `detectors`: rule id -> class, to load them anew. `taken`: processor seconds so far.
    """

    batch: Batch
    baseline: Baseline
    judged: Sequence[Judged]
    outcomes: Sequence[Outcome]
    rules: Mapping[str, Rule]
    policy: Policy
    detectors: Mapping[str, type[Detector]]
    context: Context
    taken: float

    def acting(self, family: str) -> list[Judged]:
        """Rules of a family that ran and whose findings do more than be noted."""
        return [
            one
            for one in self.judged
            if one.outcome.status == "ran"
            and self.rules[one.loaded.rule].family == family
            and self.effect(one.loaded.rule) != Effect.NOTE
        ]

    def cost(self, rules: Iterable[Judged], rows: int) -> float:
        """Expected seconds of these rules on so many rows: what the batch took, or half of it.

        Much of it does not depend on the rows: columns, trusted rows, values to compare.
        """
        share = min(1.0, 10.0 * rows / max(self.batch.rows, 1))
        return sum(one.scanning for one in rules) * (1.0 + share) / 2.0

    def effect(self, rule: str) -> Effect:
        """What the policy in force does with findings of a rule."""
        return self.policy.effects.get(rule, self.rules[rule].effect)


@dataclass(slots=True)
class Budget:
    """Processor seconds that may be spent."""

    seconds: float
    clock: Clock
    started: float

    @property
    def spent(self) -> float:
        """Seconds since it began."""
        return self.clock() - self.started

    def allows(self, expected: float) -> bool:
        """Whether work of so many seconds may be begun."""
        return self.spent + expected <= self.seconds


def shadow_of(audit: Audited) -> pa.Table:
    """A seeded choice of the rows that nothing sets aside, in their order: a table of its own.

    Raises:
        Unavailable: there are too few of them.
    """
    wanted = max(ROWS, int(audit.baseline.power.get("rows", 0)))
    free = np.flatnonzero(~named_rows(audit, audit.outcomes, audit.batch))
    if len(free) < LEAST:
        raise Unavailable(f"{len(free)} rows are not set aside, and it needs {LEAST}")
    rng = np.random.default_rng([audit.context.seed, 43])
    chosen = np.sort(rng.choice(free, min(wanted, len(free)), replace=False))
    return take_rows(audit.batch, audit.batch.schema.names, chosen).combine_chunks()


def named_rows(audit: Audited, outcomes: Iterable[Outcome], batch: Batch) -> Mask:
    """Rows that a finding with an effect names, at the levels of the audit: bool[rows].

    Rules that are not among `outcomes` and ran in the audit keep their share of the error budget.
    """
    given = list(outcomes)
    others = {o.rule for o in audit.outcomes if o.status == "ran"} - {o.rule for o in given}
    decision = decide(
        [*given, *(Outcome(rule=rule) for rule in sorted(others))],
        rules=audit.rules,
        policy=replace(audit.policy, required=frozenset(), unmet=()),
        rows=batch.rows,
    )
    named = np.zeros(batch.rows, dtype=bool)
    for finding in (found for effect in _ACTS for found in decision.having(effect)):
        if finding.rows is not None:
            named[finding.rows.column("row").to_numpy()] = True
    return named
