"""Sorted runs of row keys, merged as they grow: a log-structured merge tree (O'Neil et al. 1996).

A look-up is one binary search a segment, and no more than one segment is in memory. Segments stop
growing at `CAP` rows, so that memory stays bounded however long the history gets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from auditor.rowhash import Words

#: Rows of a segment at most: 20 MB.
CAP: Final = 1 << 20
Numbers = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Segment:
    """Keys in ascending order, none twice for a batch: `keys` uint64[n, 2], `batch` int32[n]."""

    keys: Words
    batch: Numbers

    def __len__(self) -> int:
        """How many keys."""
        return len(self.batch)

    def without(self, batch: int | None) -> Segment:
        """The same without the keys that one batch brought."""
        if batch is None or not (mine := self.batch == batch).any():
            return self
        return Segment(self.keys[~mine], self.batch[~mine])

    def hold(self, keys: Words) -> npt.NDArray[np.bool_]:
        """Which of `keys` uint64[m, 2] are here: bool[m]."""
        if not len(self):
            return np.zeros(len(keys), dtype=bool)
        first = np.ascontiguousarray(self.keys[:, 0])
        at = np.searchsorted(first, keys[:, 0])
        near = np.minimum(at, len(first) - 1)
        found: npt.NDArray[np.bool_] = (self.keys[near] == keys).all(axis=1)
        # Two rows that share the first lane only: chance 2^-64 a pair, but never a wrong "no".
        for row in np.flatnonzero((first[near] == keys[:, 0]) & ~found):
            stop = np.searchsorted(first, keys[row, 0], side="right")
            found[row] = bool((self.keys[at[row] : stop, 1] == keys[row, 1]).any())
        return found


def ordered(keys: Words, batch: int) -> Iterator[Segment]:
    """The distinct keys of one batch, as segments of at most `CAP` rows."""
    yield from _cut(_sorted(keys, np.full(len(keys), batch, dtype=np.int32)))


def merged(parts: Sequence[Segment]) -> Segment:
    """Several segments as one; together they have at most `CAP` rows."""
    keys = np.concatenate([part.keys for part in parts])
    return _sorted(keys, np.concatenate([part.batch for part in parts]))


def to_merge(sizes: Sequence[int]) -> int:
    """How many of the newest segments (sizes oldest first) are to be one: 0 or at least 2."""
    count, total = 1, sizes[-1] if sizes else 0
    while count < len(sizes):
        following = sizes[-count - 1]
        if following > 2 * total or following + total > CAP:
            break
        count, total = count + 1, total + following
    return count if count > 1 else 0


def _sorted(keys: Words, batch: Numbers) -> Segment:
    order = np.lexsort((batch, keys[:, 1], keys[:, 0]))
    keys, batch = keys[order], batch[order]
    new = np.ones(len(batch), dtype=bool)
    new[1:] = (keys[1:] != keys[:-1]).any(axis=1) | (batch[1:] != batch[:-1])
    return Segment(keys[new], batch[new])


def _cut(segment: Segment) -> Iterator[Segment]:
    for start in range(0, len(segment), CAP):
        yield Segment(segment.keys[start : start + CAP], segment.batch[start : start + CAP])
