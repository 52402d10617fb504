"""JSON from strangers: one reading or none (RFC 8259, I-JSON RFC 7493, JCS RFC 8785).

Two programs that read the same bytes must see the same document; otherwise a signature covers one
meaning and the reader acts on another. So whatever parsers disagree about is refused.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any, Final, TypeAlias

import rfc8785

from auditor.provenance.refused import Refused, printable

Json: TypeAlias = dict[str, "Json"] | list["Json"] | str | int | float | bool | None

MAX_BYTES: Final = 16 * 1024 * 1024
MAX_DEPTH: Final = 32
#: Largest integer that every JSON reader keeps exact (it may use doubles).
MAX_INT: Final = 2**53 - 1

# Possessive, and with an optional last quote: one pass even over an unterminated string.
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_SURROGATE_ESCAPE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_TO_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET: Final = bytes(set(range(256)) - set(b"[]{}"))


def loads(data: bytes) -> Json:
    """Read one JSON document.

    Raises:
        Refused: JSON_TOO_LARGE, JSON_INVALID, JSON_TOO_DEEP, JSON_DUPLICATE_KEY, JSON_NON_FINITE
            or JSON_INT_RANGE. Integers and floats keep their kinds.
    """
    if len(data) > MAX_BYTES:
        raise Refused("JSON_TOO_LARGE", f"The document has {len(data)} bytes.")
    text = _decode(data)
    _require_shallow(data)
    try:
        value: Json = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_int=_integer,
            parse_float=_real,
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise Refused("JSON_INVALID", f"{error.msg} at {where}.") from error
    if _SURROGATE_ESCAPE.search(data):
        _require_whole_characters(value)
    return value


def canonical(value: Json) -> bytes:
    """The one encoding of a document that is hashed and signed (JCS, RFC 8785).

    Raises:
        Refused: JSON_INVALID for what has no canonical form: lone surrogates, NaN, large integers.
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise Refused("JSON_INVALID", f"No canonical form: {printable(str(error))}.") from error


def _decode(data: bytes) -> str:
    if data.startswith(b"\xef\xbb\xbf"):
        raise Refused("JSON_INVALID", "The document begins with a byte order mark.")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused("JSON_INVALID", f"Byte {error.start} is not UTF-8.") from error


def _require_shallow(data: bytes) -> None:
    """Refuse deep nesting before the parser recurses into it.

    With strings gone and all brackets alike, each round removes the innermost pairs, so the number
    of rounds is the depth. What stays unbalanced is left for the parser, if it is shallow too.
    """
    brackets = _STRING.sub(b"", data).translate(_TO_SQUARE, _NO_BRACKET)
    for _ in range(MAX_DEPTH):
        shorter = brackets.replace(b"[]", b"")
        if len(shorter) == len(brackets):
            break
        brackets = shorter
    if b"[]" in brackets or brackets.count(b"[") > MAX_DEPTH:
        raise Refused("JSON_TOO_DEEP", f"The nesting is deeper than {MAX_DEPTH}.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
        raise Refused("JSON_DUPLICATE_KEY", f'The key "{printable(twice)}" is there twice.')
    return found


def _constant(text: str) -> float:
    raise Refused("JSON_NON_FINITE", f"{text} is not a JSON number.")


def _integer(text: str) -> int:
    # By length first: the conversion of thousands of digits is slow, or an error of its own.
    if len(text) > 17 or abs(int(text)) > MAX_INT:
        raise Refused("JSON_INT_RANGE", f"{printable(text, 24)} is out of range.")
    return int(text)


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Refused("JSON_NON_FINITE", f"{printable(text, 24)} is too large for a double.")
    return value


def _require_whole_characters(value: Json) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise Refused("JSON_INVALID", "A string holds half of a surrogate pair.") from error
