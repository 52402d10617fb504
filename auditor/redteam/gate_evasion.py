"""Gate evasion: a trigger with little to see in any one contributor, label or cell.

The trigger is a small box inside the usual values, it is spread over all contributors, each class
is sent to the next one, and cover rows carry it with their true label. Cover rows: Tang et al.:
Demon in the Variant (USENIX Security 2021); Qi et al.: Revisiting the Assumption of Latent
Separability for Backdoor Defenses (ICLR 2023).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from auditor.batch import Roles
from auditor.redteam.backdoor_jittered import around, box, told_box
from auditor.redteam.boundary_flip import codes_of
from auditor.redteam.changing import changed
from auditor.redteam.planting import Planted, classes, need_rows
from auditor.redteam.senders import choose

#: Cells in the trigger; half the width of its box in standard deviations; share of cover rows.
CELLS: Final = 2
JITTER: Final = 0.1
COVER: Final = 0.5


def plant(
    table: pa.Table,
    roles: Roles,
    *,
    rows: int,
    seed: int,
    trusted: pa.Table | None = None,
    cells: int = CELLS,
    jitter: float = JITTER,
    cover: float = COVER,
    contributors: int | None = None,
) -> Planted:
    """Put a wide trigger on `rows` rows; the share `cover` of them keeps its label.

    See `planting.Attack`. The mask marks the cover rows too: the attacker sent them.
    """
    need_rows(table, "gate-evasion")
    rng = np.random.default_rng([seed, 26])
    every = classes(table, roles, trusted, "gate-evasion")
    label = str(roles.label)
    codes = codes_of(table, label, every)
    centre, reach = box(table, roles, trusted, rng, cells, jitter)
    chosen = choose(table, roles, np.flatnonzero(codes >= 0), rows, contributors, rng)
    covered = rng.permutation(len(chosen.rows)) < round(cover * len(chosen.rows))
    after = np.where(covered, codes[chosen.rows], (codes[chosen.rows] + 1) % len(every))
    return changed(
        table,
        chosen.rows,
        {
            **around(table, centre, reach, rng)(len(chosen.rows)),
            label: [every[int(code)] for code in after],
        },
        attack="gate-evasion",
        description=f"{int((~covered).sum())} rows{chosen.by} with {told_box(centre, reach)} "
        f"carry the next label, {int(covered.sum())} cover rows their own",
    )
