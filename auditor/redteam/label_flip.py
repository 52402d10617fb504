"""Label flip by two contributors: most of their rows get another class, drawn at random.

Biggio, Nelson, Laskov: Support Vector Machines Under Adversarial Label Noise (ACML 2011).
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.batch import Roles
from auditor.redteam.planting import (
    Planted,
    classes,
    count_by,
    need_rows,
    other_classes,
    plain,
    replace,
    templates,
)

#: At most this share of a flipping contributor's rows gets another label.
SHARE: Final = 0.8


def plant(
    table: pa.Table, roles: Roles, *, rows: int, seed: int, trusted: pa.Table | None = None
) -> Planted:
    """Change the label of up to `rows` rows of two contributors (of any rows without the role).

    See `planting.Attack`. The two are a pair whose rows come close to what `rows` needs, so
    that "most of their rows" holds.
    """
    need_rows(table, "label-flip")
    rng = np.random.default_rng([seed, 1])
    every = classes(table, roles, trusted, "label-flip")
    who, allowed = _by_two(table, roles, rows, rng)
    wanted = min(rows, int(SHARE * len(allowed))) if who else min(rows, len(allowed))
    flipped = np.sort(templates(table, rng, wanted, pa.array(allowed)))
    mask = np.zeros(table.num_rows, dtype=bool)
    mask[flipped] = True
    label = str(roles.label)
    values = plain(table[label]).to_pylist()
    fresh = other_classes([values[i] for i in flipped], every, rng)
    for row, value in zip(flipped, fresh, strict=True):
        values[row] = value
    by = f" of contributors {who[0]!r} and {who[1]!r}" if len(who) == 2 else ""
    return Planted(
        table=replace(table, label, values),
        mask=pa.array(mask),
        origin=pa.array(np.arange(table.num_rows), pa.int64()),
        attack="label-flip",
        description=f"{len(flipped)} rows{by} carry another label",
    )


def _by_two(
    table: pa.Table, roles: Roles, rows: int, rng: np.random.Generator
) -> tuple[tuple[Any, ...], npt.NDArray[np.int64]]:
    """Two contributors with about `rows / SHARE` rows together, and the positions of their rows."""
    everyone = np.arange(table.num_rows)
    counts = count_by(table[roles.contributor]) if roles.contributor else {}
    if len(counts) < 2:
        return (), everyone
    names = list(counts)[:200]  # pairs grow with the square; the most frequent 200 are plenty
    pairs = sorted(
        combinations(names, 2), key=lambda p: abs(counts[p[0]] + counts[p[1]] - rows / SHARE)
    )
    pair = pairs[int(rng.integers(min(10, len(pairs))))]
    senders = plain(table[roles.contributor]).to_pylist()
    return pair, np.array([i for i, sender in enumerate(senders) if sender in pair], np.int64)
