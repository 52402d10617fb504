"""A first suite from trusted rows: what a person would keep after reading it.

Types, sets of few values, ranges with slack, null rates, unique ids. Nothing for what is free to
change (new contributors, later times) and no set that tomorrow's value would break.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from auditor.batch import Roles

#: A column is a set when it has at most this many values and hardly any was seen only once.
MOST_VALUES: Final = 50
#: Good-Turing: the share of values seen once estimates the chance that the next one is new
#: (Good, The Population Frequencies of Species, Biometrika 40, 1953).
MOST_UNSEEN: Final = 0.001
#: Labels are closed classes: one that was never seen is what we want to hear of.
MOST_CLASSES: Final = 1000
#: Ranges reach this share of the middle 98 % beyond the extremes that were seen, or as far as the
#: extreme lies beyond the middle: what has a long tail will be surpassed by more.
SLACK: Final = 0.5
#: Null rates may double, and rise by this much: a batch is smaller than what was trusted.
NULL_SLACK: Final = 0.02
#: Fewer rows than these say nothing about ranges and sets.
FEWEST_ROWS: Final = 30

Expectation = Mapping[str, Any]


def infer(table: pa.Table, roles: Roles) -> tuple[Expectation, ...]:
    """Expectations that `table` meets, column by column in its order.

    Only columns with the role id, label, feature, text, contributor or timestamp are looked at.
    A table of fewer than `FEWEST_ROWS` rows yields types and ids, no ranges and sets.
    """
    found: list[Expectation] = []
    for name in table.column_names:
        values = _plain(table[name])
        if name in roles.columns("id"):
            found.extend(_id(name, values))
        elif name == roles.label:
            found.extend(_label(name, values))
        elif name in roles.features:
            found.extend(_feature(name, values))
        elif name in (*roles.columns("contributor"), *roles.columns("timestamp")):
            found.extend(_nulls(name, values))
        elif name in roles.columns("text"):
            found.extend((*_type(name, values), *_nulls(name, values)))
    return tuple(found)


def _id(name: str, values: pa.ChunkedArray) -> Iterator[Expectation]:
    if values.null_count == 0:
        yield _expect("not_be_null", name, "critical")
    if _settable(values.type) and _distinct(values) == len(values) - values.null_count:
        yield _expect("be_unique", name, "critical", observed=f"unique in {len(values)} rows")


def _label(name: str, values: pa.ChunkedArray) -> Iterator[Expectation]:
    yield from _type(name, values)
    yield from _nulls(name, values)
    if pa.types.is_floating(values.type):
        yield from _range(name, values)
    elif len(values) >= FEWEST_ROWS and _settable(values.type) and _classes(values):
        yield _set(name, values, "critical")


def _feature(name: str, values: pa.ChunkedArray) -> Iterator[Expectation]:
    yield from _type(name, values)
    yield from _nulls(name, values)
    if len(values) < FEWEST_ROWS or values.null_count == len(values):
        return
    if _settable(values.type) and _closed(values):
        yield _set(name, values, "warning")
    else:
        yield from _range(name, values)


def _type(name: str, values: pa.ChunkedArray) -> Iterator[Expectation]:
    """Whole numbers may come where reals are expected (a CSV of whole numbers), not vice versa."""
    kind = values.type
    if pa.types.is_floating(kind):
        yield _expect("be_in_type_list", name, "critical", type_list=["float64", "int64"])
    elif pa.types.is_integer(kind):
        yield _expect("be_of_type", name, "critical", type_="int64")
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        yield _expect("be_of_type", name, "critical", type_="str")
    elif pa.types.is_boolean(kind):
        yield _expect("be_of_type", name, "critical", type_="bool")


def _nulls(name: str, values: pa.ChunkedArray) -> Iterator[Expectation]:
    rows = len(values)
    if rows == 0:
        return
    missing = pc.sum(pc.is_null(values, nan_is_null=True)).as_py()
    least = math.floor((1 - 2 * missing / rows - NULL_SLACK) * 100) / 100
    if missing == 0:
        yield _expect("not_be_null", name, "critical")
    elif least > 0:
        rate = f"{missing / rows:.2%} null"
        yield _expect("not_be_null", name, "warning", observed=rate, mostly=least)


def _closed(values: pa.ChunkedArray) -> bool:
    """Few values, seen often: a value that was never seen would be news."""
    counts = pc.value_counts(values.combine_chunks().drop_null()).field("counts")
    if len(counts) > MOST_VALUES:
        return False
    once = pc.sum(pc.equal(counts, 1)).as_py() or 0
    return bool(once <= MOST_UNSEEN * len(values))


def _classes(values: pa.ChunkedArray) -> bool:
    return 0 < _distinct(values) <= MOST_CLASSES


def _distinct(values: pa.ChunkedArray) -> int:
    return int(pc.count_distinct(values, mode="only_valid").as_py())


def _settable(kind: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer)
    return any(is_kind(kind) for is_kind in tests)


def _set(name: str, values: pa.ChunkedArray, severity: str) -> Expectation:
    found = sorted(pc.unique(values).drop_null().to_pylist())
    return _expect("be_in_set", name, severity, value_set=found)


def _range(name: str, values: pa.ChunkedArray) -> Iterator[Expectation]:
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        return
    whole = pa.types.is_integer(values.type)
    numbers = values.cast(pa.float64(), safe=False).drop_null()
    numbers = numbers.filter(pc.is_finite(numbers))
    if len(numbers) < FEWEST_ROWS:
        return
    low, q01, q99, high = pc.quantile(numbers, q=[0, 0.01, 0.99, 1]).to_pylist()
    if low == high:
        return  # one value says nothing about how far others may go
    slack = SLACK * ((q99 - q01) or (high - low))
    below, above = max(slack, q01 - low), max(slack, high - q99)
    least, most = _rounded(low - below, high + above, slack, whole)
    least = 0 if low >= 0 >= least else least  # what was never negative stays so
    most = 0 if high <= 0 <= most else most
    seen = f"{low:g} to {high:g} in {len(values)} rows"
    yield _expect("be_between", name, "warning", observed=seen, min_value=least, max_value=most)


def _rounded(low: float, high: float, slack: float, whole: bool) -> tuple[float, float]:
    """Outwards to a tenth of the slack's power of ten: numbers that a person would write."""
    places = 1 - math.floor(math.log10(slack))
    places = min(places, 0) if whole else places
    unit = 10.0**-places
    least, most = math.floor(low / unit) * unit, math.ceil(high / unit) * unit
    if places <= 0:
        return int(least), int(most)
    return round(least, places), round(most, places)


def _expect(
    what: str, column: str, severity: str, observed: str | None = None, **arguments: Any
) -> Expectation:
    found: dict[str, Any] = {
        "type": f"expect_column_values_to_{what}",
        "kwargs": {"column": column, **arguments},
        "severity": severity,
    }
    return {**found, "meta": {"observed": observed}} if observed else found


def _plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values
