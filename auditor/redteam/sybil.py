"""Sybil injection: new contributors send variations of a few rows with the wrong label.

Douceur: The Sybil Attack (2002); coordinated poisoning by many names: Fung, Yoon, Beschastnikh:
The Limitations of Federated Learning in Sybil Settings (RAID 2020).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.redteam.jitter import near, quantities
from auditor.redteam.planting import (
    Planted,
    added,
    classes,
    need_rows,
    numeric_features,
    plain,
    replace,
    templates,
    weave,
)
from auditor.redteam.senders import new_names

#: New names; rows made from one template; jitter in standard deviations of a column.
NAMES: Final = 5
PER_TEMPLATE: Final = 8
JITTER: Final = 0.05


def plant(
    table: pa.Table,
    roles: Roles,
    *,
    rows: int,
    seed: int,
    trusted: pa.Table | None = None,
    names: int = NAMES,
    per_template: int = PER_TEMPLATE,
    jitter: float = JITTER,
) -> Planted:
    """Add rows of `names` new contributors, all for one wrong label. See `planting.Attack`.

    Rows of other classes are the templates; their numbers are jittered, their label is the
    attackers' target. The names go on as those of the batch do.
    """
    need_rows(table, "injection")
    rng = np.random.default_rng([seed, 13])
    every = classes(table, roles, trusted, "injection")
    label = str(roles.label)
    fresh = new_names(table, roles, max(names, 1), "injection")
    target = every[int(rng.integers(len(every)))]
    other = pc.not_equal(plain(table[label]), pa.scalar(target)).fill_null(False).to_numpy()
    if not other.any():
        raise Unavailable("injection needs rows of another class than its target")
    few = templates(table, rng, -(-rows // per_template), pa.array(np.flatnonzero(other)))
    source = np.resize(few, max(rows, 0))
    new = added(table, roles, source, rng, fresh)
    columns = quantities(table, roles, trusted) or numeric_features(table, roles)
    if columns:
        new = near(table, new, columns, rng, jitter)
    new = replace(new, label, [target] * new.num_rows)
    return weave(
        table,
        new,
        roles,
        rng,
        attack="injection",
        description=f"{new.num_rows} variations of {len(few)} rows with the label {target!r} "
        f"from the new contributors {', '.join(map(repr, fresh))}",
    )
