"""Baseline: what was trusted, as a sum of immutable parts. Pure: built and stored elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditor.baseline_content import Content
from auditor.batch import Batch, Roles
from auditor.errors import BaselineError
from auditor.features import is_category, is_number, numbers
from auditor.rowhash import KeyIndex, Words

#: Raised with every change of what the stored files mean.
VERSION: Final = 3
#: Bins of a number column (baseline quantiles) and categories of a text column that are counted.
BINS: Final = 32
CATEGORIES: Final = 256

#: `fit`: rules learn from it. `control`: trusted, but false alarms are measured on it.
FIT: Final = "fit"
CONTROL: Final = "control"

Counts = npt.NDArray[np.int64]
Edges = Mapping[str, tuple[float, ...] | tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one source that were trusted together: of one accepted batch or one set of files.

    `digest` is that of the batch they were read from. `histograms` counts rows per frozen bin of a
    column, `labels` rows per label. `source` is None where no column says one, or for the rest of
    a batch of very many. Times are UTC texts: `added_at` when the rows were trusted, `accepted_at`
    the verdict of `run`, which published the files of digest `published`. `removed`: rows that
    were taken out since.
    """

    name: str
    digest: str
    rows: int
    histograms: Mapping[str, tuple[int, ...]]
    labels: Mapping[str, int]
    source: str | None = None
    role: str = FIT
    added_at: str = ""
    run: str | None = None
    accepted_at: str | None = None
    published: str | None = None
    reviewed_by: str | None = None
    removed: int = 0

    @property
    def age(self) -> tuple[str, str, str]:
        """The order of parts: it does not depend on the order in which they were added."""
        return self.added_at, self.digest, self.name


@dataclass(frozen=True, slots=True)
class Piece:
    """A part with its rows."""

    part: Part
    content: Content


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What all parts share, fixed when the first is built: site key, seed, columns, bins."""

    key_id: str
    seed: int
    roles: Roles
    schema: pa.Schema
    edges: Edges


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Everything a detector may know about trusted rows.

    It is a function of its parts, the settings and the site key: `created_at` is when the newest of
    them was trusted. `key_id` names the site key behind the row keys. `sample`: bounded, seeded,
    stratified by label, in time order, of parts of role `fit`; detectors refit from it. `keys`: row
    key (uint64 a, b), features-only key (fa, fb), label, contributor, source; one row a trusted
    row, controls too.
    `edges`: for number columns the inner quantile edges, for text columns the categories.
    `contents`: the rows of each part, in the order of `parts`.
    `thresholds`: rule id -> what the rule's `calibrate` returned. `clean`: what was measured on
    resampled clean batches at build, `power` on poisoned ones (`power.measure`; empty where it was
    not measured). `switched_off`: rules that were not calibrated because the
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
    edges: Edges
    thresholds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    clean: Mapping[str, Any] = field(default_factory=dict)
    switched_off: tuple[str, ...] = ()
    power: Mapping[str, Any] = field(default_factory=dict)
    contents: tuple[Content, ...] = ()

    @property
    def frame(self) -> Frame:
        """What a further part has to fit in."""
        return Frame(
            key_id=self.key_id,
            seed=self.seed,
            roles=self.roles,
            schema=self.schema,
            edges=self.edges,
        )

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The parts with their rows; raises `BaselineError` where it was made without them."""
        if len(self.contents) != len(self.parts):
            raise BaselineError("the rows of the baseline's parts are not there; build it again")
        return tuple(map(Piece, self.parts, self.contents))

    @property
    def fit(self) -> tuple[Part, ...]:
        """The parts that rules learn from."""
        return tuple(part for part in self.parts if part.role == FIT)

    @property
    def rows(self) -> int:
        """Trusted rows that rules learn from: those of the parts of role `fit`."""
        return sum(part.rows for part in self.fit)

    @property
    def labels(self) -> Mapping[str, int]:
        """Rows per label, over the same parts."""
        return label_counts(self.fit)

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
        """Rows per bin of a column, over the same parts: int64[bins]."""
        counts = [part.histograms[column] for part in self.fit if column in part.histograms]
        if not counts:
            raise BaselineError(f"the baseline has no histogram of column {column!r}")
        total: Counts = np.sum(np.asarray(counts, dtype=np.int64), axis=0)
        return total


def label_counts(parts: Iterable[Part]) -> dict[str, int]:
    """Rows per label over some parts."""
    total: dict[str, int] = {}
    for part in parts:
        for label, count in part.labels.items():
            total[label] = total.get(label, 0) + count
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
    return np.bincount(bin_places(column, edges), minlength=bins(column.type, edges))


def bins(type_: pa.DataType, edges: tuple[float, ...] | tuple[str, ...]) -> int:
    """How many bins a column of this type has, with those for outside/other and missing."""
    return (max(len(edges) - 1, 1) if is_number(type_) else len(edges)) + 2


def bin_places(column: pa.Array, edges: tuple[float, ...] | tuple[str, ...]) -> Counts:
    """The bin of each row, in the order of `bin_counts`: int64[rows]."""
    if is_number(column.type):
        return _number_places(numbers(column), edges)
    text = column.cast(pa.string())
    found = pc.fill_null(pc.index_in(text, value_set=pa.array(edges, pa.string())), len(edges))
    position: Counts = found.to_numpy(zero_copy_only=False).astype(np.int64)
    position[pc.is_null(text).to_numpy(zero_copy_only=False)] = len(edges) + 1
    return position


def _number_places(
    values: npt.NDArray[np.float64], edges: tuple[float, ...] | tuple[str, ...]
) -> Counts:
    bounds = np.asarray(edges, dtype=np.float64)
    inner = max(len(bounds) - 1, 1)
    present = ~np.isnan(values)
    if bounds.size == 0:
        return np.where(present, inner, inner + 1).astype(np.int64)
    position = np.clip(np.searchsorted(bounds, values, side="right") - 1, 0, inner - 1)
    outside = present & ((values < bounds[0]) | (values > bounds[-1]))
    position[outside] = inner
    position[~present] = inner + 1
    return position.astype(np.int64, copy=False)


def count_batch(batch: Batch, edges: Edges) -> dict[str, Counts]:
    """Histograms of a whole batch over frozen edges, one pass, columns it lacks left out."""
    names = [name for name in edges if name in batch.schema.names]
    totals: dict[str, Counts] = {}
    for chunk in batch.chunks(names):
        for name in names:
            counts = bin_counts(chunk.data.column(name), edges[name])
            totals[name] = totals[name] + counts if name in totals else counts
    return totals
