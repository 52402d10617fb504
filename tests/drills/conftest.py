"""Planted rows, their clean twin, and what the default policy makes of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest

from auditor.batch import Roles, TableBatch, distinct
from auditor.context import Context, Detector
from auditor.detectors import DEEP, DETECTORS, EVERY
from auditor.model import STATISTICAL, Effect, Finding
from auditor.policy import SHARE_LIMIT, Policy, Senders, decide

RULES = {d.rule.id: d.rule for d in EVERY} | {SHARE_LIMIT.id: SHARE_LIMIT}


@dataclass(frozen=True)
class Drill:
    """The rows of findings by what the policy made of them.

    `own`: those of the rule itself; the share limit may have set aside more of a contributor.
    """

    by_effect: dict[Effect, set[int]]
    own: set[int]

    def found(self, mask: pa.Array | np.ndarray, effect: Effect) -> float:
        """Share of the planted rows in findings with this effect."""
        planted = set(np.flatnonzero(np.asarray(mask)).tolist())
        assert len(planted) >= 10
        return len(planted & self.by_effect[effect]) / len(planted)


def _rows(finding: Finding) -> set[int]:
    return set() if finding.rows is None else set(finding.rows.column("row").to_pylist())


@pytest.fixture(scope="session")
def drill(diamonds_context: Context, diamonds_roles: Roles) -> Callable[..., Drill]:
    """Scan with one detector and decide with the default policy, as if all others had run."""
    loaded: dict[str, Detector] = {}

    def run(detector: type[Detector], table: pa.Table) -> Drill:
        rule = detector.rule.id
        if rule not in loaded:
            loaded[rule] = detector.load(diamonds_context)
        outcome = loaded[rule].scan(TableBatch(table, diamonds_roles))
        names, codes = distinct(table["contributor"].to_pylist())
        senders = Senders("contributor", names, np.array(codes, dtype=np.int64))
        ran = [d.rule for d in (EVERY if detector in DEEP else DETECTORS)]
        families = len({r.family for r in ran} & STATISTICAL)
        rules = sum(r.family == detector.rule.family for r in ran)
        policy = Policy(alpha=0.01 / families / rules)
        decision = decide(
            [outcome], rules=RULES, policy=policy, rows=table.num_rows, senders=[senders]
        )
        named: dict[Effect, set[int]] = {effect: set() for effect in Effect}
        own: set[int] = set()
        for decided in decision.decided:
            if decided.finding.rows is not None:
                own |= _rows(decided.finding) if decided.finding.rule == rule else set()
                named[decided.effect] |= _rows(decided.finding)
        return Drill(named, own)

    return run


@pytest.fixture(scope="session")
def clean_twin(diamonds_clean: pa.Table) -> pa.Table:
    """The batch that the attacks start from."""
    return diamonds_clean.slice(0, 1800)
