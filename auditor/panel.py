"""The detectors behind the outlier rule, fitted together on the same trusted rows.

Each scores a row the same alone or in a crowd. Two models of what belongs together, and PyOD's
isolation forest over all rows and for each frequent label.

Liu, Ting, Zhou 2008 (isolation forest).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.batch import Roles
from auditor.dependence import ALL, TORN, Dependence
from auditor.errors import Unavailable
from auditor.features import Encoder, Matrix

Scores = npt.NDArray[np.float64]

#: Raised with every change of what the members score: stored quantiles are theirs alone.
VERSION: Final = 2
#: Rows a class needs before it gets a forest of its own, and classes that get one at most.
CLASS_ROWS: Final = 200
CLASS_COUNT: Final = 10
#: What a member's tail counts in the ranking (weighted Bonferroni: Genovese, Roeder, Wasserman
#: 2006). The forests see far rows only, and those the models see as well.
WEIGHTS: Final[Mapping[str, float]] = {"combination": 1.0, "distance": 1.0, "forest": 0.1}


@dataclass(frozen=True)
class Panel:
    """Fitted detectors by name; a name "forest:<label>" scores only rows of that label."""

    encoder: Encoder
    members: Mapping[str, Any]

    def scores(
        self, data: pa.Table | pa.RecordBatch, labels: Sequence[str | None]
    ) -> dict[str, Scores]:
        """One float64[n] for each member, higher = worse; NaN where it does not apply."""
        matrix = self.encoder.transform(data)
        given = np.array(["" if x is None else x for x in labels], dtype=object)
        found = {}
        for name, member in self.members.items():
            scope = name.partition(":")[2]
            mine = given == scope if scope else np.ones(len(matrix), dtype=bool)
            values = np.full(len(matrix), np.nan)
            if mine.any():
                values[mine] = member.decision_function(matrix[mine])
            found[name] = values
        return found


def fit_panel(
    table: pa.Table, labels: Sequence[str | None], roles: Roles, *, trees: int, seed: int
) -> Panel:
    """All members, fitted on trusted rows and their labels.

    Raises:
        Unavailable: no feature column that a member could use.
    """
    encoder = Encoder.fit(table, roles.features)
    if not encoder.columns:
        raise Unavailable("no number or category among the feature columns")
    matrix = encoder.transform(table)
    seed %= 2**32  # scikit-learn takes no larger one
    members: dict[str, Any] = {}
    if len(encoder.columns) > 1:
        members["combination"] = Dependence.fit(matrix, encoder, seed, made=TORN, linear=False)
    members["distance"] = Dependence.fit(matrix, encoder, seed, made=ALL, linear=True)
    members["forest"] = _forest(matrix, trees, seed)
    given = np.array(["" if x is None else x for x in labels], dtype=object)
    for label in _frequent(labels):
        members[f"forest:{label}"] = _forest(matrix[given == label], trees, seed)
    return Panel(encoder, members)


def _forest(matrix: Matrix, trees: int, seed: int) -> Any:
    from pyod.models.iforest import IForest

    return IForest(n_estimators=trees, random_state=seed).fit(matrix)


def _frequent(labels: Sequence[str | None]) -> list[str]:
    counts = Counter(x for x in labels if x)
    order = sorted(counts, key=lambda name: (-counts[name], name))
    return [name for name in order[:CLASS_COUNT] if counts[name] >= CLASS_ROWS]


def strongest(tails: Mapping[str, Scores]) -> Scores:
    """The smallest weighted tail over the members, corrected for choosing it: float64[n].

    Of the forests of single labels only one applies to a row; NaN elsewhere.
    """
    weight = {name: WEIGHTS[name.partition(":")[0]] for name in tails}
    single = any(":" in name for name in tails)
    total = sum(w for name, w in weight.items() if ":" not in name)
    total += WEIGHTS["forest"] if single else 0.0
    corrected = [np.nan_to_num(t, nan=1.0) * (total / weight[name]) for name, t in tails.items()]
    smallest: Scores = np.minimum(np.min(np.stack(corrected), axis=0), 1.0)
    return smallest
