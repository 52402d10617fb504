from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.errors import LedgerError
from auditor.ledger.events import EVENTS, MAX_BODY, Event, decode, encode, leaf_hash

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
RUN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
DIGEST = hashlib.sha256(b"a batch").hexdigest()


def test_the_body_is_canonical_json_with_the_agreed_fields() -> None:
    event = Event(
        name="verdict",
        at=NOON,
        via="gate",
        subject=DIGEST,
        refs=(DIGEST,),
        run=RUN,
        detail={"verdict": "QUARANTINE", "mode": "gate"},
    )
    assert encode(event).decode() == (
        '{"actor":{"principal":"local","via":"gate"},"at":"2026-11-22T12:00:00Z",'
        '"detail":{"mode":"gate","verdict":"QUARANTINE"},"event":"verdict",'
        f'"refs":[{{"sha256":"{DIGEST}"}}],"run":"{RUN}","subject":{{"sha256":"{DIGEST}"}},"v":1}}'
    )


def test_leaf_hash_is_that_of_rfc_6962() -> None:
    # The hash of an empty leaf, as in the test vectors of transparency logs.
    empty = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert leaf_hash(b"").hex() == empty
    assert leaf_hash(b"L123456") == hashlib.sha256(b"\x00L123456").digest()


def test_times_are_written_in_utc() -> None:
    east = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert encode(Event(name="error", at=east, via="cli")) == encode(
        Event(name="error", at=NOON, via="cli")
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "verdikt"}, "not a ledger event: 'verdikt'"),
        ({"name": ""}, "not a ledger event"),
        ({"at": datetime(2026, 11, 22)}, "needs a zone"),
        ({"via": "web"}, "via must be gate or cli"),
        ({"subject": DIGEST.upper()}, "not a lowercase hex sha256"),
        ({"refs": ("abc",)}, "not a lowercase hex sha256"),
        ({"run": "latest"}, "not a run id"),
        ({"principal": "Jane Doe <jane@example.org>"}, "not a principal's id"),
        ({"principal": "a\nb"}, "not a principal's id"),
        ({"detail": {"Rows": 1}}, "not a name for a detail"),
        ({"detail": {"rows": [1]}}, "must be one plain value"),
        ({"detail": {"share": float("nan")}}, "canonical JSON"),
        ({"detail": {"rows": 2**53}}, "canonical JSON"),
        ({"detail": {"rows": 2.0**53}}, "too large"),
        ({"detail": {"name": "\ud800"}}, "canonical JSON"),
    ],
)
def test_what_may_not_be_written_is_refused(change: dict[str, Any], said: str) -> None:
    fields: dict[str, Any] = {"name": "verdict", "at": NOON, "via": "gate", **change}
    with pytest.raises(LedgerError, match=said):
        encode(Event(**fields))


def test_case_116_a_body_at_the_limit_is_written_and_one_byte_more_is_refused() -> None:
    """An entry of more than 65,535 bytes."""

    def body(length: int) -> bytes:
        return encode(Event(name="error", at=NOON, via="cli", detail={"text": "x" * length}))

    room = MAX_BODY - len(body(1)) + 1
    assert len(body(room)) == MAX_BODY
    with pytest.raises(LedgerError, match="65536 bytes is over the limit"):
        body(room + 1)


names = st.sampled_from(sorted(EVENTS))
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53) + 1, 2**53 - 1),
    st.floats(-(2.0**53), 2.0**53, exclude_min=True, exclude_max=True),
    st.text(st.characters(exclude_categories=["Cs"])),
)


@given(
    name=names,
    at=st.datetimes(datetime(1971, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC)),
    subject=st.none() | digests,
    refs=st.lists(digests, max_size=3),
    detail=st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True), scalars),
)
def test_an_event_survives_the_way_there_and_back(
    name: str, at: datetime, subject: str | None, refs: list[str], detail: dict[str, Any]
) -> None:
    at = at.replace(microsecond=0)
    event = Event(
        name=name, at=at, via="cli", subject=subject, refs=tuple(refs), run=RUN, detail=detail
    )
    assert decode(encode(event)) == event


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: body.replace(b'"v":1', b'"v":2'),
        lambda body: body.replace(b'"verdict"', b'"verdikt"'),
        lambda body: body.replace(b",", b", ", 1),
        lambda body: body[:-1],
        lambda _: b"[" * 100_000,
        lambda _: b"null",
        lambda _: b"\xff",
        lambda body: body.replace(b"2026", b"20zz"),
    ],
)
def test_bytes_that_are_no_event_are_refused(spoil: Callable[[bytes], bytes]) -> None:
    body = encode(Event(name="verdict", at=NOON, via="gate"))
    with pytest.raises(ValueError, match=r"."):
        decode(spoil(body))
