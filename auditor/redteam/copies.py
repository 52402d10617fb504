"""Exact copies (more weight for a few rows) and conflicting copies (the same rows, other label).

Conflicting duplicates of a target's record are also how privacy poisoning starts: Tramèr et al.,
Truth Serum: Poisoning Machine Learning Models to Reveal Their Secrets (CCS 2022).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.batch import Roles
from auditor.redteam.planting import (
    Planted,
    added,
    classes,
    need_rows,
    other_classes,
    plain,
    replace,
    templates,
    weave,
)

#: An exact copy is repeated 1 to this many times.
MOST_REPEATS: Final = 4


def plant_exact(  # every attack has the same signature
    table: pa.Table,
    roles: Roles,
    *,
    rows: int,
    seed: int,
    trusted: pa.Table | None = None,  # noqa: ARG001
) -> Planted:
    """Repeat rows 1 to `MOST_REPEATS` times, under new ids and later times.

    See `planting.Attack`; `trusted` is not needed. The mask marks the copies, not the originals.
    """
    need_rows(table, "exact-copy")
    rng = np.random.default_rng([seed, 2])
    source = _repeated(templates(table, rng, rows), rows, rng)
    return weave(
        table,
        added(table, roles, source, rng),
        roles,
        rng,
        attack="exact-copy",
        description=f"{len(source)} copies of {len(set(source.tolist()))} rows under new ids",
    )


def plant_conflicting(
    table: pa.Table, roles: Roles, *, rows: int, seed: int, trusted: pa.Table | None = None
) -> Planted:
    """Repeat `rows` different rows once, each with another label. See `planting.Attack`."""
    need_rows(table, "conflicting-copy")
    rng = np.random.default_rng([seed, 3])
    every = classes(table, roles, trusted, "conflicting-copy")
    new = added(table, roles, templates(table, rng, rows), rng)
    label = str(roles.label)
    new = replace(new, label, other_classes(plain(new[label]).to_pylist(), every, rng))
    return weave(
        table,
        new,
        roles,
        rng,
        attack="conflicting-copy",
        description=f"{new.num_rows} copies of rows with another label",
    )


def _repeated(
    rows: npt.NDArray[np.int64], wanted: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Each row 1 to `MOST_REPEATS` times, cut after `wanted`; all of them again if too few."""
    if wanted <= 0:
        return rows[:0]
    repeated = np.repeat(rows, rng.integers(1, MOST_REPEATS + 1, len(rows)))
    return np.resize(repeated, wanted)
