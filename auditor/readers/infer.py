"""One type per text column: the narrowest that every value of every file fits without loss.

A file is read once; what each column could be is a set of candidates that only shrinks, so files
can be looked at in any order and the sets intersected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

#: Mean "no value" in a column of numbers, dates or booleans; in a text column they are text.
NULL_WORDS: Final = pa.array(["", "NA", "N/A", "#N/A", "null", "NULL", "None"])
_BOOLEANS: Final = pa.array(["true", "false", "True", "False", "TRUE", "FALSE"])
#: From here on a float64 no longer holds every integer.
_LONG: Final = 1e15


def _casts(values: Any, type_: pa.DataType) -> bool:
    try:
        pc.cast(values, type_)
    except pa.ArrowInvalid:
        return False
    return True


def _any(mask: Any) -> bool:
    return bool(pc.any(mask).as_py())


def _fits_bool(values: Any) -> bool:
    return bool(pc.all(pc.is_in(values, _BOOLEANS)).as_py())


def _fits_int(values: Any) -> bool:
    try:
        numbers = pc.cast(values, pa.int64())
    except pa.ArrowInvalid:
        return False
    return not _spelt_oddly(values, numbers)


def _fits_float(values: Any) -> bool:
    try:
        numbers = pc.cast(values, pa.float64())
    except pa.ArrowInvalid:
        return False
    if _spelt_oddly(values, numbers):
        return False
    beyond = pc.or_(pc.greater_equal(numbers, _LONG), pc.less_equal(numbers, -_LONG))
    large = pc.filter(values, beyond)
    if _any(pc.match_substring_regex(large, r"^-?\d+$")):
        return False
    infinite = pc.filter(values, pc.is_inf(numbers))
    return not _any(pc.invert(pc.match_substring_regex(infinite, "^-?[iI]")))


def _spelt_oddly(values: Any, numbers: Any) -> bool:
    """A plus sign, leading zeros or hexadecimal: an id or a telephone number, not a quantity."""
    zero_first = pc.or_(pc.starts_with(values, "0"), pc.starts_with(values, "-0"))
    whole = pc.or_(pc.greater_equal(numbers, 1), pc.less_equal(numbers, -1))
    if _any(pc.and_(zero_first, whole)):
        return True
    return any(_any(pc.starts_with(values, prefix)) for prefix in ("+", "00", "-00", "0x", "0X"))


def _fits(type_: pa.DataType) -> Callable[[Any], bool]:
    return lambda values: _casts(values, type_)


#: Name, type and test of every candidate, best first. A column that fits none is text.
CANDIDATES: Final[Mapping[str, tuple[pa.DataType, Callable[[Any], bool]]]] = {
    "bool": (pa.bool_(), _fits_bool),
    "int64": (pa.int64(), _fits_int),
    "float64": (pa.float64(), _fits_float),
    "date": (pa.date32(), _fits(pa.date32())),
    "timestamp": (pa.timestamp("us"), _fits(pa.timestamp("us"))),
    "timestamp ns": (pa.timestamp("ns"), _fits(pa.timestamp("ns"))),
    "timestamp UTC": (pa.timestamp("us", "UTC"), _fits(pa.timestamp("us", "UTC"))),
    "timestamp ns UTC": (pa.timestamp("ns", "UTC"), _fits(pa.timestamp("ns", "UTC"))),
}


@dataclass(slots=True)
class Column:
    """What one column of one file could be.

    `seen`: values that are not null. `odd`: 0-based row of the first value that fitted nothing,
    and the candidate that all values before it fitted.
    """

    alive: list[str] = field(default_factory=lambda: list(CANDIDATES))
    seen: int = 0
    odd: tuple[int, str] | None = None

    def narrow(self, values: Any, first_row: int) -> None:
        """Drop the candidates that `values` (strings) do not fit."""
        if not self.alive:
            return
        present = pc.drop_null(values)
        left = self._fitting(present) if self.seen else []  # first look: words decide
        if not left:
            words = as_words(values)
            present = pc.drop_null(words)
            left = self._fitting(present)
            if not left:
                self._give_up(present, pc.indices_nonzero(pc.is_valid(words)), first_row)
        self.alive = left
        self.seen += len(present)

    def _fitting(self, present: Any) -> list[str]:
        """The candidates that still hold; a short integer is a float without asking again."""
        left: list[str] = []
        for name in self.alive:
            implied = name == "float64" and "int64" in left and not _long(present)
            if implied or CANDIDATES[name][1](present):
                left.append(name)
        return left

    def _give_up(self, present: Any, rows: Any, first_row: int) -> None:
        """Remember where the type broke, unless the very first value was text already."""
        good, bad = 0, len(present)  # the first `good` values fit a candidate, the first `bad` none
        while bad - good > 1:
            middle = (good + bad) // 2
            if any(CANDIDATES[name][1](present[:middle]) for name in self.alive):
                good = middle
            else:
                bad = middle
        if self.seen or good:
            fitted = (n for n in self.alive if good == 0 or CANDIDATES[n][1](present[:good]))
            self.odd = (first_row + rows[bad - 1].as_py(), next(fitted))


def _long(integers: Any) -> bool:
    """Whether a text of digits is long enough to be more than a float64 holds."""
    return (pc.max(pc.binary_length(integers)).as_py() or 0) > 15


def as_words(values: Any) -> Any:
    """Strings without surrounding blanks, and with the words for "no value" as nulls."""
    values = pc.utf8_trim_whitespace(values)
    return pc.if_else(pc.is_in(values, NULL_WORDS), pa.scalar(None, pa.string()), values)


def chosen(columns: list[Column]) -> pa.DataType:
    """The type of one column over all files: string where nothing else fits or nothing is there."""
    if not any(column.seen for column in columns):
        return pa.string()
    fitting = (n for n in CANDIDATES if all(n in column.alive for column in columns))
    name = next(fitting, None)
    return CANDIDATES[name][0] if name else pa.string()


def convert(values: Any, type_: pa.DataType) -> Any:
    """Strings as `type_`; text stays what it is.

    Raises:
        pa.ArrowInvalid: a value does not fit, so the file changed between the passes.
    """
    if pa.types.is_string(type_):
        return values
    try:
        return pc.cast(values, type_)
    except pa.ArrowInvalid:
        return pc.cast(as_words(values), type_)
