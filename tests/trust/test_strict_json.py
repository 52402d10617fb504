"""Strict JSON: what it takes is what `json` takes, minus exactly the stated rules."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.provenance.refused import Refused, printable
from auditor.provenance.strict_json import MAX_BYTES, MAX_DEPTH, MAX_INT, canonical, loads

WHOLE = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_INT, MAX_INT)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WHOLE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WHOLE, inner, max_size=4),
    max_leaves=12,
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


def refusal(data: bytes) -> str | None:
    try:
        loads(data)
    except Refused as refused:
        return refused.code
    return None


@given(value=VALUES, ascii_only=st.booleans(), indent=st.sampled_from([None, 1]))
def test_every_allowed_document_is_read_as_json_reads_it(
    value: Any, ascii_only: bool, indent: int | None
) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    assert depth(value) <= MAX_DEPTH
    assert loads(data) == value


@given(value=VALUES)
def test_canonical_round_trip(value: Any) -> None:
    # A whole float beyond 2^53 is written as an integer, which the reader refuses: not signed.
    if refusal(canonical(value)) == "JSON_INT_RANGE":
        return
    once = canonical(value)
    assert canonical(loads(once)) == once


@given(data=st.binary(max_size=60) | st.text('[]{}",:\\ue0123456789.-+ntrfalsNIy ', max_size=40))
def test_any_bytes_are_read_alike_or_refused(data: bytes | str) -> None:
    raw = data.encode() if isinstance(data, str) else data
    try:
        value = loads(raw)
    except Refused:
        return
    assert json.loads(raw.decode()) == value


@given(st.text('[]{}"\\,:a1 ', max_size=80))
def test_whatever_json_takes_is_refused_only_for_a_stated_rule(text: str) -> None:
    try:
        value = json.loads(text)
    except ValueError:
        assert refusal(text.encode()) is not None
        return
    allowed = {"JSON_DUPLICATE_KEY"} if "{" in text else set()
    if depth(value) > MAX_DEPTH:
        allowed.add("JSON_TOO_DEEP")
    if "1" in text:
        allowed.add("JSON_INT_RANGE")
    assert refusal(text.encode()) in {None, *allowed}


@given(levels=st.integers(1, 60), square=st.booleans())
def test_depth_limit_is_exact(levels: int, square: bool) -> None:
    opening, closing = (b"[", b"]") if square else (b'{"[":', b"}")
    data = opening * levels + b"1" + closing * levels
    assert (refusal(data) is None) == (levels <= MAX_DEPTH)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b'{"a":1,"\\u0061":2}', "JSON_DUPLICATE_KEY"),
        (b'[{"b":{"a":1,"a":1}}]', "JSON_DUPLICATE_KEY"),
        (b"-Infinity", "JSON_NON_FINITE"),
        (b"[-1e400]", "JSON_NON_FINITE"),
        (str(MAX_INT + 1).encode(), "JSON_INT_RANGE"),
        (str(-MAX_INT - 1).encode(), "JSON_INT_RANGE"),
        (b'"\\ud800"', "JSON_INVALID"),
        (b'{"\\udc00":1}', "JSON_INVALID"),
        (b'"\xed\xa0\x80"', "JSON_INVALID"),
        (b'"\xc0\xaf"', "JSON_INVALID"),
        (b'"a\nb"', "JSON_INVALID"),
        (b"[1,]", "JSON_INVALID"),
        (b"01", "JSON_INVALID"),
        (b"'a'", "JSON_INVALID"),
        (b"1 2", "JSON_INVALID"),
        (b"[" * 31, "JSON_INVALID"),
        (b"]" * 100_000 + b"[" * 100_000, "JSON_TOO_DEEP"),
        (b'{"a":' * 100_000, "JSON_TOO_DEEP"),
    ],
)
def test_refused(data: bytes, code: str) -> None:
    assert refusal(data) == code


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (str(MAX_INT).encode(), MAX_INT),
        (str(-MAX_INT).encode(), -MAX_INT),
        (b'"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        (b'"[[[[\\"' + b"[" * 100 + b'"', '[[[["' + "[" * 100),
        (b"[" + b"[]," * 1000 + b"[]]", [[]] * 1001),
    ],
)
def test_accepted(data: bytes, value: Any) -> None:
    assert loads(data) == value


def test_the_limits_are_those_of_the_design() -> None:
    assert (MAX_BYTES, MAX_DEPTH, MAX_INT) == (16_777_216, 32, 9_007_199_254_740_991)


def test_size_limit_is_exact() -> None:
    assert loads(b"1" + b" " * (MAX_BYTES - 1)) == 1
    assert refusal(b"1" + b" " * MAX_BYTES) == "JSON_TOO_LARGE"


def test_unterminated_string_of_quotes_takes_linear_time() -> None:
    # A scanner that starts again at every quote would need hours for this.
    assert refusal(b'"' + b'\\"' * 2_000_000) == "JSON_INVALID"


@given(st.text(max_size=400))
def test_printable_is_printable_and_bounded(text: str) -> None:
    assert printable(text).isprintable()
    assert len(printable(text)) <= 121
