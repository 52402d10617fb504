"""Which rows of a batch a model should not learn from: those whose labels are least expected.

The order is that of the rule: by the tail of the loss or, where that is rarer, of the doubt in the
label's class (AUD-L001); by the tail of the residual (AUD-L003). The model is one of trusted rows:
one round of iterative trimmed loss, without the danger that the rows in question teach the model.
Honest rows that are hard to tell are among them.

Shen & Sanghavi 2019 (ITLM), Jagielski et al. 2018 (TRIM).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from auditor.model import Outcome
from auditor.sample_weight import SampleWeight

Mask = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float32]

#: The rules that rank rows by their labels: by classes, by real-valued targets.
RULES: Final = ("AUD-L001", "AUD-L003")


@dataclass(frozen=True, slots=True)
class Weights:
    """`values` float32[rows], 0 or 1, of all rows of a batch; what report and attestation say."""

    values: Values
    said: SampleWeight


def weigh(
    outcomes: Sequence[Outcome], trusted: Collection[str], share: float, aside: Mask
) -> Weights | None:
    """Weights by the loss that an outcome ranks by; None where no loss is known.

    Args:
        outcomes: one for each rule.
        trusted: rules that the baseline has thresholds for.
        share: of the rows, to be trimmed at most. No rule ranks a row whose loss a fifth of the
            trusted rows exceed, nor one without a label: these keep their weight.
        aside: bool[rows], rows that are set aside. They count as trimmed.
    """
    known = next(_known(outcomes, trusted), None)
    if known is None or known.ranking is None:
        return None
    ranked = known.ranking.column("row").to_numpy()
    left = int(share * len(aside) + 1e-9) - int(aside.sum())
    zero = ranked[~aside[ranked]][: max(0, left)]
    values = np.where(aside, 0, 1).astype(np.float32)
    values[zero] = 0
    return Weights(values, SampleWeight(share=share, rule=known.rule, rows=len(zero)))


def released(rows: int, share: float) -> Weights:
    """Those of rows that people let go: they looked at them, and want them trained on."""
    return Weights(np.ones(rows, np.float32), SampleWeight(share=share, rule="", rows=0))


def unknown(outcomes: Sequence[Outcome], trusted: Collection[str]) -> str | None:
    """Why no loss is known; None where one is."""
    if next(_known(outcomes, trusted), None) is not None:
        return None
    why = {o.rule: o.failed or o.skipped or "it had no trusted rows" for o in outcomes}
    said = (f"{rule}: {why.get(rule, 'not among the rules of this run')}" for rule in RULES)
    return f"outputs.sample_weight is set, and no loss of the rows is known ({'; '.join(said)})"


def _known(outcomes: Sequence[Outcome], trusted: Collection[str]) -> Iterator[Outcome]:
    """Those that rank by the loss under a model of trusted rows, never under one of the batch.

    A model of the batch has learnt what was planted in it.
    """
    known = {o.rule: o for o in outcomes if o.status == "ran" and o.ranking is not None}
    return (known[rule] for rule in RULES if rule in known and rule in trusted)
