"""Partitions of all rows by what a model says of them: how sure it is, and which label it expects.

Flips that are spread over all rows show where the model is sure; flips of one label, wherever they
are, show among the rows that it takes for that label. Probabilities in, item codes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt

Chances = npt.NDArray[np.float64]
Items = npt.NDArray[np.int32]

#: Shares of trusted rows below which the model's margin is a bin of its own.
UNDECIDED: Final = (0.03, 0.06, 0.12, 0.25, 0.5)


@dataclass(frozen=True, slots=True)
class Margins:
    """A partition by how undecided the model is: lowest margins first, float64[k - 1] edges."""

    edges: Chances
    names: tuple[str, ...]
    kind: ClassVar[str] = "margins"

    @classmethod
    def fit(cls, chances: Chances) -> Margins:
        """Bins that hold these shares of trusted rows."""
        edges = np.unique(np.quantile(_margin(chances), UNDECIDED))
        ends = [0.0, *edges.tolist(), 1.0]
        return cls(
            edges, tuple(f"margin of the model {a:.2g} to {b:.2g}" for a, b in pairwise(ends))
        )

    def codes(self, chances: Chances) -> Items:
        """The bin of each row of P(label) float64[n, labels]: int32[n]."""
        return np.searchsorted(self.edges, _margin(chances), side="right").astype(np.int32)


@dataclass(frozen=True, slots=True)
class Likeliest:
    """A partition by the label that the model expects."""

    names: tuple[str, ...]
    kind: ClassVar[str] = "likeliest"

    @classmethod
    def of(cls, labels: Sequence[str]) -> Likeliest:
        """One item a label, in the order of the model."""
        return cls(tuple(f"likeliest label {label!r}" for label in labels))

    def codes(self, chances: Chances) -> Items:
        """The likeliest label of each row of P(label) float64[n, labels]: int32[n]."""
        likeliest: Items = np.argmax(chances, axis=1).astype(np.int32)
        return likeliest


Predicted = Margins | Likeliest


def _margin(chances: Chances) -> Chances:
    """The likeliest label's probability minus the next one's: float64[n]."""
    two = np.partition(chances, -2, axis=1)[:, -2:]
    margin: Chances = two[:, 1] - two[:, 0]
    return margin
