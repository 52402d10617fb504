"""What trusted rows' labels score under a model that had not seen them, as quantiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from auditor.labels.model import Codes, Scores, doubt, losses
from auditor.tails import Reference

#: Nothing is known: every tail is 1.
UNKNOWN: Final = Reference(0, ())


@dataclass(frozen=True, slots=True)
class References:
    """Quantiles of the doubt of each class, and of the loss over all rows."""

    doubts: tuple[Reference, ...]
    loss: Reference

    @classmethod
    def of(cls, probabilities: Scores, codes: Codes) -> References:
        """From out-of-fold probabilities float64[n, classes] and labels int64[n]."""
        scores = doubt(probabilities, codes)
        doubts = (Reference.of(scores[codes == i]) for i in range(probabilities.shape[1]))
        return cls(tuple(doubts), Reference.of(losses(probabilities, codes)))

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> References:
        """The inverse of `to_json`; the loss is missing in baselines of earlier versions."""
        doubts = tuple(Reference.from_json(value) for value in stored["references"])
        return cls(doubts, Reference.from_json(stored["loss"]) if "loss" in stored else UNKNOWN)

    def to_json(self) -> dict[str, Any]:
        """Plain values for the baseline's header."""
        doubts = [reference.to_json() for reference in self.doubts]
        return {"references": doubts, "loss": self.loss.to_json()}

    def tails(self, probabilities: Scores, codes: Codes) -> tuple[Scores, Scores]:
        """The tail of each row's doubt among its class, and what to rank by: both float64[n].

        To rank by is the smaller of that tail and the loss's among all rows. Classes differ in how
        often their rows are doubtful; few trusted rows of a class do not know its extremes.
        """
        scores, tails = doubt(probabilities, codes), np.ones(len(codes))
        for code, reference in enumerate(self.doubts):
            mine = codes == code
            tails[mine] = reference.tail(scores[mine])
        return tails, np.minimum(tails, self.loss.tail(losses(probabilities, codes)))
