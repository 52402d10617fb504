"""Sorted keys: what is found equals what a set finds, whatever was merged before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.history import segments
from auditor.history.segments import Segment, merged, ordered, to_merge

# Few values, so that first lanes agree where second ones do not.
LANE = st.integers(0, 5)
KEYS = st.lists(st.tuples(LANE, LANE), max_size=40)


def words(pairs: list[tuple[int, int]]) -> np.ndarray:
    return np.array(pairs, dtype=np.uint64).reshape(-1, 2)


@given(first=KEYS, second=KEYS, asked=KEYS)
def test_what_is_held_is_what_was_put_in(
    first: list[tuple[int, int]], second: list[tuple[int, int]], asked: list[tuple[int, int]]
) -> None:
    parts = [*ordered(words(first), 3), *ordered(words(second), 7)]
    if not parts:
        return
    segment = merged(parts)
    assert segment.hold(words(asked)).tolist() == [a in {*first, *second} for a in asked]
    alone = segment.without(3)
    assert alone.hold(words(asked)).tolist() == [a in set(second) for a in asked]


@given(keys=KEYS)
def test_a_key_is_there_once_for_a_batch(keys: list[tuple[int, int]]) -> None:
    assert sum(len(part) for part in ordered(words(keys), 1)) == len(set(keys))


def test_nothing_holds_nothing() -> None:
    empty = Segment(words([]), np.zeros(0, dtype=np.int32))
    assert empty.hold(words([(1, 2)])).tolist() == [False]


@pytest.mark.parametrize(
    ("sizes", "count"),
    [([], 0), ([5], 0), ([5, 5], 2), ([100, 5], 0), ([10, 5, 5], 3), ([100, 9, 5], 2)],
)
def test_small_segments_are_merged_with_their_like(sizes: list[int], count: int) -> None:
    assert to_merge(sizes) == count


def test_no_segment_grows_over_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "CAP", 10)
    assert to_merge([6, 5]) == 0
    keys = np.arange(46, dtype=np.uint64).reshape(-1, 2)
    assert [len(part) for part in ordered(keys, 1)] == [10, 10, 3]


def test_the_number_of_segments_grows_with_the_logarithm() -> None:
    sizes: list[int] = []
    for _ in range(1000):
        sizes.append(100)
        if count := to_merge(sizes):
            sizes[-count:] = [sum(sizes[-count:])]
    assert len(sizes) <= 12
