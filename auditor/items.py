"""Countable content of a row: column = value, column in a range. Table columns -> item codes.

A slot is one way to look at a column: its frequent values, or its baseline quantile bins. Every row
has at most one item in a slot, so that two slots together are a contingency table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.batch import as_text
from auditor.features import is_category, is_number, numbers

Codes = npt.NDArray[np.int32]
Values = npt.NDArray[np.float64]

#: Inner quantile bins of a number column; one more below and one above them.
BINS: Final = 10
#: Values of a column that get an item of their own, at most.
VALUES: Final = 48
#: A value has to be in this many rows before it is an item.
REPEATED: Final = 4
#: Characters of a value in the name of an item; a cell may hold megabytes.
SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class Slot:
    """One way to look at a column. `names[0]` stands for "none of these"; `values` says which.

    `exact`: items are values (numbers or texts), else ranges with `values` as their edges.
    """

    column: str
    exact: bool
    values: tuple[float, ...] | tuple[str, ...]
    names: tuple[str, ...]

    @property
    def width(self) -> int:
        """Codes, the one for "none of these" included."""
        return len(self.names)

    def codes(self, column: pa.Array) -> Codes:
        """The item of each row: int32[n] in [0, width)."""
        if is_category(column.type) or (self.values and isinstance(self.values[0], str)):
            return _text_codes(column, self.values)
        values = numbers(column)
        found = _value_codes(values, self.values) if self.exact else _bins(values, self.values)
        return np.where(np.isnan(values), self.width - 1, found).astype(np.int32)


@dataclass(frozen=True)
class CodedTable:
    """Rows by their items; a slot is coded when it is first asked for. `labels`: int32[rows]."""

    slots: tuple[Slot, ...]
    table: pa.Table
    labels: Codes
    _coded: dict[int, Codes] = field(default_factory=dict, repr=False, compare=False)

    def where(self, items: Sequence[tuple[int, int]], label: int | None) -> npt.NDArray[np.bool_]:
        """Rows that hold all `items` (slot, code) and the label, None for any: bool[rows]."""
        found = np.ones(len(self.labels), dtype=bool) if label is None else self.labels == label
        for slot, code in items:
            if slot not in self._coded:
                own = self.slots[slot]
                self._coded[slot] = own.codes(self.table.column(own.column).combine_chunks())
            found &= self._coded[slot] == code
        return np.asarray(found)


def fit_slots(trusted: pa.Table, batch: pa.Table, columns: Sequence[str]) -> tuple[Slot, ...]:
    """Slots of the usable `columns`; values are taken from both tables, ranges from `trusted`.

    A trigger may be a value that no trusted row has, so that the batch has to be looked at too.
    """
    slots: list[Slot] = []
    for name in columns:
        known, new = trusted.column(name).combine_chunks(), batch.column(name).combine_chunks()
        if is_number(known.type) and is_number(new.type):
            slots += _number_slots(name, numbers(known), numbers(new))
        elif is_category(known.type) or is_category(new.type):
            slots.append(_text_slot(name, known, new))
    return tuple(slot for slot in slots if slot.width > 1)


def _number_slots(name: str, known: Values, new: Values) -> list[Slot]:
    known, new = known[~np.isnan(known)], new[~np.isnan(new)]
    distinct = np.unique(known)
    slots = []
    chosen = _repeated(known, new)
    if chosen.size:
        names = ("", *(f"{name} = {value:.15g}" for value in chosen), f"{name} missing")
        slots.append(Slot(name, True, tuple(chosen.tolist()), names))
    if distinct.size > BINS:
        edges = _edges(known)
        slots.append(Slot(name, False, tuple(edges.tolist()), _range_names(name, edges)))
    return slots


def _edges(known: Values) -> Values:
    """Quantiles of the trusted values; a value that fills a bin by itself does not count."""
    values, counts = np.unique(known, return_counts=True)
    common = values[counts * BINS >= len(known)]
    rest = known[~np.isin(known, common)]
    inner = rest if len(rest) >= 2 * BINS else known
    edges: Values = np.unique(
        np.r_[known.min(), np.quantile(inner, np.linspace(0, 1, BINS + 1)), known.max()]
    )
    return edges


def _repeated(known: Values, new: Values) -> Values:
    """Values that repeat in the batch: the most frequent, and those more frequent than trusted."""
    values, counts = np.unique(new, return_counts=True)
    often = counts >= REPEATED
    values, counts = values[often], counts[often]
    trusted, before = np.unique(known, return_counts=True)
    place = np.minimum(np.searchsorted(trusted, values), max(len(trusted) - 1, 0))
    same = trusted[place] == values if len(trusted) else np.zeros(len(values), dtype=bool)
    usual = np.where(same, before[place] if len(trusted) else 0, 0)
    excess = counts - usual * (len(new) / max(len(known), 1))
    half = VALUES // 2
    best = np.union1d(
        np.argsort(-counts, kind="stable")[:half], np.argsort(-excess, kind="stable")[:half]
    )
    chosen: Values = np.sort(values[best]) if len(best) else values[:0]
    return chosen


def _range_names(name: str, edges: Values) -> tuple[str, ...]:
    inner = [f"{name} in {a:.6g} to {b:.6g}" for a, b in pairwise(edges.tolist())]
    ends = f"{name} < {edges[0]:.6g}", f"{name} > {edges[-1]:.6g}"
    return ("", ends[0], *inner, ends[1], f"{name} missing")


def _text_slot(name: str, known: pa.Array, new: pa.Array) -> Slot:
    counts: Counter[str | None] = Counter()
    for column in (new, known):
        for entry in as_text(_plain(column)).value_counts().to_pylist():
            counts[entry["values"]] += int(entry["counts"])
    del counts[None]
    order = sorted(counts, key=lambda text: (-counts[text], str(text)))
    values = tuple(str(text) for text in order[:VALUES] if counts[text] >= REPEATED)
    names = ("", *(f"{name} = {value[:SHOWN]}" for value in values), f"{name} missing")
    return Slot(name, True, values, names)


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _text_codes(column: pa.Array, values: tuple[float, ...] | tuple[str, ...]) -> Codes:
    import pyarrow.compute as pc

    text = as_text(_plain(column))
    found = pc.fill_null(pc.index_in(text, value_set=pa.array(values, text.type)), -1)
    codes: Codes = found.to_numpy(zero_copy_only=False).astype(np.int32) + 1
    codes[pc.is_null(text).to_numpy(zero_copy_only=False)] = len(values) + 1
    return codes


def _value_codes(values: Values, chosen: tuple[float, ...] | tuple[str, ...]) -> Codes:
    known = np.asarray(chosen, dtype=np.float64)
    place = np.minimum(np.searchsorted(known, values), len(known) - 1)
    found: Codes = np.where(known[place] == values, place + 1, 0).astype(np.int32)
    return found


def _bins(values: Values, edges: tuple[float, ...] | tuple[str, ...]) -> Codes:
    """1 below the first edge, then the ranges (the last one closed), then above the last edge."""
    bounds = np.asarray(edges, dtype=np.float64)
    place = np.searchsorted(bounds, values, side="right")
    place = np.where(values == bounds[-1], len(bounds) - 1, place)
    found: Codes = (place + 1).astype(np.int32)
    return found
