"""Rows that were set aside before and are sent again (attack: try again, a few at a time).

Shows as batch rows whose keyed 128-bit key is that of a row which an earlier batch had set aside
and nobody released since, beyond the rate at which rows come again by themselves. Rows that were
published, or are trusted, under the same key are not meant: one copy of them was fine. Misses rows
with a changed cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from auditor.model import Effect, Family, Finding, Outcome, Rule, Severity, row_table
from auditor.replays import Natural
from auditor.rowhash import KeyIndex, Words

RESUBMITTED: Final = Rule(
    id="AUD-D006",
    family=Family.DUPLICATION,
    title="Rows that were set aside before",
    severity=Severity.HIGH,
    effect=Effect.QUARANTINE,
    attacks=("replay",),
    references=("ATLAS AML.T0020",),
    row_local=True,
)
RULES: Final = (RESUBMITTED,)
#: Runs that a finding names; all of them are counted.
_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class SetAside:
    """The rows that one run set aside and that are still out. `keys`: uint64[rows, 2]."""

    run: str
    keys: Words


def compare(
    keys: Words,
    fine: npt.NDArray[np.bool_],
    earlier: tuple[SetAside, ...],
    natural: Natural,
) -> Outcome:
    """The outcome for a batch with these keys, uint64[rows, 2].

    `fine`: bool[rows], whether a row is trusted, or was published before. `natural`: how often rows
    come again by themselves.
    """
    held = [np.array(_counts(one.keys, keys) > 0) & ~fine for one in earlier]
    rows = np.flatnonzero(np.any(held, axis=0)) if held else np.zeros(0, dtype=np.int64)
    if not len(rows):
        return Outcome(rule=RESUBMITTED.id)
    runs = [one.run for one, mask in zip(earlier, held, strict=True) if mask.any()]
    pairs = float(len(keys)) * sum(len(one.keys) for one in earlier)
    return Outcome(rule=RESUBMITTED.id, findings=(_finding(rows, runs, pairs, natural),))


def _finding(
    rows: npt.NDArray[np.int64], runs: list[str], pairs: float, natural: Natural
) -> Finding:
    expected, p = natural.expected(pairs), natural.tail(len(rows), pairs)
    about = f"about {expected:.1f} expected" if natural.known else "no rate is known yet"
    more = f" and {len(runs) - _NAMED} more runs" if len(runs) > _NAMED else ""
    named = ", ".join(runs[:_NAMED]) + more
    return Finding(
        rule=RESUBMITTED.id,
        severity=RESUBMITTED.severity,
        message=f"{len(rows)} rows were set aside before and not released ({named}), {about}",
        p_value=p,
        evidence={"set_aside_rows": len(rows), "expected": round(expected, 2), "runs": named},
        rows=row_table(rows, 0.95),
        calibrated=p is not None,
    )


def _counts(known: Words, keys: Words) -> npt.NDArray[np.int64]:
    start, stop = KeyIndex(known).spans(keys)
    counts: npt.NDArray[np.int64] = stop - start
    return counts
