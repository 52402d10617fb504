"""One file, whatever its format: a first look that finds names and types, then its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import BinaryIO

import pyarrow as pa

from auditor.readers import columnar, delimited, jsonlines
from auditor.readers.agree import Survey, hive_folders
from auditor.readers.detect import HEAD, Form, compression_of, recognise
from auditor.readers.disguise import refuse_disguise, tail_of
from auditor.readers.infer import Column, convert
from auditor.readers.limits import Budget, Limits, Refused, plain
from auditor.readers.text import Encoding, Utf8, decompressed, examine

_UTF8 = Encoding("utf-8")


@dataclass(frozen=True, slots=True)
class Item:
    """One file to parse: position in the batch, its name there and its size in bytes.

    `opened` gives a fresh, seekable stream of its received bytes.
    """

    index: int
    name: str
    size: int
    opened: Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True)
class Found:
    """What the first look at a file found; all that reading its rows needs."""

    item: Item
    form: Form
    survey: Survey
    encoding: Encoding = _UTF8
    dialect: delimited.Dialect | None = None
    own: pa.Schema | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the report should know about this file."""
        folders = tuple(
            f"column {plain(name)} comes from the folder" for name in self.survey.folders
        )
        dialect = self.dialect.notes if self.dialect else ()
        own = dict.fromkeys(self.survey.notes)
        return (*self.form.notes, *self.encoding.notes, *dialect, *folders, *own)


def look(item: Item, limits: Limits, budget: Budget) -> Found:
    """Find format, names and types of a file. Text is read whole, other formats by their header.

    Raises:
        Refused: FILE_FORMAT, FILE_POLYGLOT, SCHEMA, LIMIT.
    """
    head = item.opened().read(HEAD)
    compression = compression_of(head)
    if compression:
        head = decompressed(item.opened(), compression).read(HEAD)
    form = recognise(item.name, head, compression)
    refuse_disguise(form, head, tail_of(item.opened(), item.size))
    special = {"csv": _look_csv, "json lines": _look_json}
    found = special.get(form.format, _look_binary)(item, form, limits, budget)
    found.survey.folders = hive_folders(item.name)
    both = set(found.survey.names) & set(found.survey.folders)
    if both:
        raise Refused("SCHEMA", f"column {plain(min(both))} is in the file and in its folder")
    return found


def rows(
    found: Found, schema: pa.Schema, limits: Limits, budget: Budget
) -> Iterator[pa.RecordBatch]:
    """The rows of one file in the schema of the batch, counted and looked through.

    Raises:
        Refused: FILE_FORMAT, SCHEMA, LIMIT.
    """
    budget.begin(found.item.size)
    for batch in _own_rows(found, schema, limits, budget):
        budget.count(batch.num_rows)
        whole = columnar.as_schema(_with_folders(batch, found.survey.folders), schema)
        columnar.refuse_bad_values(whole, limits)
        if found.form.format not in {"csv", "json lines"}:  # text is counted as it is read
            budget.spend(whole.nbytes)
        yield whole


def _own_rows(
    found: Found, schema: pa.Schema, limits: Limits, budget: Budget
) -> Iterator[pa.RecordBatch]:
    if found.dialect is not None:
        return (_typed(batch, schema) for batch in _csv_rows(found, found.dialect, limits, budget))
    if found.own is not None:
        text = _text(found.item, found.form, found.encoding, budget)
        return jsonlines.batches(text, _json_schema(found.own, schema), limits)
    return columnar.batches(found.item.opened(), found.form.format)


def _look_binary(item: Item, form: Form, limits: Limits, budget: Budget) -> Found:
    notes: list[str] = []
    schema, claimed = columnar.survey(item.opened(), form.format, limits, notes)
    budget.count(max(claimed, 0))  # a footer may claim anything
    types = dict(zip(schema.names, schema.types, strict=True))
    found = Survey(item.index, form.format, tuple(schema.names), types)
    found.notes.extend(notes)
    return Found(item, form, found)


def _look_json(item: Item, form: Form, limits: Limits, budget: Budget) -> Found:
    encoding = _examine(item, form, limits)
    if encoding.name in {"cp1252", "latin-1"}:
        raise Refused("FILE_FORMAT", "JSON Lines must be UTF-8, and this file is not")
    schema, count = jsonlines.survey(_text(item, form, encoding, budget), limits)
    budget.count(count)
    columnar.plain_schema(schema)
    types = dict(zip(schema.names, schema.types, strict=True))
    survey = Survey(item.index, form.format, tuple(schema.names), types)
    return Found(item, form, survey, encoding, own=schema)


