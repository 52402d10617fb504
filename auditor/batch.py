"""What arrives: Batch (Protocol), Chunk, Roles, and a batch over a table in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

Value = TypeVar("Value")

#: Rows a chunk holds at most. Big enough for vectorised kernels, small enough to bound memory.
CHUNK_ROWS: Final = 131_072
#: Columns whose names start like this are ours.
OWN: Final = "_auditor_"

#: The roles we know by name. Roles are open: one that no detector knows is carried, not refused.
KNOWN_ROLES: Final = (
    "label",
    "id",
    "contributor",
    "annotator",
    "source",
    "timestamp",
    "slice",
    "weight",
    "feature",
    "text",
    "embedding",
    "ignored",
)


class BatchKind(StrEnum):
    """What the rows are for."""

    TRAINING = "training"
    VALIDATION = "validation"
    PREDICTIONS = "predictions"
    UPDATES = "updates"


@dataclass(frozen=True, slots=True)
class Roles:
    """Which columns play which role: an open mapping of role name to column names, in order."""

    assigned: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def columns(self, role: str) -> tuple[str, ...]:
        """All columns of a role, empty where nobody plays it."""
        return self.assigned.get(role, ())

    def first(self, role: str) -> str | None:
        """The first column of a role, or None."""
        columns = self.columns(role)
        return columns[0] if columns else None

    @property
    def label(self) -> str | None:
        """The column a model is trained to predict."""
        return self.first("label")

    @property
    def contributor(self) -> str | None:
        """The column that says who sent a row."""
        return self.first("contributor")

    @property
    def features(self) -> tuple[str, ...]:
        """The columns a model is trained on."""
        return self.columns("feature")

    @property
    def content(self) -> tuple[str, ...]:
        """The columns that make two rows the same to a model: features, texts and the label.

        Ids, contributors and times are left out: a copied row comes with a new id.
        """
        label = (self.label,) if self.label else ()
        return (*self.features, *self.columns("text"), *label)

    @property
    def learned(self) -> Roles:
        """Features, label and contributor only: what rules learn from, and samples of rows hold."""
        kept = ("feature", "label", "contributor")
        return Roles({role: self.columns(role) for role in kept if self.columns(role)})

    @property
    def named(self) -> tuple[str, ...]:
        """Every column that plays a role, once."""
        return tuple(dict.fromkeys(name for names in self.assigned.values() for name in names))


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows of a batch; `start` is the position of the first one."""

    start: int
    data: pa.RecordBatch


class Batch(Protocol):
    """Re-readable rows whose bytes are pinned by `digest` (lowercase hex sha256)."""

    @property
    def kind(self) -> BatchKind:
        """What the rows are for."""
        ...

    @property
    def digest(self) -> str:
        """Pins the bytes that were received."""
        ...

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        ...

    @property
    def roles(self) -> Roles:
        """Which columns play which role."""
        ...

    @property
    def rows(self) -> int:
        """The number of rows."""
        ...

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """The rows in order, projected to `columns`, at most `CHUNK_ROWS` at a time."""
        ...


@dataclass(frozen=True, slots=True)
class TableBatch:
    """A batch over an Arrow table that is in memory already: samples, drills, tests."""

    table: pa.Table
    roles: Roles
    digest: str = "0" * 64
    kind: BatchKind = BatchKind.TRAINING
    chunk_rows: int = CHUNK_ROWS

    @property
    def schema(self) -> pa.Schema:
        """The table's schema."""
        return self.table.schema

    @property
    def rows(self) -> int:
        """The number of rows."""
        return int(self.table.num_rows)

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """See `Batch.chunks`."""
        table = self.table.select(list(columns))
        for start in range(0, table.num_rows, self.chunk_rows):
            # A slice of a table without columns is not cut at its end.
            rows = min(self.chunk_rows, table.num_rows - start)
            part = table.slice(start, rows).combine_chunks()
            yield Chunk(start, part.to_batches()[0] if part.num_columns else _empty(rows))


