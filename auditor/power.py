"""Power: from how many poison rows on an attack is stopped. Measured once, stored in the baseline.

Attacks of every family are planted in later clean rows and judged by a baseline of the earlier
ones. For each the smallest number of rows that is caught in `LEVEL` of the trials is looked for by
bisection, which takes power to grow with the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from auditor.baseline import Baseline
from auditor.curves import Rate, Tried
from auditor.drill import Gate
from auditor.model import Family
from auditor.report_records import PowerRecord
from auditor.trials import Ground, Trial, attempt, spread

Progress = Callable[[str], None]

#: Share of trials that must be caught.
LEVEL: Final = 0.9
COUNTS: Final = (10, 20, 50, 100, 250)
#: The attacks that stand for a family: the report says which.
STAND_INS: Final[Mapping[str, Family]] = {
    "backdoor": Family.TRIGGER,
    "backdoor-jittered": Family.TRIGGER,
    "clean-label": Family.TRIGGER,
    "random-flip": Family.LABEL,
    "targeted-flip": Family.LABEL,
    "sybil": Family.CONTRIBUTOR,
    "near-copy": Family.DUPLICATION,
    "conflicting-copy": Family.DUPLICATION,
    "perturbation": Family.FEATURE,
    "out-of-distribution": Family.FEATURE,
}
#: Bisection over `COUNTS` looks at so many of them at most.
STEPS: Final = 3
#: Fewer trials than this do not suffice for one at each step of each attack.
FEWEST: Final = STEPS * len(STAND_INS)
TRIALS: Final = 200


def measure(
    ground: Ground, trials: int, *, workers: int = 2, progress: Progress | None = None
) -> dict[str, Any]:
    """What a baseline stores under `power`; at most `trials` trials.

    Raises:
        ValueError: fewer trials than `FEWEST`.
    """
    if trials < FEWEST:
        raise ValueError(f"{trials} trials are too few to measure power; at least {FEWEST}")
    say = progress or (lambda _: None)
    counts = [n for n in COUNTS if 3 * n <= ground.window] or [max(1, ground.window // 3)]
    searches = [(attack, trials // FEWEST, tuple(counts)) for attack in STAND_INS]
    records: list[PowerRecord] = []
    used = 0
    say(f"measuring power: {len(searches)} attacks, at most {trials} trials")
    for record, spent in spread(ground, smallest, searches, workers):
        records.append(record)
        used += spent
        say(f"measuring power: {len(records)} of {len(searches)} attacks, {used} trials")
    return {
        "asked": trials,
        "trials": used,
        "rows": ground.window,
        "level": LEVEL,
        "counts": counts,
        "attacks": [asdict(record) for record in records],
    }


def smallest(
    ground: Ground, gate: Gate, search: tuple[str, int, tuple[int, ...]]
) -> tuple[PowerRecord, int]:
    """The smallest of the counts that is caught often enough, and how many trials that took."""
    attack, repeats, counts = search
    low, high, spent = 0, len(counts), 0
    reached: tuple[int, Rate] | None = None
    missed = Rate(hits=0, trials=0)
    while low < high:
        middle = (low + high) // 2
        tried = list(_until_lost(ground, gate, attack, counts[middle], repeats))
        spent += len(tried)
        unavailable = next((one.unavailable for one in tried if one.unavailable), "")
        if unavailable:
            return _record(attack, None, Rate(hits=0, trials=0), unavailable), spent
        rate = Rate(hits=sum(one.caught for one in tried), trials=len(tried))
        if rate.hits >= LEVEL * repeats:
            reached, high = (counts[middle], rate), middle
        else:
            missed, low = rate, middle + 1
    if reached is None:
        return _record(attack, None, missed, ""), spent
    return _record(attack, reached[0], reached[1], ""), spent


def _until_lost(
    ground: Ground, gate: Gate, attack: str, rows: int, repeats: int
) -> Iterator[Tried]:
    """Up to `repeats` trials; none more once so many were missed that `LEVEL` is out of reach."""
    missed = 0
    for seed in range(repeats):
        tried = attempt(ground, gate, Trial(attack, rows, seed))
        yield tried
        missed += not tried.caught
        if tried.unavailable or repeats - missed < LEVEL * repeats:
            return


def _record(attack: str, rows: int | None, rate: Rate, reason: str) -> PowerRecord:
    low, high = rate.interval
    return PowerRecord(
        attack=attack,
        family=STAND_INS[attack].value,
        rows=rows,
        caught=rate.hits,
        trials=rate.trials,
        low=low,
        high=high,
        reason=reason,
    )


# --- reading what was stored ---------------------------------------------------------------------


def records(baseline: Baseline | None) -> tuple[PowerRecord, ...]:
    """One for each attack that was planted when the baseline was built; none where none was."""
    if baseline is None or not baseline.power:
        return ()
    return tuple(PowerRecord(**entry) for entry in baseline.power["attacks"])


def asked(baseline: Baseline) -> int:
    """How many trials its power was measured with at most; 0 where it was not."""
    return int(baseline.power.get("asked", 0))


def sentence(baseline: Baseline | None) -> str:
    """What was measured, or that it is unknown. For people, in every report."""
    if baseline is None:
        return (
            "unknown; there is no baseline to measure it on. A small attack may have been missed."
        )
    found = [record for record in records(baseline) if not record.reason]
    if not found:
        return (
            "unknown; it was not measured when the baseline was built. "
            "A small attack may have been missed."
        )
    power = baseline.power
    most = max(power["counts"])
    reached = ", ".join(f"{r.attack} {r.rows}" for r in found if r.rows is not None) or "none"
    missed = [r.attack for r in found if r.rows is None]
    text = (
        f"in batches of {power['rows']:,} rows at least {power['level']:.0%} of planted attacks "
        f"were caught from so many poison rows on: {reached}."
    )
    if missed:
        text += f" Not up to {most} rows: {', '.join(missed)}."
    return f"{text} {power['trials']} trials when the baseline was built, at the default policy."


def shortfalls(baseline: Baseline | None, wanted: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    """Reasons to hold: families whose stored power does not reach what the policy names.

    `wanted`: families, each with the number of poison rows that must be caught. Known before the
    run.
    """
    found = records(baseline)
    return tuple(
        f"policy.power wants {family} attacks caught from {rows} rows on, {reason}"
        for family, rows in sorted(wanted)
        if (reason := _short(family, rows, found))
    )


def _short(family: str, rows: int, found: Sequence[PowerRecord]) -> str:
    if not found:
        return "and no power was measured when the baseline was built"
    judged = [r for r in found if r.family == family and not r.reason]
    if not judged:
        return "and none could be planted when the baseline was built"
    for record in judged:
        if record.rows is None:
            return f"and {record.attack} was not caught with any number of rows that was tried"
        if record.rows > rows:
            return f"and {record.attack} was caught from {record.rows} rows on"
    return ""
