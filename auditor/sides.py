"""The batch and the trusted sample side by side: labelled rows only, encoded alike.

What a row looks like are its features, or its embedding where one is supplied: activations of the
model that is to be trained say more than features do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.baseline import Baseline
from auditor.batch import Batch, as_text, read_columns
from auditor.errors import Unavailable
from auditor.features import Encoder
from auditor.labels.model import REACH, Classes

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

#: A real-valued label with more distinct values than this is a target to regress on.
CONTINUOUS: Final = 50
#: Rows of the batch and of the trusted sample that are used at most, a seeded choice.
BATCH_ROWS: Final = 20_000
TRUSTED_ROWS: Final = 2_000
#: Fewer labelled rows on a side than this tell nothing.
ENOUGH: Final = 50


@dataclass(frozen=True)
class Sides:
    """Both sides, rows with a known class only. The last column of a matrix is constant.

    `rows` int64[n]: positions in the batch, ascending; `codes` int64[n], `matrix` float64[n, d];
    `trusted_rows`, `trusted_codes` int64[m], `trusted` float64[m, d]. `embedded`: of the embedding.
    """

    classes: Classes
    rows: Codes
    codes: Codes
    matrix: Floats
    trusted_rows: Codes
    trusted_codes: Codes
    trusted: Floats
    embedded: bool = False


def sides(baseline: Baseline, batch: Batch, seed: int, *, embedding: bool = False) -> Sides:
    """The batch and the trusted sample; `embedding`: of that role where trusted rows have it.

    Raises:
        Unavailable: no label, nothing to encode, no classes, or too few rows on one side.
    """
    label, named = batch.roles.label, baseline.roles.label
    column = baseline.roles.first("embedding") if embedding else None
    encoder = Encoder.fit(baseline.sample, () if column else baseline.roles.features)
    used = (column,) if column else encoder.names
    if label is None or named is None or not used:
        raise Unavailable("needs a label role and features")
    missing = [c for c in (*used, label) if c not in batch.schema.names]
    if missing:
        raise Unavailable(f"columns of the baseline are missing: {', '.join(missing[:5])}")
    labels = as_text(baseline.sample.column(named)).to_pylist()
    classes = _classes(baseline.schema.field(named), labels)
    table = read_columns(batch, [*dict.fromkeys((*used, label))])
    codes, known = classes.codes(as_text(table.column(label)).to_pylist()), classes.codes(labels)
    rng = np.random.default_rng(seed)
    rows, base = _some(codes, BATCH_ROWS, rng), _some(known, TRUSTED_ROWS, rng)
    if min(len(rows), len(base)) < ENOUGH:
        raise Unavailable(f"needs at least {ENOUGH} labelled rows in batch and baseline")
    new, old = table.take(pa.array(rows)), baseline.sample.take(pa.array(base))
    if column:
        trusted, matrix = _scaled(vectors(old.column(column)), vectors(new.column(column)))
    else:
        trusted, matrix = _cut(encoder.transform(old)), _cut(encoder.transform(new))
    return Sides(classes, rows, codes[rows], matrix, base, known[base], trusted, bool(column))


def vectors(column: pa.ChunkedArray) -> Floats:
    """A column of lists of numbers as float64[n, d].

    Raises:
        Unavailable: another type, a missing list or value, or lists of different lengths.
    """
    kind, name = column.type, "the embedding column"
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        raise Unavailable(f"{name} holds {kind}, not lists of numbers")
    if not pa.types.is_floating(kind.value_type) and not pa.types.is_integer(kind.value_type):
        raise Unavailable(f"{name} holds lists of {kind.value_type}, not of numbers")
    lists = column.combine_chunks()
    lengths = np.unique(lists.value_lengths().to_numpy(zero_copy_only=False))
    if lists.null_count or len(lengths) != 1 or not lengths[0]:
        raise Unavailable(f"{name} holds lists of different lengths, or misses some")
    flat = lists.flatten().cast(pa.float64()).to_numpy(zero_copy_only=False)
    if not np.isfinite(flat).all():
        raise Unavailable(f"{name} holds values that are missing or not finite")
    return np.asarray(flat, dtype=np.float64).reshape(len(lists), int(lengths[0]))


def _scaled(trusted: Floats, batch: Floats) -> tuple[Floats, Floats]:
    """Both in units of the trusted rows' mean spread: directions keep their relative size."""
    if trusted.shape[1] != batch.shape[1]:
        raise Unavailable(f"embeddings of {batch.shape[1]} numbers, trusted: {trusted.shape[1]}")
    centre = trusted.mean(axis=0)
    scale = float(np.sqrt(trusted.var(axis=0).mean())) or 1.0
    return _cut((trusted - centre) / scale), _cut((batch - centre) / scale)


def _classes(field: pa.Field, labels: list[str | None]) -> Classes:
    if pa.types.is_floating(field.type) and len(set(labels)) > CONTINUOUS:
        raise Unavailable(f"label {field.name!r} is a real number; this rule needs classes")
    classes = Classes.of(labels)
    if len(classes.names) < 2:
        raise Unavailable(f"label {field.name!r} has fewer than two classes with 10 rows")
    return classes


def _some(codes: Codes, most: int, rng: np.random.Generator) -> Codes:
    known = np.flatnonzero(codes >= 0)
    return known if len(known) <= most else np.sort(rng.choice(known, most, replace=False))


def _cut(matrix: npt.NDArray[np.floating]) -> Floats:
    """Within ±REACH, with a constant column."""
    return np.column_stack([np.clip(matrix, -REACH, REACH), np.ones(len(matrix))]).astype(float)
