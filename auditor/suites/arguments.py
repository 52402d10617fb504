"""What the arguments of one expectation must be, so that it can be evaluated and can fail."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from auditor.errors import ConfigError
from auditor.suites.known import KNOWN

#: Arguments that exist but would evaluate expressions, or overrule how we ask.
_REFUSED: Final[Mapping[str, str]] = {
    "row_condition": "expressions over rows are not evaluated here",
    "condition_parser": "expressions over rows are not evaluated here",
    "result_format": "the audit sets it",
    "catch_exceptions": "the audit sets it",
    "batch_id": "the audit sets it",
    "windows": "there are no earlier results here",
}
_COLUMNS: Final = ("column", "column_A", "column_B")
_BOUNDS: Final = ("min_value", "max_value")
_LISTS: Final = ("value_set", "value_pairs_set", "regex_list", "type_list", "column_list")
_REGEXES: Final = ("regex", "regex_list")
#: Optional for Great Expectations, but without them the expectation is always met.
_NEEDED: Final[Mapping[str, str]] = {
    "expect_column_kl_divergence_to_be_less_than": "partition_object",
    "expect_column_values_to_be_in_type_list": "type_list",
    "expect_column_values_to_match_regex": "regex",
    "expect_table_columns_to_match_ordered_list": "column_list",
    "expect_table_columns_to_match_set": "column_set",
}


def refuse_arguments(kind: str, kwargs: Mapping[str, Any], where: str) -> None:
    """Raise `ConfigError` for arguments that `kind` does not take, lacks or cannot use.

    `kind` is a type in `KNOWN`; `where` is the place that the message names.
    """
    required, optional = KNOWN[kind]
    _refuse_names(kwargs, (*required, *optional), where)
    needed = (*required, _NEEDED[kind]) if kind in _NEEDED else required
    for name in needed:
        if kwargs.get(name) is None:
            raise ConfigError(f"{where}: {kind} needs {name}")
    bounds = [name for name in _BOUNDS if name in optional]
    if bounds and "partition_object" not in optional:
        _refuse_bounds([kwargs.get(name) for name in bounds], where)
    for name, value in kwargs.items():
        _refuse_value(name, value, f"{where}.{name}")


def _refuse_names(kwargs: Mapping[str, Any], allowed: tuple[str, ...], where: str) -> None:
    for name in kwargs:
        if name in _REFUSED:
            raise ConfigError(f"{where}.{name}: not accepted: {_REFUSED[name]}")
        if name not in allowed:
            close = get_close_matches(str(name), allowed, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigError(f"{where}.{name}: not an argument of this expectation{hint}")


def _refuse_bounds(bounds: list[Any], where: str) -> None:
    if all(bound is None for bound in bounds):
        raise ConfigError(f"{where}: without min_value or max_value this is always met")
    for bound in bounds:
        if isinstance(bound, bool) or not isinstance(bound, (int, float, str, type(None))):
            raise ConfigError(f"{where}: a bound is a number or a date-time, not {bound!r}")
    numbers = [bound for bound in bounds if isinstance(bound, (int, float))]
    if len(numbers) == 2 and numbers[0] > numbers[1]:
        raise ConfigError(f"{where}: min_value {numbers[0]} is above max_value {numbers[1]}")


def _refuse_value(name: str, value: Any, where: str) -> None:
    _refuse_references(value, where)
    if name == "mostly" and not _is_share(value):
        raise ConfigError(f"{where}: a share above 0 and at most 1, not {value!r}")
    if name in _COLUMNS and not (isinstance(value, str) and value):
        raise ConfigError(f"{where}: the name of a column, not {value!r}")
    if name in _LISTS and not (isinstance(value, list) and value):
        raise ConfigError(f"{where}: a list with something in it")
    if name == "column_list" and not all(isinstance(column, str) for column in value):
        raise ConfigError(f"{where}: a list of the names of columns")
    if name in _REGEXES:
        for regex in value if isinstance(value, list) else [value]:
            _refuse_regex(regex, where)


def _is_share(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value) and 0 < value <= 1


def _refuse_regex(regex: Any, where: str) -> None:
    try:
        re.compile(regex)
    except (re.error, TypeError) as error:
        raise ConfigError(f"{where}: not a regular expression: {error}") from error


def _refuse_references(value: Any, where: str) -> None:
    """No suite parameters (they stay unresolved) and no JSON schemas fetched from elsewhere."""
    if isinstance(value, Mapping):
        if "$PARAMETER" in value:
            raise ConfigError(f"{where}: suite parameters are not filled in here; write the value")
        target = value.get("$ref", "#")
        if not (isinstance(target, str) and target.startswith("#")):
            raise ConfigError(f"{where}: $ref may only point into the same schema")
        for inner in value.values():
            _refuse_references(inner, where)
    elif isinstance(value, list):
        for inner in value:
            _refuse_references(inner, where)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where}: {value} is not a usable number")
