"""Expectation suites: plain JSON in, judged expectations out; and the way back.

    {"name": "diamonds",
     "expectations": [{"type": "expect_column_values_to_be_between",
                       "kwargs": {"column": "carat", "min_value": 0, "max_value": 6},
                       "severity": "warning", "meta": {"observed": "0.2 to 3.65"}}]}

Great Expectations drops what it does not know and calls an empty suite a success. So the loader
fails closed: whatever cannot be evaluated for certain is a `ConfigError` here, not silence later.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import rfc8785

from auditor.errors import ConfigError
from auditor.suites.arguments import refuse_arguments
from auditor.suites.known import KNOWN

#: Every expectation type of the pinned Great Expectations, sorted.
KNOWN_TYPES: Final = tuple(KNOWN)
SEVERITIES: Final = ("critical", "warning", "info")
#: Why a type that exists is not accepted.
REFUSED: Final[Mapping[str, str]] = {
    "expect_query_results_to_match_comparison": "it runs a query of its own",
    "expect_table_row_count_to_equal_other_table": "there is no other table",
    "unexpected_rows_expectation": "it runs a query of its own",
    "expect_column_values_to_match_like_pattern": "LIKE needs a database; use a regex",
    "expect_column_values_to_match_like_pattern_list": "LIKE needs a database; use a regex",
    "expect_column_values_to_not_match_like_pattern": "LIKE needs a database; use a regex",
    "expect_column_values_to_not_match_like_pattern_list": "LIKE needs a database; use a regex",
}
_MOST_BYTES: Final = 4 << 20
_SUITE_KEYS: Final = frozenset({"name", "expectations", "meta", "id", "notes"})
_KEYS: Final = frozenset({"type", "kwargs", "severity", "meta", "id", "notes", "description"})
#: Arguments that name columns which must be there. Those of the table as a whole may be missing:
#: that is what they are about.
_COLUMN_ARGUMENTS: Final = ("column", "column_A", "column_B", "column_list")


def load(path: Path | str) -> tuple[Mapping[str, Any], ...]:
    """The expectations of a suite file, in its order, each known and evaluable.

    Raises `ConfigError` that names the file and the place: not JSON, a key twice, NaN, an empty
    suite, an unknown type or argument, an expectation that could not fail or not be evaluated.
    """
    where = str(path)
    suite = _parse(_read(Path(path)), where)
    if not isinstance(suite, dict):
        raise ConfigError(f"{where}: a suite is an object with name and expectations")
    _refuse_keys(suite, _SUITE_KEYS, where)
    if not isinstance(suite.get("name"), str) or not suite["name"]:
        raise ConfigError(f"{where}: name: a suite has a name")
    expectations = suite.get("expectations")
    if not isinstance(expectations, list):
        raise ConfigError(f"{where}: expectations: a list is needed")
    return judge(expectations, where)


def judge(expectations: Sequence[object], where: str) -> tuple[Mapping[str, Any], ...]:
    """The expectations, with the severity filled in, or `ConfigError`. `where` names their home."""
    if not expectations:
        raise ConfigError(f"{where}: the suite is empty; an empty suite would accept everything")
    return tuple(_judged(e, f"{where}: expectations[{i}]") for i, e in enumerate(expectations))


def digest(expectations: Sequence[Mapping[str, Any]]) -> str:
    """Lowercase hex sha256 of the expectations in canonical JSON (RFC 8785)."""
    try:
        return hashlib.sha256(rfc8785.dumps([dict(e) for e in expectations])).hexdigest()
    except rfc8785.CanonicalizationError as error:
        raise ConfigError(f"suite: a value has no canonical JSON form: {error}") from error


def to_json(name: str, expectations: Sequence[Mapping[str, Any]]) -> str:
    """A suite file as text, one expectation a line, so that a person can read and diff it."""
    lines = ",\n".join(f"    {json.dumps(dict(e), ensure_ascii=False)}" for e in expectations)
    title = json.dumps(name, ensure_ascii=False)
    return f'{{\n  "name": {title},\n  "expectations": [\n{lines}\n  ]\n}}\n'


def columns_of(expectation: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns that an expectation reads, in order, each once."""
    kwargs = expectation["kwargs"]
    if str(expectation["type"]).startswith("expect_table_"):
        return ()
    named: list[str] = []
    for argument in _COLUMN_ARGUMENTS:
        value = kwargs.get(argument, ())
        named.extend([value] if isinstance(value, str) else value)
    return tuple(dict.fromkeys(named))


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ConfigError(f"{path}: larger than {_MOST_BYTES} bytes; this is not a suite")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from error


def _parse(text: str, where: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        place = f"{where}:{error.lineno}:{error.colno}"
        raise ConfigError(f"{place}: not JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not a suite: {error}") from error


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
        raise ValueError(f"the key {twice!r} is there twice")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _refuse_keys(found: Mapping[str, object], allowed: frozenset[str], where: str) -> None:
    for key in found:
        if key not in allowed:
            raise ConfigError(f"{where}: {key!r} is not a key here{_nearest(key, sorted(allowed))}")


def _judged(expectation: object, where: str) -> Mapping[str, Any]:
    if not isinstance(expectation, Mapping):
        raise ConfigError(f"{where}: an expectation is an object with type and kwargs")
    _refuse_keys(expectation, _KEYS, where)
    kind = expectation.get("type")
    if not isinstance(kind, str) or kind not in KNOWN:
        hint = _nearest(str(kind), KNOWN_TYPES)
        raise ConfigError(f"{where}.type: {kind!r} is not a known expectation{hint}")
    if kind in REFUSED:
        raise ConfigError(f"{where}.type: {kind} is not accepted: {REFUSED[kind]}")
    severity = expectation.get("severity") or "critical"  # the default of Great Expectations
    if severity not in SEVERITIES:
        raise ConfigError(f"{where}.severity: {severity!r} is none of {', '.join(SEVERITIES)}")
    kwargs = expectation.get("kwargs")
    if not isinstance(kwargs, Mapping):
        raise ConfigError(f"{where}.kwargs: an object is needed")
    refuse_arguments(kind, kwargs, f"{where}.kwargs")
    return {**expectation, "severity": severity}


def _nearest(name: str, names: Sequence[str]) -> str:
    """`; did you mean X?` where something is close, else nothing."""
    close = get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]}?" if close else ""
