"""Regression poison: new rows at the corners of the feature space with the opposite target.

Jagielski et al.: Manipulating Machine Learning: Poisoning Attacks and Countermeasures for
Regression Learning (S&P 2018): the strongest poison sits at the bounds of x and y.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.features import numbers
from auditor.redteam.jitter import quantities
from auditor.redteam.planting import Planted, added, known, need_rows, replace, templates, weave
from auditor.redteam.precision import Numbers, finite, fit
from auditor.redteam.senders import some

#: Values lie within this share of the range from its end.
MARGIN: Final = 0.02


def plant(
    table: pa.Table,
    roles: Roles,
    *,
    rows: int,
    seed: int,
    trusted: pa.Table | None = None,
    margin: float = MARGIN,
    contributors: int | None = 2,
) -> Planted:
    """Add rows where a linear model says much and the target is least, and the reverse.

    See `planting.Attack`. Needs a label of real numbers. No value leaves its column's range.
    """
    need_rows(table, "regression")
    label = _target(table, roles)
    columns = quantities(table, roles, trusted)
    if not columns:
        raise Unavailable("regression needs a numeric feature with many values")
    rng = np.random.default_rng([seed, 23])
    slopes = _slopes(table, columns, label)
    source = np.resize(templates(table, rng, rows), max(rows, 0))
    new = added(table, roles, source, rng, some(table, roles, contributors, rng))
    high = rng.random(new.num_rows) < 0.5
    for column, slope in zip(columns, slopes, strict=True):
        ends = _at_end(known(table, trusted, column), high == (slope >= 0), margin, rng)
        new = replace(new, column, fit(ends, table[column]))
    targets = _at_end(known(table, trusted, label), ~high, margin, rng)
    new = replace(new, label, fit(targets, table[label]))
    return weave(
        table,
        new,
        roles,
        rng,
        attack="regression",
        description=f"{new.num_rows} rows at the ends of {len(columns)} features with {label} "
        "at the opposite end",
    )


def _target(table: pa.Table, roles: Roles) -> str:
    label = roles.label
    if label is None:
        raise Unavailable("regression needs a label role")
    if not pa.types.is_floating(table[label].type) or not len(finite(table[label])):
        raise Unavailable("regression needs a label of real numbers")
    return label


def _slopes(table: pa.Table, columns: tuple[str, ...], label: str) -> Numbers:
    """Least squares on standardised columns: float64[columns]; a missing value counts as mean."""
    parts = [numbers(table[name]) for name in (*columns, label)]
    matrix = np.column_stack([_standardised(part) for part in parts])
    return np.asarray(np.linalg.lstsq(matrix[:, :-1], matrix[:, -1], rcond=None)[0], np.float64)


def _standardised(values: Numbers) -> Numbers:
    present = values[~np.isnan(values)]
    scaled: Numbers = (values - present.mean()) / (present.std() or 1.0)
    return np.nan_to_num(scaled)


def _at_end(
    values: pa.ChunkedArray, top: npt.NDArray[np.bool_], margin: float, rng: np.random.Generator
) -> Numbers:
    present = finite(values)
    low, high = float(present.min()), float(present.max())
    inward = rng.uniform(0, margin, len(top)) * (high - low)
    return np.where(top, high - inward, low + inward)
