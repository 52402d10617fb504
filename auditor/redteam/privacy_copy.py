"""Privacy poisoning: one record is repeated with wrong labels, so that the model remembers it.

Tramèr et al.: Truth Serum: Poisoning Machine Learning Models to Reveal Their Secrets (CCS 2022).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from auditor.batch import Roles
from auditor.errors import Unavailable
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
from auditor.redteam.senders import some

#: Copies of each target record; the paper uses up to 16.
COPIES: Final = 16


def plant(
    table: pa.Table,
    roles: Roles,
    *,
    rows: int,
    seed: int,
    trusted: pa.Table | None = None,
    copies: int = COPIES,
    contributors: int | None = 2,
) -> Planted:
    """Repeat few labelled rows `copies` times, all copies of one with the same wrong label.

    See `planting.Attack`; attack "conflicting-copy".
    """
    need_rows(table, "privacy copy")
    rng = np.random.default_rng([seed, 25])
    every = classes(table, roles, trusted, "privacy copy")
    label = str(roles.label)
    labelled = np.flatnonzero(plain(table[label]).is_valid().to_numpy())
    if not len(labelled):
        raise Unavailable("privacy copy needs labelled rows")
    targets = templates(table, rng, -(-rows // copies), pa.array(labelled))
    wrong = other_classes(plain(table[label]).take(pa.array(targets)).to_pylist(), every, rng)
    source = np.resize(targets, max(rows, 0))
    new = added(table, roles, source, rng, some(table, roles, contributors, rng))
    new = replace(new, label, [wrong[i % len(wrong)] for i in range(new.num_rows)])
    return weave(
        table,
        new,
        roles,
        rng,
        attack="conflicting-copy",
        description=f"{new.num_rows} mislabelled copies of {len(targets)} records",
    )
