"""Baseline: what was trusted, as a sum of immutable parts. Pure: built and stored elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditor.batch import Batch, Roles
from auditor.errors import BaselineError
from auditor.features import is_category, is_number, numbers
from auditor.rowhash import KeyIndex, Words

#: Raised with every change of what the stored files mean.
VERSION: Final = 1
#: Bins of a number column (baseline quantiles) and categories of a text column that are counted.
BINS: Final = 32
CATEGORIES: Final = 256

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that were trusted together: one accepted batch or one set of files.

    `histograms` counts rows per frozen bin of a column;
    `labels` counts rows per label.
    """

    name: str
    digest: str
    rows: int
    histograms: Mapping[str, tuple[int, ...]]
    labels: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Everything a detector may know about trusted rows.

    `key_id` names the site key behind the row keys. `sample`: bounded, seeded, stratified by label,
    in time order; detectors refit from it. `keys`: row key (uint64 a, b),
    features-only key (fa, fb), label, contributor; one row a trusted row.
    `edges`: for number columns the inner quantile edges, for text columns the categories.
    `thresholds`: rule id -> what the rule's `calibrate` returned. `clean`: what was measured on
    resampled clean batches at build. `switched_off`: rules that were not calibrated because the
    settings had switched them off.
    """

    digest: str
    created_at: str
    key_id: str
    seed: int
    roles: Roles
    schema: pa.Schema
    parts: tuple[Part, ...]
    sample: pa.Table
    keys: pa.Table
    edges: Mapping[str, tuple[float, ...] | tuple[str, ...]]
    thresholds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    clean: Mapping[str, Any] = field(default_factory=dict)
    switched_off: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Trusted rows, over all parts."""
        return sum(part.rows for part in self.parts)

    @property
    def labels(self) -> Mapping[str, int]:
        """Rows per label, over all parts."""
        total: dict[str, int] = {}
        for part in self.parts:
            for label, count in part.labels.items():
                total[label] = total.get(label, 0) + count
        return total

    def row_keys(self, *, features_only: bool = False) -> Words:
        """Keys of trusted rows, uint64[rows, 2]; `features_only` leaves the label out."""
        names = ("fa", "fb") if features_only else ("a", "b")
        lanes = [self.keys.column(name).combine_chunks().to_numpy() for name in names]
        return np.stack(lanes, axis=1)

    def key_index(self, *, features_only: bool = False) -> KeyIndex:
        """The same keys, ready for look-up."""
        return KeyIndex(self.row_keys(features_only=features_only))

    def trusted_texts(self, column: str) -> npt.NDArray[np.object_]:
        """`label` or `contributor` of trusted rows in the order of `row_keys`: object[rows]."""
        return np.array(self.keys.column(column).to_pylist(), dtype=object)

    def histogram(self, column: str) -> Counts:
        """Rows per bin of a column, over all parts: int64[bins]."""
        counts = [part.histograms[column] for part in self.parts if column in part.histograms]
        if not counts:
            raise BaselineError(f"the baseline has no histogram of column {column!r}")
        total: Counts = np.sum(np.asarray(counts, dtype=np.int64), axis=0)
        return total


def key_id(site_key: bytes) -> str:
    """A name for the site key that does not tell it: 16 hex digits of a keyed BLAKE2b."""
    return hashlib.blake2b(b"auditor site key", key=site_key[:64], digest_size=8).hexdigest()


def frozen_edges(column: pa.ChunkedArray) -> tuple[float, ...] | tuple[str, ...] | None:
    """Bin edges of a column at first sight; None where it is neither number nor category."""
    if is_number(column.type):
        values = numbers(column)
        values = values[~np.isnan(values)]
        if values.size == 0:
            return ()
        return tuple(float(v) for v in np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1))))
    if is_category(column.type):
        counted = pc.value_counts(column.cast(pa.string()).combine_chunks().drop_null()).to_pylist()
        ordered = sorted((-entry["counts"], entry["values"]) for entry in counted)
        return tuple(value for _, value in ordered[:CATEGORIES])
    return None


def bin_counts(column: pa.Array, edges: tuple[float, ...] | tuple[str, ...]) -> Counts:
    """Rows per bin: one count an edge interval (or category), then outside/other, then missing."""
    if is_number(column.type):
        return _number_counts(numbers(column), edges)
    text = column.cast(pa.string())
    found = pc.fill_null(pc.index_in(text, value_set=pa.array(edges, pa.string())), len(edges))
    position = found.to_numpy(zero_copy_only=False).astype(np.int64)
    position[pc.is_null(text).to_numpy(zero_copy_only=False)] = len(edges) + 1
    return np.bincount(position, minlength=len(edges) + 2)


def _number_counts(
    values: npt.NDArray[np.float64], edges: tuple[float, ...] | tuple[str, ...]
) -> Counts:
    bounds = np.asarray(edges, dtype=np.float64)
    inner = max(len(bounds) - 1, 1)
    present = ~np.isnan(values)
    if bounds.size == 0:
        return np.array([0, int(present.sum()), int((~present).sum())], dtype=np.int64)
    position = np.clip(np.searchsorted(bounds, values, side="right") - 1, 0, inner - 1)
    outside = present & ((values < bounds[0]) | (values > bounds[-1]))
    position[outside] = inner
    position[~present] = inner + 1
    return np.bincount(position, minlength=inner + 2)


def count_batch(
    batch: Batch, edges: Mapping[str, tuple[float, ...] | tuple[str, ...]]
) -> dict[str, Counts]:
    """Histograms of a whole batch over frozen edges, one pass, columns it lacks left out."""
    names = [name for name in edges if name in batch.schema.names]
    totals: dict[str, Counts] = {}
    for chunk in batch.chunks(names):
        for name in names:
            counts = bin_counts(chunk.data.column(name), edges[name])
            totals[name] = totals[name] + counts if name in totals else counts
    return totals
