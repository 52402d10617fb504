"""`report.json`: the direct image of a `Report`, its strict reader and its JSON Schema.

All three follow from the type hints of `auditor.report_records`, so they cannot drift apart. JSON
has no NaN and no infinities (RFC 8259): they are the strings "NaN", "Infinity" and "-Infinity".
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from auditor.errors import ConfigError
from auditor.formats.samples import without_values
from auditor.model import Effect, Family, Mode, Severity, Verdict
from auditor.report_records import Report

SCHEMA_VERSION: Final = 1
#: Bytes of a report that `loads` reads; the writer stays far below it.
LARGEST: Final = 64 * 2**20

_NOT_FINITE: Final = ("NaN", "Infinity", "-Infinity")
_CHOICES: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("Report", "verdict"): tuple(Verdict),
    ("Report", "mode"): tuple(Mode),
    ("RuleRecord", "status"): ("ran", "skipped", "failed"),
    ("RuleRecord", "effect"): tuple(Effect),
    ("RuleRecord", "family"): tuple(Family),
    ("FindingRecord", "effect"): tuple(Effect),
    ("FindingRecord", "family"): tuple(Family),
    ("FindingRecord", "severity"): tuple(Severity),
}
_PLAIN: Final = {str: "string", int: "integer", bool: "boolean", type(None): "null"}


def render(report: Report, *, no_samples: bool = False) -> str:
    """Return `report.json`: fields in the order of the model, ASCII only, one trailing newline."""
    return dumps(without_values(report) if no_samples else report)


def dumps(report: Report) -> str:
    """Return the report as JSON.

    ASCII keeps control and bidirectional characters of the batch out of a terminal that shows it.

    Raises:
        TypeError: a setting is not a plain value.
    """
    return json.dumps(_plain(report), indent=2, allow_nan=False) + "\n"


def _plain(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {_name(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"a report holds plain values only, not {type(value).__name__}")


def _name(key: object) -> str:
    if isinstance(key, str):
        return key
    raise TypeError(f"a report holds names of type str only, not {type(key).__name__}")


def loads(raw: bytes) -> Report:
    """Read `report.json`: every field present or defaulted, none unknown, every type right.

    Raises:
        ConfigError: not a report of this schema version; the message names the place.
    """
    parsed = _parsed(raw)
    version = parsed.get("schema_version") if isinstance(parsed, dict) else None
    if type(version) is not int or version != SCHEMA_VERSION:
        shown = repr(version)[:40]
        raise ConfigError(f"report: schema_version {shown}, this version reads {SCHEMA_VERSION}")
    report = _read(Report, parsed, "report")
    assert isinstance(report, Report)
    return report


def _parsed(raw: bytes) -> Any:
    if len(raw) > LARGEST:
        raise ConfigError(f"report: {len(raw)} bytes, at most {LARGEST} are read")
    try:
        text = raw.decode("utf-8")
        return json.loads(text, object_pairs_hook=_once, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"report: not valid JSON: {str(error)[:200]}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return found


def _constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _read(kind: Any, value: Any, where: str) -> Any:
    """Return `value` as `kind`, one of the few shapes that the model uses."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _read_union(kind, value, where)
    if origin is tuple:
        return _read_tuple(get_args(kind), value, where)
    if origin is Mapping:
        return _read_mapping(get_args(kind)[1], value, where)
    if is_dataclass(kind):
        return _read_record(kind, value, where)
    if kind is float:
        return _read_float(value, where)
    if kind is not object and type(value) is not kind:
        raise _wrong(kind, value, where)
    return value


def _wrong(kind: Any, value: Any, where: str) -> ConfigError:
    wanted = getattr(kind, "__name__", str(kind))
    return ConfigError(f"{where[:200]}: {type(value).__name__} where {wanted} is expected")


def _read_union(kind: Any, value: Any, where: str) -> Any:
    options = get_args(kind)
    if value is None and type(None) in options:
        return None
    rest = [option for option in options if option is not type(None)]
    if len(rest) == 1:
        return _read(rest[0], value, where)
    if type(value) not in rest:
        raise _wrong(kind, value, where)
    return value


def _read_tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _wrong(list, value, where)
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise ConfigError(f"{where[:200]}: {len(value)} items where {len(kinds)} are expected")
    pairs = zip(kinds, value, strict=True)
    return tuple(_read(kind, item, f"{where}[{at}]") for at, (kind, item) in enumerate(pairs))


def _read_mapping(kind: Any, value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(dict, value, where)
    return {name: _read(kind, item, f"{where}.{name[:60]}") for name, item in value.items()}


def _read_record(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise _wrong(dict, value, where)
    known = {field.name: field for field in fields(kind)}
    missing = {name for name, field in known.items() if _required(field)} - value.keys()
    for problem, names in (("missing", missing), ("unknown", value.keys() - known.keys())):
        if names:
            raise ConfigError(f"{where[:200]}: {problem} {sorted(names)[0][:60]!r}")
    hints = _hints(kind)
    read = {name: _read(hints[name], item, f"{where}.{name}") for name, item in value.items()}
    for name, item in read.items():
        allowed = _CHOICES.get((kind.__name__, name))
        if allowed and item not in allowed:
            raise ConfigError(f"{where}.{name}: {item[:40]!r} is none of {', '.join(allowed)}")
    return kind(**read)


def _read_float(value: Any, where: str) -> float:
    if value in _NOT_FINITE or (isinstance(value, int | float) and not isinstance(value, bool)):
        try:
            return float(value)
        except OverflowError as error:
            raise ConfigError(f"{where[:200]}: the number is too large") from error
    raise _wrong(float, value, where)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of `report.json`."""
    definitions: dict[str, Any] = {}
    reference = _schema(Report, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:auditor:schema:report:{SCHEMA_VERSION}",
        "title": "auditor report",
        **reference,
        "$defs": dict(sorted(definitions.items())),
    }


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(option, definitions) for option in args]}
    if origin is tuple and args[-1] is Ellipsis:
        return {"type": "array", "items": _schema(args[0], definitions)}
    if origin is tuple:
        items = [_schema(item, definitions) for item in args]
        return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _schema(args[1], definitions)}
    if is_dataclass(kind):
        return _record_schema(kind, definitions)
    if kind is float:
        return {"anyOf": [{"type": "number"}, {"enum": list(_NOT_FINITE)}]}
    return {} if kind is object else {"type": _PLAIN[kind]}


def _record_schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    name = kind.__name__
    if name not in definitions:
        definitions[name] = {}  # before the fields, in case a record holds itself
        hints = _hints(kind)
        definitions[name] = {
            "description": " ".join((kind.__doc__ or "").split()),
            "type": "object",
            "additionalProperties": False,
            "required": [field.name for field in fields(kind) if _required(field)],
            "properties": {
                field.name: _field_schema(name, field.name, hints[field.name], definitions)
                for field in fields(kind)
            },
        }
    return {"$ref": f"#/$defs/{name}"}


def _field_schema(record: str, name: str, kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if (record, name) == ("Report", "schema_version"):
        return {"const": SCHEMA_VERSION}
    allowed = _CHOICES.get((record, name))
    return {"enum": [str(item) for item in allowed]} if allowed else _schema(kind, definitions)
