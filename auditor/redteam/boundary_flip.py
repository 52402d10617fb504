"""Boundary flip: the rows nearest to the decision boundary get the runner-up's label.

A greedy stand-in for optimised flips: Paudice, Muñoz-González, Lupu: Label Sanitization against
Label Flipping Poisoning Attacks (2018); Xiao et al.: Support Vector Machines under Adversarial
Label Contamination (2015). The model is logistic, on the trusted rows where there are any.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.features import Encoder
from auditor.labels import model as label_model
from auditor.redteam.changing import changed
from auditor.redteam.planting import Planted, classes, need_rows, plain
from auditor.redteam.senders import pool_of

Scores = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

#: The share of the rows that the attacker knows and fits on, and at most how many.
KNOWN: Final = 0.8
MOST: Final = 5_000


def plant(
    table: pa.Table,
    roles: Roles,
    *,
    rows: int,
    seed: int,
    trusted: pa.Table | None = None,
    contributors: int | None = None,
) -> Planted:
    """Flip the rows with the smallest margin to the next best class. See `planting.Attack`.

    The margin is P(own class) minus the best other one. Rows that the model has right come
    first: flipping the others would clean the data. By default the rows are anybody's.
    """
    need_rows(table, "boundary-flip")
    rng = np.random.default_rng([seed, 12])
    every = classes(table, roles, trusted, "boundary-flip")
    label = str(roles.label)
    scores, codes = scored(table, roles, trusted, every, rng, "boundary-flip")
    labelled = np.flatnonzero(codes >= 0)
    pool, _ = pool_of(table, roles, labelled, rows, contributors, rng)
    own = scores[pool, codes[pool]]
    others = scores[pool].copy()
    others[np.arange(len(pool)), codes[pool]] = -1.0
    margin = own - others.max(axis=1)
    nearest = np.lexsort((np.abs(margin), margin < 0))[: max(rows, 0)]
    best = dict(zip(pool[nearest].tolist(), others.argmax(axis=1)[nearest], strict=True))
    flipped = np.sort(pool[nearest])
    return changed(
        table,
        flipped,
        {label: [every[int(best[row])] for row in flipped.tolist()]},
        attack="boundary-flip",
        description=f"{len(flipped)} rows nearest to the decision boundary carry another label",
    )


def scored(
    table: pa.Table,
    roles: Roles,
    trusted: pa.Table | None,
    every: list[Any],
    rng: np.random.Generator,
    attack: str,
) -> tuple[Scores, Codes]:
    """P(class | features) of each row, float64[n, classes], and its label's code (-1: none).

    The model is fitted on a random part of the trusted rows, or of the batch without them.
    Raises `Unavailable` where there are no features or the rows to fit on have one class.
    """
    if not roles.features:
        raise Unavailable(f"{attack} needs features")
    label = str(roles.label)
    needed = {label, *roles.features}
    sources = (
        [table] if trusted is None or not needed <= set(trusted.column_names) else [trusted, table]
    )
    for source in sources:
        part = source.take(pa.array(_part(source.num_rows, rng)))
        codes = codes_of(part, label, every)
        if len(np.unique(codes[codes >= 0])) > 1:
            encoder = Encoder.fit(part, roles.features)
            matrix = encoder.transform(part)
            model = label_model.fit(matrix, codes, len(every), model="logistic", seed=0)
            scores = model.probabilities(encoder.transform(table))
            return scores, codes_of(table, label, every)
    raise Unavailable(f"{attack} needs rows of two classes to fit a model on")


def _part(rows: int, rng: np.random.Generator) -> Codes:
    wanted = min(MOST, int(np.ceil(KNOWN * rows)))
    return np.sort(rng.permutation(rows)[:wanted]).astype(np.int64)


def codes_of(table: pa.Table, label: str, every: list[Any]) -> Codes:
    """The position of each row's label in `every`, -1 where it is missing: int64[n]."""
    place = {value: i for i, value in enumerate(every)}
    return np.array([place.get(v, -1) for v in plain(table[label]).to_pylist()], dtype=np.int64)
