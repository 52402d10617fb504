from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.ulid import is_ulid, new_ulid


def test_the_time_part_is_that_of_the_specification() -> None:
    # The seed time of the reference implementation's tests: 1469918176385 -> 01ARYZ6S41.
    at = datetime.fromtimestamp(1469918176, UTC) + timedelta(milliseconds=385)
    assert new_ulid(at, bytes(10)) == "01ARYZ6S41" + "0" * 16
    assert new_ulid(at, b"\xff" * 10) == "01ARYZ6S41" + "Z" * 16


def test_forms() -> None:
    assert is_ulid("01ARZ3NDEKTSV4RRFFQ69G5FAV")
    assert is_ulid("7ZZZZZZZZZZZZZZZZZZZZZZZZZ")
    for bad in (
        "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
        "01ARZ3NDEKTSV4RRFFQ69G5FA",
        "01arz3ndektsv4rrffq69g5fav",
        "01ARZ3NDEKTSV4RRFFQ69G5FAU",
        "../../../../etc/passwd____",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV\n",
        "",
    ):
        assert not is_ulid(bad), bad


@given(
    times=st.lists(st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC)), min_size=2),
    randomness=st.binary(min_size=10, max_size=10),
)
def test_ids_sort_as_their_times(times: list[datetime], randomness: bytes) -> None:
    ids = [new_ulid(at, randomness) for at in sorted(times)]
    assert ids == sorted(ids)
    assert all(map(is_ulid, ids))


def test_what_makes_no_id() -> None:
    with pytest.raises(ValueError, match="zone"):
        new_ulid(datetime(2026, 1, 1), bytes(10))
    with pytest.raises(ValueError, match="10 random bytes"):
        new_ulid(datetime(2026, 1, 1, tzinfo=UTC), bytes(9))
    with pytest.raises(ValueError, match="outside"):
        new_ulid(datetime(1969, 1, 1, tzinfo=UTC), bytes(10))
