"""Families of equal rows inside a batch: keyed hashes find candidates, cells decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditor.baseline import Baseline
from auditor.batch import Batch, Shared, read_columns
from auditor.errors import Unavailable
from auditor.features import is_number
from auditor.rowhash import Words, batch_keys

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Families:
    """Rows that have at least one equal row, ordered by family and age.

    `rows` int64[m]: positions in the batch; `family` int64[m]: number of the family, ascending;
    `first` bool[m]: the oldest row of its family (by timestamp, then by position); `keys`
    uint64[rows of the batch, 2].
    """

    rows: Rows
    family: Rows
    first: npt.NDArray[np.bool_]
    keys: Words

    @property
    def extra(self) -> Rows:
        """The rows beyond the first of each family."""
        return self.rows[~self.first]

    @property
    def sizes(self) -> Rows:
        """Rows in each family."""
        return np.bincount(self.family) if self.family.size else np.zeros(0, dtype=np.int64)

    @property
    def heads(self) -> Rows:
        """The oldest row of each family."""
        return self.rows[self.first]


def content_columns(batch: Batch, baseline: Baseline | None) -> tuple[str, ...]:
    """The columns that make two rows equal; they must be those that the baseline was keyed on.

    Raises:
        Unavailable: no such columns, or other ones than the baseline has.
    """
    columns = batch.roles.content
    if not columns:
        raise Unavailable("no feature, text or label column")
    if baseline is not None and set(columns) != set(baseline.roles.content):
        odd = sorted(set(columns) ^ set(baseline.roles.content))
        raise Unavailable(f"columns differ from the baseline's: {', '.join(odd[:5])}")
    if baseline is not None:
        _refuse_other_kinds(batch.schema, baseline.schema, columns)
    return columns


def _refuse_other_kinds(mine: pa.Schema, trusted: pa.Schema, columns: Sequence[str]) -> None:
    """Text never equals a number: no copy of a trusted row would be found any more."""
    for name in columns:
        here, there = mine.field(name).type, trusted.field(name).type
        if is_number(here) != is_number(there):
            raise Unavailable(f"column {name!r} holds {here}; the trusted rows hold {there}")


@dataclass(frozen=True, slots=True)
class Copies:
    """Row keys and families of a batch, under the site's key; computed once for all rules."""

    site_key: bytes
    shared: Shared

    def keys(self, batch: Batch, columns: Sequence[str]) -> Words:
        """Keys of every row over `columns`: uint64[rows, 2]. The label's cells are added last."""
        label = batch.roles.label
        rest = tuple(sorted(c for c in columns if c != label))
        keys = self.shared.once(
            batch, ("keys", rest), lambda: batch_keys(batch, rest, self.site_key)
        )
        if label is None or label not in columns:
            return keys
        with_label: Words = keys + batch_keys(batch, [label], self.site_key)
        return with_label

    def families(self, batch: Batch, columns: Sequence[str]) -> Families:
        """Families of rows that are equal in every one of `columns` (null equals null)."""
        return self.shared.once(
            batch,
            ("families", frozenset(columns)),
            lambda: equal_rows(batch, columns, self.keys(batch, columns)),
        )


def equal_rows(batch: Batch, columns: Sequence[str], keys: Words) -> Families:
    """Families of rows that are equal in every one of `columns`; `keys` name the candidates."""
    rows, family = group_keys(keys)
    same = _really_equal(batch, columns, rows, family)
    rows, family = rows[same], family[same]
    rows, family = _drop_singles(rows, family)
    order = np.lexsort((rows, age(batch, rows), family))
    rows, family = rows[order], family[order]
    first = np.ones(len(rows), dtype=bool)
    first[1:] = family[1:] != family[:-1]
    return Families(rows, family, first, keys)


def group_keys(keys: Words) -> tuple[Rows, Rows]:
    """Rows whose key occurs more than once, and the number of their group, both int64[m]."""
    order: Rows = np.lexsort((keys[:, 1], keys[:, 0])).astype(np.int64, copy=False)
    new = np.zeros(len(order), dtype=bool)
    new[:1] = True
    for lane in (0, 1):  # one at a time: at ten million rows each copy is 80 MB
        ordered = keys[order, lane]
        new[1:] |= ordered[1:] != ordered[:-1]
    sizes = np.diff(np.append(np.flatnonzero(new), len(order)))
    many = sizes > 1
    group = np.repeat(np.arange(many.sum(), dtype=np.int64), sizes[many])
    return order[np.repeat(many, sizes)], group


