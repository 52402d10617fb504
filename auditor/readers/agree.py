"""One schema over all files of a batch: what most files have; the others are named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

import pyarrow as pa

from auditor.readers.infer import CANDIDATES, Column, chosen
from auditor.readers.limits import plain

_NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"
_UNITS: Final = ("s", "ms", "us", "ns")


@dataclass(slots=True)
class Survey:
    """What a first look at one file found.

    `types` are its own (for CSV: nothing yet, its columns are in `text`), `folders` the values
    that `key=value` folders give to all its rows.
    """

    index: int
    format: str
    names: tuple[str, ...]
    types: Mapping[str, pa.DataType] = field(default_factory=dict)
    text: Mapping[str, Column] = field(default_factory=dict)
    folders: Mapping[str, str | None] = field(default_factory=dict)
    rows: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def all_names(self) -> frozenset[str]:
        """Columns in the file and from its folders."""
        return frozenset(self.names) | frozenset(self.folders)


@dataclass(frozen=True, slots=True)
class Agreement:
    """The schema of the batch, and the files (by index) that do not fit it, with the reason."""

    schema: pa.Schema
    refused: Mapping[int, str]


def hive_folders(name: str) -> dict[str, str | None]:
    """The `key=value` folders of a relative POSIX name, percent-decoded."""
    pairs = (part.split("=", 1) for part in name.split("/")[:-1] if "=" in part[1:])
    return {unquote(k): None if v == _NO_VALUE else unquote(v) for k, v in pairs}


def agree(surveys: Sequence[Survey]) -> Agreement:
    """Vote on the names, then on the type of each column; ties go to the earlier file."""
    if not surveys:
        return Agreement(pa.schema([]), {})
    names = Counter(survey.all_names for survey in surveys).most_common(1)[0][0]
    leader = next(survey for survey in surveys if survey.all_names == names)
    refused = {s.index: _difference(names, s) for s in surveys if s.all_names != names}
    same = [survey for survey in surveys if survey.index not in refused]
    fields: list[tuple[str, pa.DataType]] = []
    for name in leader.names:
        type_, odd = _one_type(name, same)
        refused |= {index: reason for index, reason in odd.items() if index not in refused}
        fields.append((name, type_))
    fields += [(name, pa.string()) for name in leader.folders]
    return Agreement(pa.schema(fields), refused)


def _difference(names: frozenset[str], survey: Survey) -> str:
    missing, extra = names - survey.all_names, survey.all_names - names
    parts = [f"lacks {_listed(missing)}"] if missing else []
    parts += [f"has {_listed(extra)} in addition"] if extra else []
    return f"its columns differ from the other files: it {' and '.join(parts)}"


def _listed(names: frozenset[str]) -> str:
    shown = ", ".join(plain(name, 40) for name in sorted(names)[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def _one_type(name: str, surveys: Sequence[Survey]) -> tuple[pa.DataType, dict[int, str]]:
    """The type of one column, and the files that cannot have it."""
    typed = [(s, _voted(name, s, surveys)) for s in surveys if s.format != "csv"]
    texts = [s for s in surveys if s.format == "csv"]
    votes = Counter(_family(t) for _, t in typed if not pa.types.is_null(t))
    if not votes:
        type_ = chosen([s.text[name] for s in texts])
        _note_text(name, type_, surveys)
        return type_, {}
    family = votes.most_common(1)[0][0]
    fits = {family, "null"}
    odd = {s.index: _other(name, t, family) for s, t in typed if _family(t) not in fits}
    types = [type_ for _, type_ in typed if _family(type_) == family]
    for survey in texts:
        own = _as_family(survey.text[name], family)
        if own is None:
            odd[survey.index] = f"column {plain(name)} is not a {family} as in the other files"
        else:
            types.append(own)
    type_ = _widest([t for t in types if not pa.types.is_null(t)])
    _note_widened(name, type_, typed, odd)
    return type_, odd


def _voted(name: str, survey: Survey, surveys: Sequence[Survey]) -> pa.DataType:
    """A file's own type. In JSON a time is text that looks like one: text, if any file says so."""
    type_ = survey.types[name]
    if survey.format != "json lines" or not pa.types.is_timestamp(type_):
        return type_
    others = (s.types[name] for s in surveys if s.format != "csv")
    return pa.string() if any(map(pa.types.is_string, others)) else type_


def _other(name: str, type_: pa.DataType, family: str) -> str:
    return f"column {plain(name)} is {type_}, in the other files it is {family}"


def _family(type_: pa.DataType) -> str:
    """Types that widen into each other share a family."""
    if pa.types.is_integer(type_) or pa.types.is_floating(type_):
        return "number"
    if pa.types.is_timestamp(type_):
        return f"timestamp[{type_.tz or 'no zone'}]"
    return str(type_)


def _widest(types: Sequence[pa.DataType]) -> pa.DataType:
    first = types[0]
    if all(type_.equals(first) for type_ in types):
        return first
    if pa.types.is_timestamp(first):
        return pa.timestamp(max((t.unit for t in types), key=_UNITS.index), first.tz)
    return pa.float64() if any(map(pa.types.is_floating, types)) else pa.int64()


def _as_family(column: Column, family: str) -> pa.DataType | None:
    """The type of a family that text cells fit: null where any will do, None where none does."""
    if not column.seen:
        return pa.null()
    if family == "string":
        return pa.string()
    types = (CANDIDATES[name][0] for name in column.alive)
    return next((type_ for type_ in types if _family(type_) == family), None)


def _note_widened(
    name: str,
    type_: pa.DataType,
    typed: Sequence[tuple[Survey, pa.DataType]],
    odd: Mapping[int, str],
) -> None:
    for survey, own in typed:
        if survey.index not in odd and not own.equals(type_) and not pa.types.is_null(own):
            survey.notes.append(f"column {plain(name)}: {own} is read as {type_}")


def _note_text(name: str, type_: pa.DataType, surveys: Sequence[Survey]) -> None:
    """Say where a column is text for want of something better."""
    if not pa.types.is_string(type_):
        return
    columns = [(s, s.text[name]) for s in surveys if name in s.text]
    if not any(column.seen for _, column in columns):
        surveys[0].notes.append(f"column {plain(name)} holds no value and is read as text")
    typed = any(column.seen and column.alive for _, column in columns)
    for survey, column in columns:
        if typed and not column.alive and not column.odd:
            survey.notes.append(f"column {plain(name)} is text here, so it is text in all files")
