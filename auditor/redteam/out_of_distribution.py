"""Out of distribution: every value is usual in its column, the rows are nobody's.

Each feature is shuffled by itself among the poisoned rows: every column keeps exactly the values
it had, what belongs together is torn apart.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa

from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.redteam.changing import changed
from auditor.redteam.planting import Planted, need_rows, plain
from auditor.redteam.senders import choose
from auditor.redteam.trigger import varying

#: Fewer rows than this are not shuffled among themselves but drawn from the whole batch.
FEW: Final = 8


def plant(
    table: pa.Table,
    roles: Roles,
    *,
    rows: int,
    seed: int,
    trusted: pa.Table | None = None,
    contributors: int | None = 2,
) -> Planted:
    """Shuffle each feature among `rows` rows; the labels stay. See `planting.Attack`."""
    need_rows(table, "out-of-distribution")
    rng = np.random.default_rng([seed, 18])
    columns = sorted(varying(table, roles, trusted))
    if len(columns) < 2:
        raise Unavailable("out-of-distribution needs two features that vary")
    chosen = choose(table, roles, np.arange(table.num_rows), rows, contributors, rng)
    pool = chosen.rows if len(chosen.rows) >= FEW else np.arange(table.num_rows)
    cells: dict[str, list[Any]] = {}
    for name in columns:
        drawn = rng.permutation(pool)[: len(chosen.rows)]
        cells[name] = plain(table[name]).take(pa.array(drawn)).to_pylist()
    return changed(
        table,
        chosen.rows,
        cells,
        attack="out-of-distribution",
        description=f"{len(chosen.rows)} rows{chosen.by} whose values do not belong together",
    )
