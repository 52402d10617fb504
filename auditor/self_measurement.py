"""The audit measures itself: canaries in shadow copies of the batch, and a control.

The rules that judged the batch, as they were loaded, judge copies of some of its rows in which a
few were planted; each family has a copy of its own. A shadow copy is another table in memory that
nothing writes. The newest trusted rows against the older ones are the control: what is set aside
there is a false alarm. Nothing of it is a claim about the batch; only a canary that could not be
overlooked, and was, twice, says that the audit cannot be relied on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa

from auditor import agreed_columns, canaries, power
from auditor.batch import TableBatch
from auditor.canaries import Plant
from auditor.engine import Judged
from auditor.errors import Unavailable
from auditor.live_control import Control
from auditor.model import Family
from auditor.report_records import CanaryRecord, SelfMeasurement
from auditor.shadow_copies import Audited, Budget, Clock, Mask, named_rows, shadow_of
from auditor.statistics import wilson
from auditor.trials import BROKEN

#: Share of the processor time of an audit that its measurement may take. Work that is expected to
#: go beyond it is not begun; what is begun may take longer than expected.
SHARE: Final = 0.2
#: Rows that are planted, in multiples of the stored power, and where that is unknown.
TIMES: Final = 3
UNKNOWN: Final = 60
#: Share of the planted rows that make a canary seen, and how often one may be missed.
SEEN: Final = 0.5
SEEDS: Final = 2
#: The attack whose stored power says how many rows of a family are planted.
STAND_INS: Final[Mapping[str, str]] = {
    "trigger": "backdoor",
    "label": "random-flip",
    "contributor": "sybil",
    "duplication": "conflicting-copy",
    "feature": "perturbation",
}
HIDDEN_TEXT: Final = "AUD-Q002"


@dataclass(frozen=True, slots=True)
class _Probe:
    """What is planted for some rules. `sure`: it cannot be overlooked by rules that work."""

    family: str
    name: str
    plant: Plant
    rules: tuple[Judged, ...]
    rows: int
    sure: bool


def measure(audit: Audited, clock: Clock) -> SelfMeasurement:
    """Canaries, the sure ones first, then the control, as far as the budget goes."""
    budget = Budget(SHARE * audit.taken, clock, clock())
    try:
        shadow = shadow_of(audit)
    except Unavailable as reason:
        return SelfMeasurement(said=f"not measured: {reason}.")
    first, rest = _split(list(_probes(audit, shadow.num_rows)), audit.context.seed)
    found = [_new_column(audit, shadow), *_tried(audit, shadow, first, budget)]
    found += _tried(audit, shadow, rest, budget)
    control = Control.of(audit).audited(audit, budget)
    spent = budget.spent
    return SelfMeasurement(
        said=_said(found),
        canaries=tuple(found),
        control=control,
        rows=shadow.num_rows,
        seconds=round(spent, 3),
        share=round(spent / max(spent + audit.taken, 1e-9), 4),
    )


def misses(measured: SelfMeasurement) -> tuple[str, ...]:
    """Reasons to hold the batch: sure canaries that no seed showed."""
    return tuple(
        f"self-measurement: {one.canary} was planted with {one.seeds} seeds and missed each time; "
        "the rules that ran cannot be relied on"
        for one in measured.canaries
        if one.missed
    )


def _said(found: Sequence[CanaryRecord]) -> str:
    tried = [one for one in found if not one.reason]
    seen = sum(one.found >= SEEN * one.planted for one in tried)
    text = f"{seen} of {len(tried)} kinds of canaries were seen in shadow copies of the batch."
    left = [one.canary for one in found if one.reason]
    return f"{text} Not planted: {', '.join(left)}." if left else text


# --- canaries ------------------------------------------------------------------------------------


def _probes(audit: Audited, rows: int) -> Iterator[_Probe]:
    """What is planted in a shadow copy of `rows` rows; the sure kinds first."""
    texts = tuple(
        one for one in audit.acting(Family.QUALITY.value) if one.loaded.rule == HIDDEN_TEXT
    )
    few = min(UNKNOWN, rows // canaries.ROOM)
    yield _Probe("integrity", "hidden characters", canaries.hidden_text, texts, few, sure=True)
    stored = {record.attack: record.rows for record in power.records(audit.baseline)}
    for family, plant in canaries.BY_FAMILY.items():
        least = stored.get(STAND_INS[family])
        wanted = TIMES * least if least else UNKNOWN
        most = rows // canaries.ROOM
        # Only an exact trigger is the same attack as the one that the power was measured with.
        sure = family == "trigger" and least is not None and wanted <= most
        judges = tuple(audit.acting(family))
        yield _Probe(family, _WORDS[family], plant, judges, min(wanted, most), sure)


_WORDS: Final[Mapping[str, str]] = {
    "trigger": "an exact trigger",
    "label": "other labels",
    "contributor": "a contributor made up",
    "duplication": "copies with another label",
    "feature": "numbers far outside",
}


def _split(probes: list[_Probe], seed: int) -> tuple[list[_Probe], list[_Probe]]:
    """Those that come first, and the others, beginning with another one in each run."""
    first = [one for one in probes if one.family in ("integrity", "trigger")]
    rest = [one for one in probes if one not in first]
    turn = seed % len(rest)
    return first, [*rest[turn:], *rest[:turn]]


def _new_column(audit: Audited, shadow: pa.Table) -> CanaryRecord:
    """A column that nobody agreed on: counted in columns, not in rows."""
    seeds = found = 0
    while not found and seeds < SEEDS:
        seeds += 1
        table, name = canaries.new_column(shadow, _rng(audit, "column", seeds))
        batch = TableBatch(table, audit.batch.roles)
        claims = agreed_columns.compare(batch, audit.baseline).findings
        found = int(any(claim.evidence.get("column") == name for claim in claims))
    return _record("integrity", "a new column", (seeds, found), seeds=seeds, missed=not found)


def _tried(
    audit: Audited, shadow: pa.Table, probes: Sequence[_Probe], budget: Budget
) -> Iterator[CanaryRecord]:
    for probe in probes:
        if not probe.rules:
            yield _left_out(probe, "no rule for it ran and does more than note")
        elif not budget.allows(audit.cost(probe.rules, shadow.num_rows)):
            yield _left_out(probe, "the time for measuring was used up")
        else:
            yield _planted(audit, shadow, probe)


def _planted(audit: Audited, shadow: pa.Table, probe: _Probe) -> CanaryRecord:
    """Plant, judge, count; a sure canary that is missed gets another seed."""
    tried: list[tuple[int, int]] = []
    try:
        while not tried or (probe.sure and len(tried) < SEEDS and _missed(tried)):
            tried.append(_seen(audit, shadow, probe, len(tried) + 1))
    except Unavailable as reason:
        return _left_out(probe, str(reason))
    except BROKEN as error:
        return _left_out(probe, f"broke on these rows: {type(error).__name__}")
    rows, found = (sum(counts) for counts in zip(*tried, strict=True))
    missed = probe.sure and _missed(tried)
    return _record(
        probe.family, probe.name, (rows, found), sure=probe.sure, seeds=len(tried), missed=missed
    )


def _missed(tried: Sequence[tuple[int, int]]) -> bool:
    """Whether no seed showed enough of what was planted."""
    return all(found < SEEN * rows for rows, found in tried)


def _seen(audit: Audited, shadow: pa.Table, probe: _Probe, seed: int) -> tuple[int, int]:
    """How many rows were planted, and how many of them are named.

    Raises:
        Unavailable: nothing could be planted, or no rule can judge the copy.
    """
    rng = _rng(audit, probe.name, seed)
    planted = probe.plant(shadow, audit.batch.roles, audit.baseline.sample, probe.rows, rng)
    mask: Mask = planted.mask.to_numpy(zero_copy_only=False)
    if not mask.any():
        raise Unavailable("no row of these could be made another one")
    batch = TableBatch(planted.table, audit.batch.roles)
    outcomes = [one.loaded.scan(batch) for one in probe.rules]
    if all(outcome.skipped for outcome in outcomes):
        raise Unavailable(str(outcomes[0].skipped))
    return int(mask.sum()), int((mask & named_rows(audit, outcomes, batch)).sum())


def _rng(audit: Audited, name: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([audit.context.seed, *name.encode(), seed])


def _record(
    family: str,
    canary: str,
    counts: tuple[int, int],
    *,
    sure: bool = True,
    seeds: int,
    missed: bool = False,
) -> CanaryRecord:
    planted, found = counts
    low, high = wilson(found, planted)
    return CanaryRecord(
        family=family,
        canary=canary,
        planted=planted,
        found=found,
        low=round(low, 4),
        high=round(high, 4),
        sure=sure,
        seeds=seeds,
        missed=missed,
    )


def _left_out(probe: _Probe, reason: str) -> CanaryRecord:
    left = _record(probe.family, probe.name, (0, 0), sure=probe.sure, seeds=0)
    return replace(left, reason=reason)
