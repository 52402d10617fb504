"""Out of range: a group of rows whose numbers lie outside what their columns hold.

A unit that was mixed up, a sensor that fails, or points far away that pull a model: Steinhardt,
Koh, Liang: Certified Defenses for Data Poisoning Attacks (NeurIPS 2017).
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
    known,
    need_rows,
    numeric_features,
    replace,
    templates,
    weave,
)
from auditor.redteam.precision import fit

#: How many columns are hit, and how many times the column's largest size the values have.
COLUMNS: Final = 3
FACTORS: Final = (3.0, 10.0)


def plant(
    table: pa.Table, roles: Roles, *, rows: int, seed: int, trusted: pa.Table | None = None
) -> Planted:
    """Add rows with up to `COLUMNS` numeric features 3 to 10 times too large.

    See `planting.Attack`. "Too large" is against the largest absolute value in the batch and in
    `trusted`, so the values are outside the column's range and still not absurd.
    """
    need_rows(table, "out-of-range")
    columns = _scalable(table, roles, trusted)
    if not columns:
        raise Unavailable("out-of-range needs a numeric feature that is not zero throughout")
    rng = np.random.default_rng([seed, 5])
    hit = [columns[i] for i in np.sort(rng.permutation(len(columns))[:COLUMNS])]
    new = added(table, roles, np.resize(templates(table, rng, rows), max(rows, 0)), rng)
    for column in hit:
        top = _largest(table, trusted, column)
        values = np.ceil(top * rng.uniform(*FACTORS, new.num_rows) * 1e6) / 1e6
        new = replace(new, column, fit(values, table[column]))
    return weave(
        table,
        new,
        roles,
        rng,
        attack="out-of-range",
        description=f"{new.num_rows} rows with {', '.join(hit)} 3 to 10 times too large",
    )


def _scalable(table: pa.Table, roles: Roles, trusted: pa.Table | None) -> list[str]:
    """Numeric features that can hold three times their largest value and are not all zero."""
    names = numeric_features(table, roles)
    return [n for n in names if 0 < _largest(table, trusted, n) < _room(table[n].type)]


def _room(kind: pa.DataType) -> float:
    if pa.types.is_integer(kind):
        return float(np.iinfo(kind.to_pandas_dtype()).max) / FACTORS[1]
    return float(np.finfo(kind.to_pandas_dtype()).max) / FACTORS[1]


def _largest(table: pa.Table, trusted: pa.Table | None, column: str) -> float:
    values = known(table, trusted, column).drop_null().to_numpy().astype(np.float64)
    values = np.abs(values[np.isfinite(values)])
    return float(values.max()) if len(values) else 0.0