def _look_csv(item: Item, form: Form, limits: Limits, budget: Budget) -> Found:
    encoding = _examine(item, form, limits)
    sample = _text(item, form, encoding, Budget(limits, item.size))
    dialect = delimited.sniff(sample, form.suffix, limits)
    columnar.plain_schema(pa.schema([(name, pa.string()) for name in dialect.names]))
    before = budget.rows, budget.decoded
    try:
        found = _infer(item, form, encoding, dialect, limits, budget)
    except delimited.LongRow:
        longest = 2 * limits.cell_bytes
        budget.rows, budget.decoded = before
        try:
            found = _infer(item, form, encoding, replace(dialect, block=longest), limits, budget)
        except delimited.LongRow as error:
            raise Refused("LIMIT", f"a row of more than {longest:,} bytes") from error
    _note_odd(found, dialect, limits)
    return found


def _infer(
    item: Item,
    form: Form,
    encoding: Encoding,
    dialect: delimited.Dialect,
    limits: Limits,
    budget: Budget,
) -> Found:
    """Read all cells as text and keep what each column could be."""
    columns = {name: Column() for name in dialect.names}
    survey = Survey(item.index, form.format, dialect.names, text=columns)
    found = Found(item, form, survey, encoding, dialect)
    budget.begin(item.size)
    start = 0
    for batch in _csv_rows(found, dialect, limits, budget):
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            columns[name].narrow(values, start)
        start += batch.num_rows
        budget.count(batch.num_rows)
    return found


def _note_odd(found: Found, dialect: delimited.Dialect, limits: Limits) -> None:
    """Name the line of the first cell that does not fit the cells above it."""
    odd = {name: c.odd for name, c in found.survey.text.items() if c.odd is not None}
    if not odd:
        return
    text = _text(found.item, found.form, found.encoding, Budget(limits, found.item.size))
    lines = delimited.lines_of(text, dialect, [row for row, _ in odd.values()])
    for name, (row, before) in odd.items():
        where = f"column {plain(name)}: line {lines.get(row, row + 2)}"
        found.survey.notes.append(f"{where} does not fit the {before} values above; read as text")


def _csv_rows(
    found: Found, dialect: delimited.Dialect, limits: Limits, budget: Budget
) -> Iterator[pa.RecordBatch]:
    text = _text(found.item, found.form, found.encoding, budget)
    last = None
    try:
        for batch in delimited.batches(text, dialect):
            last = batch if batch.num_rows else last
            yield batch
    except pa.ArrowInvalid as error:
        again = _text(found.item, found.form, found.encoding, Budget(limits, found.item.size))
        where = delimited.ragged_line(again, dialect)
        raise Refused("FILE_FORMAT", where or plain(str(error), 200)) from error
    if last is not None and not found.encoding.paired_quotes and _ends_in_line_break(last):
        raise Refused("FILE_FORMAT", "a quoted cell is never closed and swallows the rest")


def _examine(item: Item, form: Form, limits: Limits) -> Encoding:
    def stream() -> BinaryIO:
        return decompressed(item.opened(), form.compression)

    return examine(stream, Budget(limits), item.size)


def _text(item: Item, form: Form, encoding: Encoding, budget: Budget) -> Utf8:
    return Utf8(decompressed(item.opened(), form.compression), encoding.name, budget)


def _typed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    names = batch.schema.names
    arrays = [convert(batch.column(name), schema.field(name).type) for name in names]
    return pa.RecordBatch.from_arrays(arrays, names=names)


def _json_schema(own: pa.Schema, schema: pa.Schema) -> pa.Schema:
    """Parse straight into the agreed type where it is text or real: no detour over a guess."""
    fields = []
    for field in own:
        agreed = schema.field(field.name).type
        straight = pa.types.is_string(agreed) or pa.types.is_floating(agreed)
        fields.append((field.name, agreed if straight else field.type))
    return pa.schema(fields)


def _with_folders(batch: pa.RecordBatch, folders: Mapping[str, str | None]) -> pa.RecordBatch:
    for name, value in folders.items():
        constant = pa.repeat(pa.scalar(value, pa.string()), batch.num_rows)
        batch = batch.append_column(name, constant)
    return batch


def _ends_in_line_break(batch: pa.RecordBatch) -> bool:
    """The last cell holds a line break: what an open quote does to the end of a file."""
    value = batch.column(batch.num_columns - 1)[batch.num_rows - 1].as_py()
    return isinstance(value, str) and "\n" in value
