"""One order of suspicion out of several rankings, for the review queue; it decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from auditor.model import Outcome

Scores = npt.NDArray[np.float64]

#: A tail is counted down to here: an extrapolated 1e-40 of one rule must not silence the others.
CAP: Final = 6.0
WEIGHTS: Final = (1.0, 0.5, 0.25)


def fuse(outcomes: Sequence[Outcome], rows: int) -> Scores:
    """Fused suspicion of each row in [0, 1]: float64[rows].

    The largest rule score, plus half the second, plus a quarter of the third; never an average,
    one blind rule would drag the rest down. A rule's score is its finding's suspicion or the
    capped -log10 of its tail.
    """
    best = np.zeros((len(WEIGHTS), rows))
    for outcome in outcomes:
        score = _scores(outcome, rows)
        if score is not None:
            _insert(best, score)
    fused: Scores = np.asarray(WEIGHTS) @ best / sum(WEIGHTS)
    return fused


def _insert(best: Scores, score: Scores) -> None:
    """Put a rule's score float64[rows] into the best of each row, largest first, in place."""
    for level in best:
        rest = np.minimum(level, score)
        np.maximum(level, score, out=level)
        score = rest


def _scores(outcome: Outcome, rows: int) -> Scores | None:
    score = np.zeros(rows)
    if outcome.ranking is not None and outcome.ranking.num_rows:
        position = outcome.ranking.column("row").to_numpy()
        tail = np.maximum(outcome.ranking.column("tail").to_numpy(), 10.0**-CAP)
        score[position] = -np.log10(tail) / CAP
    for finding in outcome.findings:
        if finding.rows is not None and finding.rows.num_rows:
            position = finding.rows.column("row").to_numpy()
            np.maximum.at(score, position, finding.rows.column("suspicion").to_numpy())
    return score if score.any() else None
