"""Who supplied a group of rows: whose rows go, and when all of them do."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from auditor.suppliers import Floats, Mask, standing_out, supplied

#: A batch of a hundred rows from ten contributors.
EVERY = np.repeat(np.arange(10), 10)


def beyond(usual: float, count: Floats) -> Floats:
    """A tail that falls with the rows beyond the usual number."""
    return np.minimum(1.0, 10.0 ** -(count - usual))


def tails(count: Floats, share: Floats) -> Floats:
    return beyond(1.0, count - 5.0 * share)


def many(rest: Mask) -> float:
    return float(beyond(3.0, np.array(rest.sum())))


def test_only_the_rows_of_who_stands_out_go() -> None:
    senders = np.array([4] * 12 + [1, 2, 3])
    assert (standing_out(senders, EVERY, tails) == (senders == 4)).all()


def test_all_rows_go_where_nobody_stands_out() -> None:
    assert standing_out(np.arange(10), EVERY, tails).all()


def test_all_rows_go_where_the_rest_is_surprising_too() -> None:
    senders = np.array([4] * 12 + [*range(10)] * 2)
    assert standing_out(senders, EVERY, tails).all()


def test_rows_that_nobody_says_he_sent_stand_out_as_nobody_s() -> None:
    assert standing_out(np.full(12, -1), EVERY, tails).all()
    senders = np.array([-1] * 3 + [4] * 12)
    assert (standing_out(senders, EVERY, tails) == (senders == 4)).all()


def test_who_repeats_itself_most_is_left_out_first() -> None:
    senders = np.array([7, 7, 7, 7, 8, 8, 8, 0, 1])
    part = np.array([0, 0, 1, 1, 0, 0, 1, 0, 1])
    taken = supplied(senders, part, EVERY, many)
    assert (taken == (senders >= 7)).all()


def test_a_row_in_each_part_is_no_repetition() -> None:
    senders = np.array([5, 5, 5, 5, 7, 7, 7, 7])
    part = np.array([0, 1, 2, 3, 0, 0, 1, 1])
    taken = supplied(senders, part, EVERY, lambda rest: float(7 not in senders[rest]))
    assert (taken == (senders == 7)).all()


def test_all_rows_go_where_nobody_repeats_itself() -> None:
    assert supplied(np.arange(10), np.zeros(10, dtype=np.int64), EVERY, many).all()


def test_all_rows_go_where_everybody_sends_them() -> None:
    part = np.zeros(100, dtype=np.int64)
    assert supplied(EVERY, part, EVERY, many).all()


@given(
    senders=st.lists(st.integers(-1, 9), min_size=1, max_size=40),
    parts=st.integers(1, 4),
    usual=st.floats(0, 30),
)
def test_contributors_go_or_stay_as_a_whole(senders: list[int], parts: int, usual: float) -> None:
    sent = np.array(senders)
    part = np.arange(len(sent)) % parts

    def tail(rest: Mask) -> float:
        return float(beyond(usual, np.array(rest.sum())))

    for taken in (
        supplied(sent, part, EVERY, tail),
        standing_out(sent, EVERY, lambda c, s: beyond(usual, c - s)),
    ):
        assert taken.any()
        assert all(len(set(taken[sent == name])) == 1 for name in set(senders))
        assert taken.all() or not taken[sent < 0].any()