def _empty(rows: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_struct_array(pa.array([{}] * rows, pa.struct([])))


def reserved(schema: pa.Schema) -> str | None:
    """Why a schema from outside is refused: it has a column whose name, in any case, is ours."""
    ours = next((name for name in schema.names if name.casefold().startswith(OWN)), None)
    return f"column {ours[:80]!r}: names that start with {OWN} are ours" if ours else None


def read_columns(batch: Batch, columns: Sequence[str]) -> pa.Table:
    """The whole batch, projected to `columns`, as one table in memory."""
    schema = pa.schema([batch.schema.field(name) for name in columns])
    return pa.Table.from_batches([chunk.data for chunk in batch.chunks(columns)], schema=schema)


def texts(batch: Batch, column: str) -> list[str | None]:
    """A column of any type as text, None where it is missing: a label, a contributor.

    Equal texts are one object: a label of ten million rows costs a pointer a row.
    """
    found: list[str | None] = []
    same: dict[str, str] = {}
    for chunk in batch.chunks([column]):
        encoded = pc.dictionary_encode(as_text(chunk.data.column(0)))
        names: list[str] = encoded.dictionary.to_pylist()
        if 2 * len(names) > len(encoded):  # mostly distinct: nothing to share
            found.extend(encoded.to_pylist())
            continue
        shared = [same.setdefault(name, name) for name in names]
        found.extend(None if at is None else shared[at] for at in encoded.indices.to_pylist())
    return found


def distinct(values: Sequence[str | None]) -> tuple[list[str], list[int]]:
    """The distinct texts, sorted, and for each value its position among them (-1 where missing).

    With Python's own strings: NumPy's give every row the width of the longest, which a sender
    chooses, and drop NUL at the end.
    """
    names = sorted({value for value in values if value is not None})
    place: dict[str | None, int] = {name: i for i, name in enumerate(names)}
    return names, [place.get(value, -1) for value in values]


def as_text(column: pa.Array) -> pa.Array:
    r"""Any flat column as strings; numbers as Arrow writes them.

    Bytes are text where they are UTF-8, else with `\xff` for what is not; 16 bytes of fixed size
    (UUID, MD5) are hex.
    """
    if isinstance(column, pa.ChunkedArray):
        return pa.chunked_array([as_text(chunk) for chunk in column.chunks], pa.string())
    if isinstance(column, pa.ExtensionArray):
        return as_text(column.storage)
    if pa.types.is_dictionary(column.type):
        return as_text(column.dictionary).take(column.indices)
    if not _is_bytes(column.type):
        return column if pa.types.is_string(column.type) else pc.cast(column, pa.string())
    encoded = pc.dictionary_encode(column.cast(pa.binary()))
    short = column.type == pa.binary(16)
    names = [
        value.hex() if short else value.decode("utf-8", "backslashreplace")
        for value in encoded.dictionary.to_pylist()
    ]
    return pa.array(names, pa.string()).take(encoded.indices)


def _is_bytes(type_: pa.DataType) -> bool:
    return any(
        matches(type_)
        for matches in (
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_binary_view,
            pa.types.is_fixed_size_binary,
        )
    )


def cells(column: pa.Array) -> list[Any]:
    """A column of any type as Python values; times that Python cannot hold as Arrow writes them.

    Those are nanoseconds, years after 9999 and zones that this machine does not know.
    """
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError, KeyError):  # an unknown zone is a KeyError
        written = column.cast(_with_times(column.type, lambda t: pa.timestamp(t.unit)))
        return list(written.cast(_with_times(written.type, lambda _: pa.string())).to_pylist())


def _with_times(type_: pa.DataType, other: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """The type with another one in the place of each that holds times, also inside."""
    if pa.types.is_timestamp(type_):
        return other(type_)
    if pa.types.is_temporal(type_):
        return pa.string()
    if pa.types.is_list(type_):
        return pa.list_(_with_times(type_.value_type, other))
    if pa.types.is_struct(type_):
        return pa.struct([(field.name, _with_times(field.type, other)) for field in type_])
    if pa.types.is_map(type_):
        key, item = _with_times(type_.key_type, other), _with_times(type_.item_type, other)
        return pa.map_(key, item)
    return type_


class Shared:
    """What several rules of one run need of the same batch or baseline, computed once.

    Holds values of one owner of each type at a time; another batch drops those of the last.
    """

    def __init__(self) -> None:
        """Empty."""
        self._held: dict[type, tuple[object, dict[object, Any]]] = {}

    def once(self, owner: object, key: object, compute: Callable[[], Value]) -> Value:
        """The value of `key` for this very owner, computed at first use."""
        held, values = self._held.get(type(owner), (None, {}))
        if held is not owner:
            values = {}
            self._held[type(owner)] = (owner, values)
        if key not in values:
            values[key] = compute()
        value: Value = values[key]
        return value
