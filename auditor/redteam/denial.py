"""Denial: so much junk from one contributor that a gate with a share limit refuses everything."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.redteam.planting import Planted, added, known, need_rows, plain, replace, weave
from auditor.redteam.senders import some
from auditor.redteam.trigger import varying


def plant(
    table: pa.Table,
    roles: Roles,
    *,
    rows: int,
    seed: int,
    trusted: pa.Table | None = None,
    contributors: int = 1,
) -> Planted:
    """Add `rows` rows of junk. See `planting.Attack`; choose `rows` above the share that rejects.

    Every cell is drawn from its column by itself, the label too, and half of the rows come twice.
    """
    need_rows(table, "denial")
    rng = np.random.default_rng([seed, 28])
    columns = sorted(varying(table, roles, trusted))
    if not columns:
        raise Unavailable("denial needs a feature that varies")
    if roles.label is not None:
        columns.append(roles.label)
    source = np.resize(np.arange(table.num_rows), max(rows, 0))
    new = added(table, roles, source, rng, some(table, roles, contributors, rng))
    different = -(-2 * new.num_rows // 3)  # the first half of these comes again at the end
    for column in columns:
        values = plain(known(table, trusted, column))
        drawn = rng.integers(len(values), size=different)
        new = replace(new, column, values.take(pa.array(np.resize(drawn, new.num_rows))))
    return weave(
        table,
        new,
        roles,
        rng,
        attack="denial",
        description=f"{new.num_rows} rows of junk, {different} of them different",
    )
