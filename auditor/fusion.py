"""One order of suspicion out of several rankings, for the review queue; it decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from auditor.model import Finding, Outcome
from auditor.statistics import midranks, robust_scale

Scores = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

#: A tail is counted down to here: an extrapolated 1e-40 of one rule must not silence the others.
CAP: Final = 6.0
WEIGHTS: Final = (1.0, 0.5, 0.25)


#: What a contributor whose rows look worse than the others' adds to each of them, at most.
LIFT: Final = 0.3
#: A finding that no trusted rate stands behind counts half.
UNCALIBRATED: Final = 0.5


def fuse(outcomes: Sequence[Outcome], rows: int, senders: Codes | None = None) -> Scores:
    """Fused suspicion of each row in [0, 1]: float64[rows].

    The largest rule score, plus half the second, plus a quarter of the third; never an average,
    one blind rule would drag the rest down. A rule's score is the capped -log10 of a row's tail,
    or its suspicion in a finding, as far as the finding's p-value goes. Where `senders`
    (int64[rows], -1 unknown) are known, rows of contributors that are worse than the others come
    first: poison that no rule sees alone is still sent by somebody.
    """
    best = np.zeros((len(WEIGHTS), rows))
    for outcome in outcomes:
        score = _scores(outcome, rows)
        if score is not None:
            _insert(best, score)
    fused: Scores = np.asarray(WEIGHTS) @ best / sum(WEIGHTS)
    if senders is None or not fused.any():
        return fused
    return (fused + LIFT * _lift(fused, senders)) / (1.0 + LIFT)


def _lift(fused: Scores, senders: Codes) -> Scores:
    """How surely each row's contributor sends worse rows than the others: float64[rows] in [0, 1].

    Ranks as exponential scores (Savage 1956): a contributor's sum is a Gamma variable where its
    rows are like the rest. Its excess is divided by the spread between contributors (median
    absolute deviation), so that it takes more where honest ones differ; Bonferroni over all.
    """
    from scipy.special import gammaincc

    code = senders + 1
    exponential = -np.log1p(-(midranks(fused) - 0.5) / len(fused))
    count = np.bincount(code).astype(np.float64)
    excess = np.bincount(code, weights=exponential) - count
    present = count > 0
    z = excess[present] / np.sqrt(count[present])
    spread = max(1.0, robust_scale(z))
    tail = gammaincc(np.maximum(count, 1.0), np.maximum(count + excess / spread, 1e-9))
    sure = -np.log10(np.clip(tail * np.count_nonzero(present), 10.0**-CAP, 1.0)) / CAP
    sure[0] = 0.0  # rows that nobody is named for have no contributor in common
    lift: Scores = sure[code]
    return lift


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
            suspicion = finding.rows.column("suspicion").to_numpy() * _weight(finding)
            np.maximum.at(score, position, suspicion)
    return score if score.any() else None


def _weight(finding: Finding) -> float:
    """How far a finding's claim goes, in [0, 1]: all the way where it is certain."""
    sure = 1.0
    if finding.p_value is not None:
        sure = min(1.0, -np.log10(max(finding.p_value, 1e-300)) / CAP)
    return sure if finding.calibrated else UNCALIBRATED * sure
