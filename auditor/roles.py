"""Who plays which role among the columns: guessed from names and a sample, with reasons.

A guess is only ever a default: every one is printed with its reason and can be overridden by flag
or in `auditor.yaml`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from auditor.batch import Roles
from auditor.column_statistics import ColumnStatistics, Statistics
from auditor.errors import ConfigError
from auditor.report_records import RoleRecord

_IGNORED: Final = "ignored"
#: Share of distinct values from which a column tells rows apart; that of an id is 1.
_MOSTLY_DISTINCT: Final = 0.5
#: Mean length, in characters, above which strings are prose and not categories.
_TEXT_LENGTH: Final = 40.0
#: A category may have this many values however few rows there are.
_FEW_VALUES: Final = 50
#: Roles that one column plays; the first that fits wins, the others stay features or ignored.
_SINGLE: Final = frozenset({"label", "contributor", "annotator", "source", "timestamp", "weight"})


# --- rules, in order ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Column:
    """A column as the rules see it; `words` are the lower-case parts of its name."""

    name: str
    words: tuple[str, ...]
    type: pa.DataType
    statistics: ColumnStatistics

    @property
    def is_text(self) -> bool:
        return bool(pa.types.is_string(self.type))

    @property
    def is_number(self) -> bool:
        return any(
            matches(self.type)
            for matches in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
        )

    @property
    def whole(self) -> str:
        """The name in lower case with underscores: `userId` and `user-id` are `user_id`."""
        return "_".join(self.words)

    @property
    def last(self) -> str:
        """The last word of the name, empty where there is none."""
        return self.words[-1] if self.words else ""


_Rule = Callable[[_Column], str | None]


def _called(*names: str) -> _Rule:
    wanted = frozenset(names)
    return lambda column: f"it is called {column.whole}" if column.whole in wanted else None


#: A column of this name is the label; a column whose name only ends so is, if there is no such.
_LABELS: Final = ("label", "labels", "target", "class", "y", "outcome", "ground_truth")
_LABEL_ENDINGS: Final = frozenset({"label", "target", "class", "outcome"})
_CONTRIBUTOR: Final = _called(
    *("contributor", "contributor_id", "submitter", "submitter_id", "user", "user_id", "username"),
    *(
        "worker",
        "worker_id",
        "author",
        "author_id",
        "uploader",
        "uploader_id",
        "sender",
        "sender_id",
    ),
    *("vendor", "vendor_id", "client_id", "account_id", "reviewer", "reviewer_id"),
)
_ANNOTATOR: Final = _called("annotator", "annotator_id", "labeler", "labeller", "rater", "rater_id")
_SOURCE: Final = _called("source", "source_id", "data_source", "origin", "provider", "feed")
_WEIGHT: Final = _called("sample_weight", "instance_weight", "row_weight", "example_weight")
_SLICE: Final = _called("slice", "split", "fold")
_VECTORS: Final = frozenset({"embedding", "embeddings", "activation", "activations"})
_TIMES: Final = frozenset({"timestamp", "time", "date", "datetime", "at", "ts", "day"})
_IDS: Final = frozenset({"id", "uuid", "guid", "key", "rowid", "index", "index_level_0", "pk"})


def _timestamp(column: _Column) -> str | None:
    if _is_time(column.type):
        return f"its type is {column.type}"
    if column.last in _TIMES and column.is_text and column.statistics.parses_as_time:
        return f"it is called {column.whole} and holds dates"
    return None


def _is_time(type_: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(type_) or pa.types.is_date(type_))


def _id(column: _Column) -> str | None:
    unique = column.statistics.values > 0 and column.statistics.distinct_share == 1.0
    named = column.whole in _IDS or column.last in _IDS
    if named and unique and not pa.types.is_floating(column.type):
        return f"it is called {column.whole} and no value occurs twice"
    return None


def _text(column: _Column) -> str | None:
    seen = column.statistics
    prose = seen.mean_length > _TEXT_LENGTH and seen.distinct_share > _MOSTLY_DISTINCT
    if not (column.is_text and prose):
        return None
    return (
        f"its strings are long ({seen.mean_length:.0f} characters in the mean) and mostly distinct"
    )


def _embedding(column: _Column) -> str | None:
    lists = pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type)
    if not lists or not pa.types.is_floating(column.type.value_type):
        return None
    return f"it is called {column.whole} and holds lists" if column.last in _VECTORS else None


def _nested(column: _Column) -> str | None:
    return "it is nested, and no embedding" if pa.types.is_nested(column.type) else None


def _unusable(column: _Column) -> str | None:
    seen = column.statistics
    if not seen.values:
        return "it holds no value"
    if _is_time(column.type) or pa.types.is_temporal(column.type):
        return "it holds times, and another column is the timestamp already"
    if column.last == "id" and not column.is_text:
        return "it is called an id but its values repeat: a key, not a quantity"
    many = seen.distinct > _FEW_VALUES and seen.distinct_share > _MOSTLY_DISTINCT
    if column.is_text and many:
        return "its strings are short and mostly distinct: no id, no category"
    return None if column.is_text or _is_plain(column) else f"it holds {column.type}"


def _is_plain(column: _Column) -> bool:
    return column.is_number or bool(pa.types.is_boolean(column.type))


def _feature(column: _Column) -> str | None:
    if column.is_number:
        return "it holds numbers"
    if pa.types.is_boolean(column.type):
        return "it holds true and false"
    return "it holds categories"


#: Role and rule, first match wins. An id before a contributor: a unique `user_id` names rows.
#: What is nested comes first: whatever it is called, it tells nobody apart.
_RULES: Final[tuple[tuple[str, _Rule], ...]] = (
    ("embedding", _embedding),
    (_IGNORED, _nested),
    ("id", _id),
    ("contributor", _CONTRIBUTOR),
    ("annotator", _ANNOTATOR),
    ("source", _SOURCE),
    ("slice", _SLICE),
    ("weight", _WEIGHT),
    ("timestamp", _timestamp),
    ("text", _text),
    (_IGNORED, _unusable),
    ("feature", _feature),
)


#: Every role that something reads; a site may give columns other ones as well.
KNOWN: Final = (*(role for role, _ in _RULES), "label")


def meant(role: str) -> str | None:
    """The known role that a misspelt one is close to; None for a known role or one of your own.

    A role that nobody reads would switch off, without a word, the rules that need the real one.
    """
    if role in KNOWN:
        return None
    close = difflib.get_close_matches(role, KNOWN, n=1, cutoff=0.75)
    return close[0] if close else None


@dataclass(frozen=True, slots=True)
class Trusted:
    """The roles that a baseline was built under, and the names of its columns."""

    roles: Roles
    columns: frozenset[str]


def infer_roles(
    schema: pa.Schema,
    statistics: Statistics,
    overrides: Mapping[str, str | Sequence[str]] | None = None,
    trusted: Trusted | None = None,
) -> tuple[Roles, tuple[RoleRecord, ...]]:
    """Roles of all columns of `schema`, and one record for each group with the same reason.

    `overrides` maps a role, known or not, to its columns; it wins over everything, also by
    giving a role to no column (an empty sequence). `trusted` decides about all roles that
    `overrides` does not name.

    Raises:
        ConfigError: an override names a missing column, or one column twice.
    """
    given = overrides or {}
    fixed = _fixed(schema, given)
    closed = set(given) - {"feature", _IGNORED}
    if trusted is not None:
        fixed |= _as_trusted(schema, trusted, set(fixed), closed=set(given) - {_IGNORED})
        closed |= set(trusted.roles.assigned) - {"feature", _IGNORED}
    columns = [_column(f, statistics[f.name]) for f in schema if f.name not in fixed]
    found = dict(fixed)
    label = None if "label" in closed else _label(columns)
    for column in columns:
        role, reason = label[1] if label and label[0] == column.name else _guess(column, closed)
        found[column.name] = (role, reason)
        closed |= {role} & _SINGLE
    return _grouped([*fixed, *(name for name in schema.names if name not in fixed)], found)


def _label(columns: Sequence[_Column]) -> tuple[str, tuple[str, str]] | None:
    """The column with the best name for a label, if any can be one."""
    possible = [c for c in columns if c.statistics.values and not pa.types.is_nested(c.type)]
    names = {c.whole for c in columns}
    for name in _LABELS:
        if name == "y" and {"x", "z"} <= names:
            continue  # three coordinates
        for column in possible:
            if column.whole == name:
                return column.name, ("label", f"it is called {name}")
    ending = [c for c in possible if c.last in _LABEL_ENDINGS]
    if not ending:
        return None
    return ending[-1].name, ("label", f"its name ends in {ending[-1].last}")


def _guess(column: _Column, closed: set[str]) -> tuple[str, str]:
    """The first rule that matches; `closed` roles have their columns already."""
    matches = ((role, rule(column)) for role, rule in _RULES if role not in closed)
    return next(
        ((role, reason) for role, reason in matches if reason),
        (_IGNORED, "nothing is known to do with it"),
    )


def _column(field: pa.Field, statistics: ColumnStatistics) -> _Column:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", field.name)
    words = tuple(word for word in re.split(r"[^A-Za-z0-9]+", spaced.lower()) if word)
    return _Column(field.name, words, field.type, statistics)


def _fixed(
    schema: pa.Schema, overrides: Mapping[str, str | Sequence[str]]
) -> dict[str, tuple[str, str]]:
    """Column -> (role, reason) for what was set by hand, in the order given."""
    fixed: dict[str, tuple[str, str]] = {}
    for role, given in overrides.items():
        for name in (given,) if isinstance(given, str) else given:
            if name not in schema.names:
                raise ConfigError(f"roles.{role}: no column {name!r}{_nearest(name, schema.names)}")
            if name in fixed:
                raise ConfigError(f"roles.{role}: column {name!r} is {fixed[name][0]} already")
            fixed[name] = (role, "set in the configuration")
    return fixed


def _as_trusted(
    schema: pa.Schema, trusted: Trusted, named: set[str], closed: set[str]
) -> dict[str, tuple[str, str]]:
    """Column -> (role, reason) by the baseline; a column that it does not know plays no role."""
    found: dict[str, tuple[str, str]] = {}
    for role, names in trusted.roles.assigned.items():
        here = [name for name in names if name in schema.names and name not in named]
        found |= {} if role in closed else dict.fromkeys(here, (role, "as in the baseline"))
    new = [n for n in schema.names if n not in trusted.columns and n not in named]
    return found | dict.fromkeys(new, (_IGNORED, "the baseline has no such column"))


def recorded(records: Iterable[RoleRecord]) -> Roles:
    """The roles that a report tells of. One role has a record for each reason it was given for."""
    found: dict[str, tuple[str, ...]] = {}
    for record in records:
        found[record.role] = (*found.get(record.role, ()), *record.columns)
    return Roles(found)


def _nearest(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(names[:20])}"


def _grouped(
    names: Sequence[str], found: Mapping[str, tuple[str, str]]
) -> tuple[Roles, tuple[RoleRecord, ...]]:
    """`names` in order: the first column of a role is the one that counts."""
    assigned: dict[str, list[str]] = {}
    groups: dict[tuple[str, str], list[str]] = {}
    for name in names:
        assigned.setdefault(found[name][0], []).append(name)
        groups.setdefault(found[name], []).append(name)
    records = (
        RoleRecord(role=role, columns=tuple(columns), reason=reason)
        for (role, reason), columns in groups.items()
    )
    return Roles({role: tuple(columns) for role, columns in assigned.items()}), tuple(records)
