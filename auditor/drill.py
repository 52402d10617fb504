"""Plants an attack in a clean batch and scores the gate: what was found, what it cost the honest.

One code path for a user's own data (`auditor redteam`), the baseline's power curves and the public
benchmark.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auditor.batch import Batch
from auditor.context import Context, Detector
from auditor.engine import Loaded, load
from auditor.fusion import fuse
from auditor.model import STATISTICAL, Effect, Outcome, Rule, Verdict
from auditor.policy import RULES as POLICY_RULES
from auditor.policy import Decision, Policy, contributors_of, decide, senders_of
from auditor.statistics import auc

Mask = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float64]

#: Share of honest rows that a ranking may put before the poison.
FALSE_POSITIVES = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What the gate made of one batch; `poison` and `honest` count rows.

    `recall`: share of poison rows ranked above all but 1 % of the honest ones. `auc`: area under
    the ROC curve of the suspicion order. Both are NaN where nothing was planted. `rules`: for each
    rule whose finding set rows aside, how many of them were poison.
    """

    verdict: Verdict
    poison: int
    honest: int
    poison_quarantined: int
    honest_quarantined: int
    recall: float
    auc: float
    rules: Mapping[str, int]
    failed: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Gate:
    """Detectors loaded once with what was trusted, and the policy: ready for many batches."""

    detectors: tuple[Loaded, ...]
    rules: Mapping[str, Rule]
    policy: Policy

    @classmethod
    def of(
        cls, detectors: Sequence[type[Detector]], context: Context, policy: Policy | None = None
    ) -> Gate:
        """The statistical rules among `detectors` at `policy` (the shipped one by default).

        Provenance, quality and drift have no row claims of their own to be scored here.
        """
        chosen = [d for d in detectors if d.rule.family in STATISTICAL]
        rules = {d.rule.id: d.rule for d in chosen} | {r.id: r for r in POLICY_RULES}
        return cls(tuple(load(d, context) for d in chosen), rules, policy or Policy())

    def outcomes(self, batch: Batch) -> list[Outcome]:
        """One for each detector."""
        return [detector.scan(batch) for detector in self.detectors]

    def decide(self, batch: Batch, outcomes: Sequence[Outcome]) -> Decision:
        """The verdict on these outcomes."""
        return decide(
            outcomes,
            rules=self.rules,
            policy=self.policy,
            rows=batch.rows,
            senders=senders_of(batch),
        )

    def score(self, batch: Batch, mask: Mask) -> Score:
        """Audit a batch and compare with what was planted: `mask` bool[rows]."""
        started = time.perf_counter()
        outcomes = self.outcomes(batch)
        decision = self.decide(batch, outcomes)
        seconds = time.perf_counter() - started
        return compare(batch, outcomes, decision, mask, seconds)


def compare(
    batch: Batch, outcomes: Sequence[Outcome], decision: Decision, mask: Mask, seconds: float
) -> Score:
    """What was decided beside what was planted: `mask` bool[rows]. `seconds`: what it took."""
    aside = quarantined(decision, batch.rows)
    order = fuse(outcomes, batch.rows, contributors_of(batch))
    return Score(
        verdict=decision.verdict,
        poison=int(mask.sum()),
        honest=int((~mask).sum()),
        poison_quarantined=int((aside & mask).sum()),
        honest_quarantined=int((aside & ~mask).sum()),
        recall=recall_at(order, mask),
        auc=float(auc(order, mask)) if mask.any() and not mask.all() else float("nan"),
        rules=_by_rule(decision, mask),
        failed=tuple(f"{o.rule}: {o.failed}" for o in outcomes if o.failed),
        seconds=seconds,
    )


def quarantined(decision: Decision, rows: int) -> Mask:
    """Rows that do not reach training: bool[rows]; all of them where nothing is published."""
    if decision.verdict in (Verdict.REJECT, Verdict.HOLD):
        return np.ones(rows, dtype=bool)
    aside = np.zeros(rows, dtype=bool)
    for finding in decision.having(Effect.QUARANTINE):
        if finding.rows is not None:
            aside[finding.rows.column("row").to_numpy()] = True
    return aside


def recall_at(order: Scores, mask: Mask, share: float = FALSE_POSITIVES) -> float:
    """Share of poison rows above all but `share` of the honest ones; NaN where none is planted.

    Rows that score the same as the threshold do not count: a tie tells nobody which to look at.
    """
    if not mask.any() or mask.all():
        return float("nan")
    threshold = np.quantile(order[~mask], 1.0 - share, method="higher")
    return float(np.mean(order[mask] > threshold))


def _by_rule(decision: Decision, mask: Mask) -> dict[str, int]:
    found: dict[str, Mask] = {}
    for finding in decision.having(Effect.QUARANTINE):
        if finding.rows is not None:
            aside = found.setdefault(finding.rule, np.zeros(len(mask), dtype=bool))
            aside[finding.rows.column("row").to_numpy()] = True
    return {rule: int((aside & mask).sum()) for rule, aside in sorted(found.items())}
