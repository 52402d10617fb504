"""A column as positions in its distinct values: what grouping ten million rows can afford.

One Python text a row takes sixty bytes and a second a million; here Arrow keeps every distinct text
once and a row is a number. Not NumPy's strings: they give every row the width of the longest,
which a sender chooses, and drop NUL at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditor.batch import Batch, as_text

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Names(Sequence[str]):
    """Texts in Arrow memory; one becomes a Python text when it is asked for."""

    values: pa.LargeStringArray

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> Names: ...
    def __getitem__(self, at: int | slice) -> str | Names:
        """The text at a position, or some of them."""
        if isinstance(at, slice):
            return Names(self.values[at])
        text: str = self.values[at].as_py()
        return text

    def __len__(self) -> int:
        """How many texts."""
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Coded:
    """`names`: distinct texts, sorted by code point. `codes` int64[rows]: positions, -1 missing."""

    names: Names
    codes: Codes

    @property
    def counts(self) -> Codes:
        """Rows of each name: int64[names]."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.names))

    @property
    def missing(self) -> int:
        """Rows without a value."""
        return int((self.codes < 0).sum())

    def among(self, names: Sequence[str]) -> Codes:
        """The place of each row's name in `names`, -1 for what is not there: int64[rows]."""
        place = {name: i for i, name in enumerate(names)}
        table = np.array([place.get(name, -1) for name in self.names] + [-1], dtype=np.int64)
        return np.asarray(table[self.codes])


def coded(batch: Batch, column: str, *, missing: str | None = None) -> Coded:
    """A column of any flat type as text, coded; what is missing counts as `missing` if given."""
    return code((chunk.data.column(0) for chunk in batch.chunks([column])), missing=missing)


def code(columns: Iterable[pa.Array], *, missing: str | None = None) -> Coded:
    """The same for arrays of one flat type."""
    chunks = pa.chunked_array(
        [_encoded(column, missing) for column in columns],
        pa.dictionary(pa.int32(), pa.large_string()),
    ).unify_dictionaries()
    if not chunks.num_chunks:
        return Coded(Names(pa.array([], pa.large_string())), np.zeros(0, dtype=np.int64))
    names = chunks.chunk(0).dictionary
    order = pc.sort_indices(names).to_numpy()  # by bytes of UTF-8: the order of code points
    place = np.empty(len(order) + 1, dtype=np.int64)
    place[order] = np.arange(len(order))
    place[-1] = -1
    parts = [pc.fill_null(chunk.indices, -1).to_numpy() for chunk in chunks.chunks]
    return Coded(Names(names.take(pa.array(order))), place[np.concatenate(parts)])


def _encoded(column: pa.Array, missing: str | None) -> pa.DictionaryArray:
    text = pc.cast(as_text(column), pa.large_string())
    return pc.dictionary_encode(text if missing is None else pc.fill_null(text, missing))
