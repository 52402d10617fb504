"""JSON Lines: one object a line, read in blocks of whole lines; one schema over the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pyarrow as pa
import pyarrow.json as pajson

from auditor.readers.limits import MIB, Limits, Refused, plain
from auditor.readers.text import Utf8

_BLOCK: Final = 4 * MIB
_ROW: Final = re.compile(r" in row (\d+)$")


def survey(text: Utf8, limits: Limits) -> tuple[pa.Schema, int]:
    """The schema that holds every line, and the number of rows.

    Raises:
        Refused: FILE_FORMAT for what is not JSON Lines or changes its type, with the line.
    """
    schema, rows = pa.schema([]), 0
    for line, block in _blocks(text, limits):
        table = _parse(block, line, pa.schema([]), "infer")
        schema = _unified(schema, table.schema, line, block)
        rows += table.num_rows or _objects(block)
        if len(schema) > limits.columns:
            raise Refused("LIMIT", f"{len(schema):,} columns, more than {limits.columns:,}")
    if not len(schema):
        raise Refused("SCHEMA", "no column in any line" if rows else "no line with an object")
    return schema, rows


def batches(text: Utf8, schema: pa.Schema, limits: Limits) -> Iterator[pa.RecordBatch]:
    """All rows in `schema`; a column that a line leaves out is null."""
    for line, block in _blocks(text, limits):
        yield from _parse(block, line, schema, "error").select(schema.names).to_batches()


def _blocks(text: Utf8, limits: Limits) -> Iterator[tuple[int, bytes]]:
    """Whole lines, about 4 MiB at a time, with the number of the first one (from 1)."""
    line, rest = 1, b""
    while True:
        more = text.read(_BLOCK)
        block = rest + more
        end = block.rfind(b"\n") + 1 if more else len(block)
        rest = block[end:]
        if len(rest) > 2 * limits.cell_bytes:
            raise Refused("LIMIT", f"line {line}: more than {2 * limits.cell_bytes:,} bytes")
        whole = block[:end]
        if whole.strip():
            yield line, whole
        line += whole.count(b"\n")
        if not more:
            return


def _parse(block: bytes, line: int, schema: pa.Schema, unexpected: str) -> pa.Table:
    if block.lstrip()[:1] == b"[":
        raise Refused("FILE_FORMAT", f"line {line}: an array; write one object a line")
    try:
        return pajson.read_json(
            pa.BufferReader(block),
            read_options=pajson.ReadOptions(use_threads=False, block_size=len(block) + 1),
            parse_options=pajson.ParseOptions(
                explicit_schema=schema if len(schema) else None,
                newlines_in_values=False,
                unexpected_field_behavior=unexpected,
            ),
        )
    except pa.ArrowInvalid as error:
        raise Refused("FILE_FORMAT", _located(str(error), block, line)) from error


def _located(message: str, block: bytes, line: int) -> str:
    """The parser's message with the line in the file for its row in the block."""
    message = message.removeprefix("JSON parse error: ")
    row = _ROW.search(message)
    if row is None:
        return f"from line {line}: {plain(message, 200)}"
    filled = [at for at, text in enumerate(block.split(b"\n")) if text.strip()]
    at = filled[min(int(row[1]), len(filled) - 1)]
    return f"line {line + at}: {plain(message[: row.start()], 200)}"


def _objects(block: bytes) -> int:
    """Lines with an object: the parser counts no rows where no object has a field."""
    return sum(1 for text in block.split(b"\n") if text.strip())


def _unified(left: pa.Schema, right: pa.Schema, line: int, block: bytes) -> pa.Schema:
    fields = {field.name: field.type for field in left}
    for field in right:
        have = fields.get(field.name, pa.null())
        kind = _common(have, field.type)
        if kind is None:
            _parse(block, line, pa.schema([(field.name, have)]), "ignore")  # names the line
            raise Refused(
                "FILE_FORMAT",
                f"from line {line}: column {plain(field.name)} changes from {have} to {field.type}",
            )
        fields[field.name] = kind
    return pa.schema(list(fields.items()))


def _common(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    """The type that holds both without loss, or None."""
    if left.equals(right) or pa.types.is_null(right):
        return left
    if pa.types.is_null(left):
        return right
    kinds = {str(left), str(right)}
    if kinds == {"int64", "double"}:
        return pa.float64()
    if "string" in kinds and any(map(pa.types.is_timestamp, (left, right))):
        return pa.string()  # text of which some looks like a time
    if pa.types.is_timestamp(left) and pa.types.is_timestamp(right):
        return pa.timestamp("ns")
    if pa.types.is_list(left) and pa.types.is_list(right):
        inner = _common(left.value_type, right.value_type)
        return None if inner is None else pa.list_(inner)
    if pa.types.is_struct(left) and pa.types.is_struct(right):
        return _common_struct(left, right)
    return None


def _common_struct(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    fields = {field.name: field.type for field in left}
    for field in right:
        kind = _common(fields.get(field.name, pa.null()), field.type)
        if kind is None:
            return None
        fields[field.name] = kind
    return pa.struct(list(fields.items()))
