"""Near copies: a few rows repeated with small changes, so that no two are equal.

Concentrated poison inside the normal range: Koh, Steinhardt, Liang: Stronger Data Poisoning
Attacks Break Data Sanitization Defenses (Machine Learning 111, 2022).
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import pyarrow as pa

from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.redteam.jitter import near, quantities
from auditor.redteam.planting import (
    Planted,
    added,
    classes,
    need_rows,
    numeric_features,
    other_classes,
    plain,
    replace,
    templates,
    weave,
)
from auditor.redteam.senders import some

#: Copies made of one row, and the jitter in units of the column's standard deviation.
COPIES: Final = 12
JITTER: Final = 0.02


def plant(
    table: pa.Table,
    roles: Roles,
    *,
    rows: int,
    seed: int,
    trusted: pa.Table | None = None,
    label: Literal["own", "other"] = "own",
    copies: int = COPIES,
    jitter: float = JITTER,
    contributors: int | None = 3,
) -> Planted:
    """Repeat few rows about `copies` times with jitter. See `planting.Attack`.

    Values stay between the least and the largest of their column; every copy differs from its
    row in at least one cell where the column has room for it. `label`: the row's own, or the
    same other one for all copies of a row. `jitter` is in standard deviations of a column.
    """
    need_rows(table, "near-copy")
    columns = quantities(table, roles, trusted) or numeric_features(table, roles)
    if not columns:
        raise Unavailable("near-copy needs a numeric feature")
    rng = np.random.default_rng([seed, 4])
    chosen = templates(table, rng, -(-rows // copies))
    source = np.resize(chosen, max(rows, 0))
    senders = some(table, roles, contributors, rng)
    new = near(table, added(table, roles, source, rng, senders), columns, rng, jitter)
    if label == "other":
        every = classes(table, roles, trusted, "near-copy")
        name = str(roles.label)
        fresh = other_classes(plain(table[name]).take(pa.array(chosen)).to_pylist(), every, rng)
        new = replace(new, name, [fresh[i % len(chosen)] for i in range(new.num_rows)])
    return weave(
        table,
        new,
        roles,
        rng,
        attack="near-copy",
        description=f"{new.num_rows} slightly changed copies of {len(chosen)} rows"
        + (" with another label" if label == "other" else ""),
    )