def _drop_singles(rows: Rows, group: Rows) -> tuple[Rows, Rows]:
    _, number, sizes = np.unique(group, return_inverse=True, return_counts=True)
    keep = sizes[number] > 1
    if not keep.any():
        return rows[:0], group[:0]
    _, renumbered = np.unique(group[keep], return_inverse=True)
    return rows[keep], renumbered.astype(np.int64)


def _really_equal(
    batch: Batch, columns: Sequence[str], rows: Rows, family: Rows
) -> npt.NDArray[np.bool_]:
    """Compare each candidate with the first row of its group, cell by cell: bool[m]."""
    same = np.ones(len(rows), dtype=bool)
    if not len(rows):
        return same
    heads = np.full(family.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(heads, family, rows)
    head_order = np.argsort(heads)
    place = np.empty_like(head_order)
    place[head_order] = np.arange(len(heads))
    table = take_rows(batch, columns, heads[head_order])
    by_row = np.argsort(rows, kind="stable")
    for chunk in batch.chunks(columns):
        start, stop = np.searchsorted(rows[by_row], (chunk.start, chunk.start + len(chunk.data)))
        members = by_row[start:stop]
        if len(members):
            mine = chunk.data.take(pa.array(rows[members] - chunk.start))
            theirs = table.take(pa.array(place[family[members]]))
            same[members] = _cells_equal(mine, theirs)
    return same


def take_rows(batch: Batch, columns: Sequence[str], rows: Rows) -> pa.Table:
    """The named rows (ascending positions), in one pass over the batch."""
    taken = []
    for chunk in batch.chunks(columns):
        start, stop = np.searchsorted(rows, (chunk.start, chunk.start + len(chunk.data)))
        if stop > start:
            taken.append(chunk.data.take(pa.array(rows[start:stop] - chunk.start)))
    schema = pa.schema([batch.schema.field(name) for name in columns])
    return pa.Table.from_batches(taken, schema=schema)


def _cells_equal(mine: pa.RecordBatch, theirs: pa.Table) -> npt.NDArray[np.bool_]:
    equal = np.ones(mine.num_rows, dtype=bool)
    for name in mine.schema.names:
        left, right = mine.column(name), theirs.column(name).combine_chunks()
        if pa.types.is_null(left.type):
            continue
        if pa.types.is_float16(left.type):  # Arrow cannot compare halves
            left, right = left.cast(pa.float32()), right.cast(pa.float32())
        if pa.types.is_nested(left.type):
            pairs = zip(left.to_pylist(), right.to_pylist(), strict=True)
            equal &= np.array([a == b for a, b in pairs], dtype=bool)
            continue
        both_null = pc.and_(pc.is_null(left), pc.is_null(right))
        agree = pc.fill_null(pc.equal(left, right), False)
        if pa.types.is_floating(left.type):
            agree = pc.or_(agree, pc.fill_null(pc.and_(pc.is_nan(left), pc.is_nan(right)), False))
        equal &= pc.or_(agree, both_null).to_numpy(zero_copy_only=False)
    return equal


def age(batch: Batch, rows: Rows) -> Rows:
    """What orders the rows of a family by age: the timestamp where there is one, else nothing."""
    stamp = batch.roles.first("timestamp")
    if stamp is None or not len(rows):
        return np.zeros(len(rows), dtype=np.int64)
    column = read_columns(batch, [stamp]).column(0).combine_chunks()
    if not (pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)):
        return np.zeros(len(rows), dtype=np.int64)
    micro = pc.cast(column, pa.timestamp("us", getattr(column.type, "tz", None)), safe=False)
    late = np.iinfo(np.int64).max  # a row that does not say when is the younger one
    age: Rows = pc.fill_null(micro.cast(pa.int64()), late).to_numpy(zero_copy_only=False)
    return age[rows]


def family_size(group: Rows) -> float:
    """Size of a member's family, in the mean over members; at least 2."""
    sizes = np.bincount(group).astype(np.float64) if group.size else np.zeros(1)
    return max(2.0, float((sizes**2).sum() / max(sizes.sum(), 1.0)))


def mixed(group: Rows, values: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    """Members of groups that hold more than one value (None counts as one): bool[m]."""
    seen: dict[int, set[object]] = {}
    for number, value in zip(group.tolist(), values.tolist(), strict=True):
        seen.setdefault(number, set()).add(value)
    return np.array([len(seen[number]) > 1 for number in group.tolist()], dtype=bool)
