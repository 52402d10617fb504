"""The rows of one part of a baseline, as the bytes that are stored: two Parquet files.

`rows.parquet` has a line for every trusted row: its keys, label, contributor, source, and the bin
of each compared column. Counts can be made again from it, exactly, when rows are taken out.
`sample.parquet` holds a sample of the rows as they came, with the number that each row drew and
its place in its batch.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from auditor.errors import BaselineError
from auditor.parquet_bytes import table_of

ROWS: Final = "rows.parquet"
SAMPLE: Final = "sample.parquet"
#: What is read of `rows.parquet` for an audit: row key, features-only key, and who said what.
KEYS: Final = ("a", "b", "fa", "fb", "label", "contributor", "source")
#: Columns of a sample beside those of the rows. Batches cannot have such names (SCHEMA).
DRAW: Final = "_auditor_draw"
PLACE: Final = "_auditor_row"

Load = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class Content:
    """`keys`: the columns `KEYS`. `digests`: file -> sha256. `load`: the bytes of a file.

    `load` raises `BaselineError` where a file is not what its digest says. `folder`: where the
    files lie, if they do.
    """

    keys: pa.Table
    digests: Mapping[str, str]
    load: Load
    folder: Path | None = None

    @classmethod
    def of(cls, rows: pa.Table, sample: pa.Table) -> Content:
        """From tables in memory: what is stored, and not what it was made from, is the content."""
        files = {ROWS: to_parquet(rows), SAMPLE: to_parquet(sample)}
        return cls.stored({name: sha256(content) for name, content in files.items()}, files.get)

    @classmethod
    def stored(
        cls,
        digests: Mapping[str, str],
        load: Callable[[str], bytes | None],
        folder: Path | None = None,
    ) -> Content:
        """From files whose digests are known; only the keys are read."""
        keys = from_parquet(ROWS, verified(digests, load, ROWS), KEYS)
        return cls(keys, digests, _Verified(digests, load), folder)

    def rows(self) -> pa.Table:
        """Keys and bins of every row."""
        return from_parquet(ROWS, self.load(ROWS))

    def sample(self) -> pa.Table:
        """The sampled rows, with `DRAW` and `PLACE`."""
        return from_parquet(SAMPLE, self.load(SAMPLE))


@dataclass(frozen=True, slots=True)
class _Verified:
    """`load`, comparing digests; a class so that a content can be pickled."""

    digests: Mapping[str, str]
    source: Callable[[str], bytes | None]

    def __call__(self, name: str) -> bytes:
        """The bytes of a file."""
        return verified(self.digests, self.source, name)


def verified(digests: Mapping[str, str], load: Callable[[str], bytes | None], name: str) -> bytes:
    """The bytes of a file if they have its digest; raises `BaselineError`."""
    content = load(name)
    if content is None or sha256(content) != digests.get(name):
        raise BaselineError(f"{name}: does not match its digest; it was edited, build it again")
    return content


def sha256(content: bytes) -> str:
    """Lowercase hex."""
    return hashlib.sha256(content).hexdigest()


def to_parquet(table: pa.Table) -> bytes:
    """The same bytes for the same rows, in whatever chunks and dictionaries they come."""
    sink = io.BytesIO()
    pq.write_table(compact(table).replace_schema_metadata(None), sink, compression="zstd")
    return sink.getvalue()


def from_parquet(name: str, content: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """A table; raises `BaselineError` for bytes that are none."""
    try:
        return table_of(content, columns)
    except (OSError, pa.ArrowInvalid) as error:
        raise BaselineError(f"{name}: cannot be read ({error})") from error


def compact(table: pa.Table) -> pa.Table:
    """One chunk a column, and dictionaries of the values that occur: no other row shows through."""
    columns = []
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if pa.types.is_dictionary(column.type):
            column = as_type(column.dictionary_decode(), column.type)
        columns.append(column)
    return pa.table(columns, schema=table.schema)


def as_type(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    """The column as another type of its kind; raises `pa.ArrowInvalid` where a value is lost."""
    if column.type == wanted:
        return column
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_dictionary(wanted):
        values = column.cast(wanted.value_type)
        encoded = values.dictionary_encode()
        indices = encoded.indices.cast(wanted.index_type)
        return pa.DictionaryArray.from_arrays(indices, encoded.dictionary, ordered=wanted.ordered)
    return column.cast(wanted)
