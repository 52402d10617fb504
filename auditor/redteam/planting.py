"""What every attack shares: the result type, plausible ids, times, contributors and precision.

An attack must not give itself away by its form: values keep the decimals of their column,
integers stay integers, ids go on as the batch's own do, rows come in order of time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditor.batch import Roles
from auditor.errors import Unavailable
from auditor.model import ATTACKS

_TRAILING_NUMBER: Final = re.compile(r"^(.*?)([0-9]{1,18})$", re.DOTALL)
_SECONDS: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A poisoned copy of a table.

    `mask[i]` is true where row `i` of `table` is poison. `origin[i]` is the row of the clean
    table that row `i` was, null where the row is new. `attack` is a name of `model.ATTACKS`.
    """

    table: pa.Table
    mask: pa.BooleanArray
    origin: pa.Int64Array
    attack: str
    description: str

    def __post_init__(self) -> None:
        """Refuse masks of another length and misspelt attacks, where the mistake is made."""
        if not len(self.mask) == len(self.origin) == self.table.num_rows:
            raise ValueError(f"{self.attack}: mask and origin must have one entry a row")
        if self.attack not in ATTACKS:
            raise ValueError(f"{self.attack} is not a name in auditor.model.ATTACKS")


class Attack(Protocol):
    """A pure function: a clean table in, a poisoned copy out; the same seed, the same rows.

    `rows` is how many poison rows are wanted; `trusted` widens what is known of the columns.
    Raises `Unavailable` where the table has not what the attack needs.
    """

    def __call__(
        self,
        table: pa.Table,
        roles: Roles,
        *,
        rows: int,
        seed: int,
        trusted: pa.Table | None = None,
    ) -> Planted:
        """Plant the attack."""
        ...


def need_rows(table: pa.Table, attack: str) -> None:
    """Raise `Unavailable` for a table without rows to start from."""
    if table.num_rows == 0:
        raise Unavailable(f"{attack} needs rows to start from")


def known(table: pa.Table, trusted: pa.Table | None, column: str) -> pa.ChunkedArray:
    """The values of a column in the batch and, where it has them, in the trusted part."""
    values = plain(table[column])
    if trusted is None or column not in trusted.column_names:
        return values
    more = plain(trusted[column])
    return pa.chunked_array([*values.chunks, *more.cast(values.type).chunks], values.type)


def plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Dictionary-encoded values as plain ones, everything else as it is."""
    return values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values


def replace(table: pa.Table, column: str, values: Any) -> pa.Table:
    """The table with other values in one column; the column keeps its field and type."""
    at = table.schema.get_field_index(column)
    field = table.schema.field(at)
    inner = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    given = isinstance(values, pa.Array)
    array = values.cast(inner) if given else pa.array(values, inner, from_pandas=False)
    if pa.types.is_dictionary(field.type):
        array = array.dictionary_encode().cast(field.type)
    return table.set_column(at, field, array)


def numeric_features(table: pa.Table, roles: Roles) -> tuple[str, ...]:
    """The feature columns that hold integers or floats and at least one value."""
    return tuple(
        name
        for name in roles.features
        if (pa.types.is_integer(table[name].type) or pa.types.is_floating(table[name].type))
        and table[name].null_count < table.num_rows
    )


def classes(table: pa.Table, roles: Roles, trusted: pa.Table | None, attack: str) -> list[Any]:
    """The classes of the label, most frequent first; `Unavailable` where there are not two."""
    if roles.label is None:
        raise Unavailable(f"{attack} needs a label role")
    values = known(table, trusted, roles.label)
    if pa.types.is_floating(values.type):
        raise Unavailable(f"{attack} needs classes, and the label holds real numbers")
    counts = pc.value_counts(values.combine_chunks().drop_null()).to_pylist()
    if len(counts) < 2:
        raise Unavailable(f"{attack} needs two classes, and the label has {len(counts)}")
    return [c["values"] for c in sorted(counts, key=lambda c: (-c["counts"], str(c["values"])))]


def other_classes(labels: list[Any], all_classes: list[Any], rng: np.random.Generator) -> list[Any]:
    """For each label another class, uniformly; a null becomes any class."""
    return [_draw([c for c in all_classes if c != label], rng) for label in labels]


def _draw(choices: Sequence[Any], rng: np.random.Generator) -> Any:
    return choices[int(rng.integers(len(choices)))]


def templates(
    table: pa.Table, rng: np.random.Generator, wanted: int, allowed: pa.Array | None = None
) -> npt.NDArray[np.int64]:
    """Up to `wanted` different rows to start from, in random order."""
    rows = np.arange(table.num_rows) if allowed is None else np.asarray(allowed)
    return rng.permutation(rows)[: max(wanted, 0)].astype(np.int64)


def added(
    table: pa.Table,
    roles: Roles,
    source: npt.NDArray[np.int64],
    rng: np.random.Generator,
    senders: Sequence[Any] | None = None,
) -> pa.Table:
    """New rows that start as copies of `source`: fresh ids, a later time, other contributors.

    Each row's contributor is drawn from `senders`; without them from three of the batch's.
    """
    rows = table.take(pa.array(source))
    for column in roles.columns("id"):
        rows = replace(rows, column, fresh_ids(table[column], len(source)))
    if roles.contributor is not None:
        if senders is None:
            senders = _senders(table[roles.contributor], rng)
        if senders:
            rows = replace(rows, roles.contributor, [_draw(senders, rng) for _ in source])
    when = roles.first("timestamp")
    if when is not None and len(source):
        rows = replace(rows, when, _later(table[when], rows[when], rng))
    return rows


def _senders(contributors: pa.ChunkedArray, rng: np.random.Generator) -> list[Any]:
    names = sorted(pc.unique(plain(contributors)).drop_null().to_pylist(), key=str)
    return [names[i] for i in rng.permutation(len(names))[:3]]


def fresh_ids(taken: pa.ChunkedArray, wanted: int) -> pa.Array:
    """Ids that are not taken yet and look like those that are."""
    values = plain(taken)
    if pa.types.is_integer(values.type):
        top = pc.max(values).as_py() if len(values) > values.null_count else 0
        return pa.array(range(top + 1, top + 1 + wanted), values.type)
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        raise Unavailable(f"ids of type {values.type} cannot be continued")
    return pa.array(_numbered(set(values.drop_null().to_pylist()), wanted), values.type)


def _numbered(taken: set[str], wanted: int) -> list[str]:
    best = max(filter(None, map(_TRAILING_NUMBER.match, sorted(taken))), key=_number, default=None)
    prefix, digits = best.groups() if best else ("row-", "0")
    start, width = int(digits) + 1, len(digits)
    fresh: list[str] = []
    while len(fresh) < wanted:
        name = f"{prefix}{start:0{width}d}"
        start += 1
        if name not in taken:
            fresh.append(name)
    return fresh


def _number(match: re.Match[str]) -> int:
    return int(match[2])


def _later(column: pa.ChunkedArray, times: pa.ChunkedArray, rng: np.random.Generator) -> pa.Array:
    """Times after `times`, inside the span of the column where there is room; else copies."""
    kind = column.type
    if not pa.types.is_timestamp(kind):
        return times.combine_chunks()
    second = _SECONDS[kind.unit]
    end = pc.max(column).cast(pa.int64()).as_py()
    moments = times.cast(pa.int64()).to_pylist()
    return pa.array([_after(m, end, second, rng) for m in moments], pa.int64()).cast(kind)


def _after(moment: int | None, end: int, second: int, rng: np.random.Generator) -> int | None:
    if moment is None:
        return None
    room = max((end - moment) // second, 60)
    return moment + second * int(rng.integers(1, room + 1))


def weave(
    table: pa.Table,
    new: pa.Table,
    roles: Roles,
    rng: np.random.Generator,
    *,
    attack: str,
    description: str,
) -> Planted:
    """The table with new rows put among its own: in order of time where it was, else anywhere."""
    joined = pa.concat_tables([table, new.cast(table.schema)])
    order = _order(joined, table.num_rows, roles, rng)
    position = pa.array(np.where(order < table.num_rows, order, -1))
    origin = pc.if_else(pc.less(position, 0), pa.scalar(None, pa.int64()), position)
    return Planted(
        table=joined.take(pa.array(order)),
        mask=pc.is_null(origin),
        origin=origin,
        attack=attack,
        description=description,
    )


def _order(
    joined: pa.Table, old: int, roles: Roles, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    when = roles.first("timestamp")
    if when is not None and pa.types.is_timestamp(joined[when].type):
        times = joined[when].cast(pa.int64()).fill_null(np.iinfo(np.int64).max).to_numpy()
        if bool(np.all(np.diff(times[:old]) >= 0)):
            return np.argsort(times, kind="stable").astype(np.int64)
    place = np.concatenate([np.arange(old), rng.uniform(0, old, joined.num_rows - old)])
    return np.argsort(place, kind="stable").astype(np.int64)


def count_by(values: pa.ChunkedArray) -> Mapping[Any, int]:
    """How often each value occurs, nulls left out, most frequent first."""
    counts = pc.value_counts(plain(values).combine_chunks().drop_null()).to_pylist()
    ordered = sorted(counts, key=lambda c: (-c["counts"], str(c["values"])))
    return {c["values"]: c["counts"] for c in ordered}
