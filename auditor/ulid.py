"""Run ids: ULIDs (github.com/ulid/spec), 26 characters that sort by time.

Time and randomness are arguments: this module reads no clock and no random source. It imports
nothing of `auditor`, so the ledger and the workspace may both use it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

#: Crockford's base 32: no I, L, O, U.
ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
#: Bytes of randomness in an id.
RANDOM_BYTES: Final = 10

_FORM: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def new_ulid(at: datetime, randomness: bytes) -> str:
    """The id for an instant: 48 bits of milliseconds since 1970, then 80 random bits.

    Raises ValueError for a time without zone or outside the range, or another number of bytes.
    """
    if at.tzinfo is None:
        raise ValueError("a run id needs a time with a zone")
    if len(randomness) != RANDOM_BYTES:
        raise ValueError(f"a run id needs {RANDOM_BYTES} random bytes, not {len(randomness)}")
    elapsed = at - _EPOCH
    # Integers all the way: a float of seconds would round the millisecond.
    milliseconds = (elapsed.days * 86_400 + elapsed.seconds) * 1000 + elapsed.microseconds // 1000
    if not 0 <= milliseconds < 2**48:
        raise ValueError(f"{at} is outside what a run id can hold")
    number = (milliseconds << 80) | int.from_bytes(randomness, "big")
    return "".join(ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


def is_ulid(text: str) -> bool:
    """Whether the text is an id in its canonical form: upper case, 26 characters."""
    return _FORM.fullmatch(text) is not None
