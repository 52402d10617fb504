"""Parquet and Arrow IPC, and the plain types that everything is normalised to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from auditor.batch import CHUNK_ROWS
from auditor.readers.limits import METADATA_NOTE, MIB, Limits, Refused, plain

#: Decoded bytes that one read of a Parquet file should give, judged by its own footer.
_READ_BYTES: Final = 64 * MIB


def open_parquet(source: Any) -> pq.ParquetFile:
    """The only place that opens Parquet: `pre_buffer` would hold the whole file in memory."""
    return pq.ParquetFile(source, pre_buffer=False, memory_map=False)


def survey(raw: BinaryIO, format_: str, limits: Limits, notes: list[str]) -> tuple[pa.Schema, int]:
    """Normalised schema and the claimed number of rows (0 where the format does not say)."""
    if format_ == "parquet":
        parquet = open_parquet(pa.PythonFile(raw, mode="r"))
        _few_columns(parquet.metadata.num_columns, limits)
        claimed = parquet.metadata.num_rows
        if claimed > limits.rows:
            raise Refused("LIMIT", f"the footer claims {claimed:,} rows, more than {limits.rows:,}")
        if parquet.schema_arrow.metadata:
            notes.append(METADATA_NOTE)
        return plain_schema(parquet.schema_arrow), claimed
    reader = _ipc(raw, format_)
    _few_columns(len(reader.schema), limits)
    return plain_schema(reader.schema), 0


def batches(raw: BinaryIO, format_: str) -> Iterator[pa.RecordBatch]:
    """Rows as stored, in batches of at most 131,072."""
    if format_ == "parquet":
        parquet = open_parquet(pa.PythonFile(raw, mode="r"))
        yield from parquet.iter_batches(batch_size=_batch_rows(parquet.metadata))
        return
    reader = _ipc(raw, format_)
    if format_ == "arrow file":
        stored = (reader.get_batch(index) for index in range(reader.num_record_batches))
    else:
        stored = iter(reader)
    for batch in stored:
        batch.validate(full=True)  # offsets are the sender's: before anything follows them
        for start in range(0, batch.num_rows, CHUNK_ROWS):
            yield batch.slice(start, CHUNK_ROWS)
    if format_ == "arrow stream" and raw.read(1):
        raise Refused("FILE_POLYGLOT", "bytes follow the end of the Arrow stream")


def _ipc(raw: BinaryIO, format_: str) -> Any:
    options = pa.ipc.IpcReadOptions(use_threads=False)
    opened = pa.ipc.open_file if format_ == "arrow file" else pa.ipc.open_stream
    return opened(pa.PythonFile(raw, mode="r"), options=options)


def _batch_rows(metadata: pq.FileMetaData) -> int:
    """Fewer rows at a time where rows are big. The footer may lie; the memory limit does not."""
    groups = range(min(metadata.num_row_groups, 64))
    sizes = [
        (metadata.row_group(g).total_byte_size, metadata.row_group(g).num_rows) for g in groups
    ]
    heaviest = max((size // max(rows, 1) for size, rows in sizes), default=1)
    return max(1, min(CHUNK_ROWS, _READ_BYTES // max(heaviest, 1)))


def _few_columns(count: int, limits: Limits) -> None:
    if count > limits.columns:
        raise Refused("LIMIT", f"{count:,} columns, more than {limits.columns:,}")


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """The schema in plain types and without metadata.

    Raises:
        Refused: SCHEMA for no columns or two of one name.
    """
    if not len(schema):
        raise Refused("SCHEMA", "no columns")
    name, count = Counter(schema.names).most_common(1)[0]
    if count > 1:
        raise Refused("SCHEMA", f"{count} columns are called {plain(name)}")
    return pa.schema([(field.name, plain_type(field.type)) for field in schema])


def plain_type(type_: pa.DataType) -> pa.DataType:
    """Values instead of dictionaries, 32-bit offsets, storage instead of extensions."""
    simple = (
        (pa.types.is_dictionary, lambda: plain_type(type_.value_type)),
        (pa.types.is_run_end_encoded, lambda: plain_type(type_.value_type)),
        (lambda t: pa.types.is_large_string(t) or pa.types.is_string_view(t), pa.string),
        (lambda t: pa.types.is_large_binary(t) or pa.types.is_binary_view(t), pa.binary),
        (pa.types.is_float16, pa.float32),
        (lambda t: isinstance(t, pa.BaseExtensionType), lambda: plain_type(type_.storage_type)),
        (_is_list, lambda: pa.list_(plain_type(type_.value_type))),
        (pa.types.is_struct, lambda: pa.struct([(f.name, plain_type(f.type)) for f in type_])),
    )
    return next((make() for matches, make in simple if matches(type_)), type_)


def _is_list(type_: pa.DataType) -> bool:
    return any(
        matches(type_)
        for matches in (
            pa.types.is_list,
            pa.types.is_large_list,
            pa.types.is_list_view,
            pa.types.is_large_list_view,
        )
    )


def as_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The columns of `schema` by name, in plain types.

    Raises:
        Refused: SCHEMA where a value does not fit the type the batch agreed on.
    """
    arrays = []
    for field in schema:
        array = batch.column(field.name)
        try:
            arrays.append(as_type(array, field.type))
            arrays[-1].validate()  # casting nested views has given arrays that lie
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
            why = plain(str(error), 120)
            text = f"column {plain(field.name)} cannot be read as {field.type}: {why}"
            raise Refused("SCHEMA", text) from error
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def as_type(array: Any, type_: pa.DataType) -> Any:
    """The array in a plain type."""
    array = _decoded(array)
    return array if array.type.equals(type_) else pc.cast(array, type_)


