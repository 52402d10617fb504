"""Framing: rows sent by one contributor so that another one looks guilty."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.redteam.jitter import near, quantities
from auditor.redteam.planting import (
    Planted,
    added,
    classes,
    count_by,
    need_rows,
    numeric_features,
    other_classes,
    plain,
    replace,
    templates,
    weave,
)

Kind = Literal["copies", "minority", "name"]


def plant(
    table: pa.Table,
    roles: Roles,
    *,
    rows: int,
    seed: int,
    trusted: pa.Table | None = None,
    kind: Kind = "copies",
) -> Planted:
    """Add rows that point at an honest contributor. See `planting.Attack`.

    `copies`: the victim's rows with another label, sent by somebody else. `minority`: near-copies
    of the rows of the contributor with the fewest, sent by somebody else. `name`: mislabelled
    rows of others under the victim's name. Only the new rows are poison.
    """
    need_rows(table, "framing")
    rng = np.random.default_rng([seed, 27])
    victim, attacker = _pair(table, roles, kind, rng)
    senders = plain(table[str(roles.contributor)]).to_pylist()
    theirs = np.array([sender == victim for sender in senders], dtype=bool)
    source = _source(table, theirs if kind != "name" else ~theirs, rows, rng)
    new = added(table, roles, source, rng, [victim if kind == "name" else attacker])
    if kind == "minority":
        new = _moved(table, new, roles, trusted, rng)
    else:
        every = classes(table, roles, trusted, "framing")
        label = str(roles.label)
        new = replace(new, label, other_classes(plain(new[label]).to_pylist(), every, rng))
    return weave(
        table, new, roles, rng, attack="framing", description=_told(new, kind, victim, attacker)
    )


def _pair(table: pa.Table, roles: Roles, kind: Kind, rng: np.random.Generator) -> tuple[Any, Any]:
    """Who is framed and who does it."""
    counts = count_by(table[roles.contributor]) if roles.contributor else {}
    if len(counts) < 2:
        raise Unavailable("framing needs two contributors")
    names = list(counts)
    victim = names[-1] if kind == "minority" else names[int(rng.integers(len(names)))]
    others = [name for name in names if name != victim]
    return victim, others[int(rng.integers(len(others)))]


def _source(
    table: pa.Table, allowed: npt.NDArray[np.bool_], rows: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    some = templates(table, rng, rows, pa.array(np.flatnonzero(allowed)))
    return np.resize(some, max(rows, 0)) if len(some) else some


def _moved(
    table: pa.Table,
    new: pa.Table,
    roles: Roles,
    trusted: pa.Table | None,
    rng: np.random.Generator,
) -> pa.Table:
    columns = quantities(table, roles, trusted) or numeric_features(table, roles)
    if not columns:
        raise Unavailable("framing a minority needs a numeric feature")
    return near(table, new, columns, rng, 0.02)


def _told(new: pa.Table, kind: Kind, victim: Any, attacker: Any) -> str:
    if kind == "name":
        return f"{new.num_rows} mislabelled rows under the name {victim!r}"
    what = "near-copies" if kind == "minority" else "mislabelled copies"
    return f"{new.num_rows} {what} of the rows of {victim!r}, sent by {attacker!r}"
