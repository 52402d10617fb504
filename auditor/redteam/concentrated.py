"""Concentrated poison: a few strong points, repeated with jitter, inside every bound.

Koh, Steinhardt, Liang: Stronger Data Poisoning Attacks Break Data Sanitization Defenses (Machine
Learning 111, 2022). A greedy stand-in for their optimisation: of the rows that lie within the
target class's own distance from its centre, those that a logistic model finds least like it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.features import Encoder
from auditor.redteam.boundary_flip import scored
from auditor.redteam.jitter import near, quantities
from auditor.redteam.planting import (
    Planted,
    added,
    classes,
    need_rows,
    numeric_features,
    replace,
    weave,
)
from auditor.redteam.senders import Positions, some

#: Different points; jitter in standard deviations; the quantile of the class's own distances.
POINTS: Final = 3
JITTER: Final = 0.02
INSIDE: Final = 0.9
#: Encoded numbers are cut here, as for the label model.
_REACH: Final = 10.0


def plant(
    table: pa.Table,
    roles: Roles,
    *,
    rows: int,
    seed: int,
    trusted: pa.Table | None = None,
    points: int = POINTS,
    jitter: float = JITTER,
    contributors: int | None = 2,
) -> Planted:
    """Repeat a few strong rows of other classes under the target label. See `planting.Attack`."""
    need_rows(table, "concentrated")
    rng = np.random.default_rng([seed, 22])
    every = classes(table, roles, trusted, "concentrated")
    columns = quantities(table, roles, trusted) or numeric_features(table, roles)
    if not columns:
        raise Unavailable("concentrated needs a numeric feature")
    scores, codes = scored(table, roles, trusted, every, rng, "concentrated")
    target = int(rng.permutation(np.unique(codes[codes >= 0]))[0])
    strong = _strong(table, roles, scores[:, target], codes, target)[: max(points, 1)]
    if not len(strong):
        raise Unavailable("concentrated needs rows of another class than its target")
    source = np.resize(strong, max(rows, 0))
    new = added(table, roles, source, rng, some(table, roles, contributors, rng))
    new = near(table, new, columns, rng, jitter)
    new = replace(new, str(roles.label), [every[target]] * new.num_rows)
    return weave(
        table,
        new,
        roles,
        rng,
        attack="concentrated",
        description=f"{new.num_rows} slightly changed copies of {len(strong)} strong rows with "
        f"the label {every[target]!r}",
    )


def _strong(
    table: pa.Table, roles: Roles, score: np.ndarray, codes: np.ndarray, target: int
) -> Positions:
    """Rows of other classes, inside the target's sphere first, least like the target first."""
    encoded = Encoder.fit(table, roles.features).transform(table)
    matrix = np.clip(encoded, -_REACH, _REACH)
    away = np.linalg.norm(matrix - matrix[codes == target].mean(axis=0), axis=1)
    outside = away > np.quantile(away[codes == target], INSIDE)
    others = np.flatnonzero((codes >= 0) & (codes != target))
    order = np.lexsort((score[others], outside[others]))
    return others[order].astype(np.int64)