def _decoded(array: Any) -> Any:
    """Without extensions, encodings and views, which Arrow cannot cast where one is in another."""
    if isinstance(array, pa.ExtensionArray):
        return _decoded(array.storage)
    if pa.types.is_run_end_encoded(array.type):
        runs = pa.RunEndEncodedArray.from_arrays(array.run_ends, _decoded(array.values))
        return pc.run_end_decode(runs.slice(array.offset, len(array)))
    if pa.types.is_dictionary(array.type):
        return _decoded(array.dictionary).take(array.indices)
    if pa.types.is_string_view(array.type):
        return pc.cast(array, pa.string())
    if pa.types.is_binary_view(array.type):
        return pc.cast(array, pa.binary())
    return _decoded_inside(array) if _hides_encoding(array.type) else array


def _hides_encoding(type_: pa.DataType) -> bool:
    """A list view, or a list or struct that holds what `_decoded` takes apart."""
    if pa.types.is_list_view(type_) or pa.types.is_large_list_view(type_):
        return True
    if _is_list(type_):
        inner = [type_.value_type]
    elif pa.types.is_struct(type_):
        inner = [field.type for field in type_]
    else:
        return False
    return any(pa.types.is_dictionary(t) or _is_view(t) or _hides_encoding(t) for t in inner)


def _is_view(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string_view(type_) or pa.types.is_binary_view(type_))


def _decoded_inside(array: Any) -> Any:
    """The same for the children of a list or struct."""
    if pa.types.is_struct(array.type):
        children = [_decoded(child) for child in array.flatten()]
        names = [field.name for field in array.type]
        return pa.StructArray.from_arrays(children, names=names, mask=array.is_null())
    # Arrow's own cast of a list view that holds a null gives offsets that lie.
    lengths = pc.cast(pc.fill_null(pc.list_value_length(array), 0), pa.int64())
    ends = pc.cumulative_sum(lengths)
    offsets = pa.concat_arrays([pa.repeat(pa.scalar(0, pa.int64()), 1), ends])
    values = _decoded(array.flatten())
    return pa.LargeListArray.from_arrays(offsets, values, mask=array.is_null())


def refuse_bad_values(batch: pa.RecordBatch, limits: Limits) -> None:
    """Refuse text that is not UTF-8 and cells that are too long.

    Raises:
        Refused: FILE_FORMAT, LIMIT.
    """
    for name, array in zip(batch.schema.names, batch.columns, strict=True):
        try:
            array.validate(full=True)
        except pa.ArrowInvalid as error:
            raise Refused(
                "FILE_FORMAT", f"column {plain(name)}: {plain(str(error), 120)}"
            ) from error
        if pa.types.is_string(array.type) or pa.types.is_binary(array.type):
            longest = pc.max(pc.binary_length(array)).as_py() or 0
            if longest > limits.cell_bytes:
                text = f"a cell of {longest:,} bytes, more than {limits.cell_bytes:,}"
                raise Refused("LIMIT", f"column {plain(name)}: {text}")
