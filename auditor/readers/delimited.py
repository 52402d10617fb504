"""CSV and its relatives: delimiter, quote and header are found, every cell is read as text."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.csv as pacsv

from auditor.readers.limits import MIB, Limits, Refused
from auditor.readers.text import Utf8

_DELIMITERS: Final = (",", ";", "\t", "|")
_SAMPLE: Final = MIB
_SAMPLE_ROWS: Final = 200
_SHOWN: Final = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "bar"}


class LongRow(Exception):
    """A row does not fit into a block."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the lines of a file are cut. `blank`: empty lines above the header.

    `block`: bytes parsed at once; a row must fit into it.
    """

    delimiter: str
    quote: str
    names: tuple[str, ...]
    blank: int
    notes: tuple[str, ...]
    block: int = 4 * MIB


def sniff(text: Utf8, suffix: str, limits: Limits) -> Dialect:
    """Read the start of a text and say how to cut it.

    Raises:
        Refused: FILE_FORMAT without a header, SCHEMA for duplicate names, LIMIT.
    """
    csv.field_size_limit(sys.maxsize)  # our own limit on cells applies later, with its message
    sample = text.read(_SAMPLE)
    whole = len(sample) < _SAMPLE
    lines = sample.decode("utf-8", errors="ignore")
    if not lines.strip():
        raise Refused("FILE_FORMAT", "no header line, only blanks")
    delimiter, quote = _best(lines, whole, suffix)
    header = next(row for row in _rows(lines, delimiter, quote) if row)
    if len(header) > limits.columns:
        raise Refused("LIMIT", f"{len(header):,} columns, more than {limits.columns:,}")
    blank = _blank_lines(lines)
    shown = () if delimiter == "," else (f"delimiter {_SHOWN[delimiter]}",)
    unnamed = [position for position, name in enumerate(header) if not name]
    names = tuple(name or f"column_{position}" for position, name in enumerate(header))
    notes = (*shown, *(f"column {position} has no name" for position in unnamed[:3]))
    return Dialect(delimiter, quote, names, blank, notes)


def batches(text: Utf8, dialect: Dialect) -> Iterator[pa.RecordBatch]:
    """All rows, every column as string; empty cells are null.

    Raises:
        LongRow: try again with a larger block.
        pa.ArrowInvalid: see `ragged_line`.
    """
    try:
        reader = pacsv.open_csv(
            pa.PythonFile(text, mode="r"),
            read_options=_read_options(dialect),
            parse_options=pacsv.ParseOptions(
                delimiter=dialect.delimiter, quote_char=dialect.quote, newlines_in_values=True
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(dialect.names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
        yield from reader
    except pa.ArrowInvalid as error:
        if "straddling" in str(error):
            raise LongRow from error
        raise


def _read_options(dialect: Dialect) -> pacsv.ReadOptions:
    return pacsv.ReadOptions(
        use_threads=False,
        block_size=dialect.block,
        skip_rows=dialect.blank,
        skip_rows_after_names=1,
        column_names=dialect.names,
    )


def ragged_line(text: Utf8, dialect: Dialect) -> str | None:
    """Where and how the first row has another number of cells than the header, in words."""
    width = len(dialect.names)
    for line, row in _numbered(text, dialect):
        if len(row) != width:
            return f"line {line}: {len(row)} cells where the header has {width}"
    return None


def lines_of(text: Utf8, dialect: Dialect, rows: Sequence[int]) -> dict[int, int]:
    """The line (from 1) on which each 0-based row ends."""
    wanted = set(rows)
    found: dict[int, int] = {}
    for position, (line, _) in enumerate(_numbered(text, dialect), start=-1):
        if position in wanted:
            found[position] = line
        if len(found) == len(wanted):
            break
    return found


def _numbered(text: Utf8, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, the header first, with the line each ends on. Slow, and exact."""
    lines = io.TextIOWrapper(io.BufferedReader(text, MIB), "utf-8", newline="")
    reader = csv.reader(lines, delimiter=dialect.delimiter, quotechar=dialect.quote)
    for row in reader:
        if row:
            yield reader.line_num, row


def _best(lines: str, whole: bool, suffix: str) -> tuple[str, str]:
    """The delimiter and quote under which most rows have as many cells as the header."""
    order = ("\t", ",", ";", "|") if suffix in {".tsv", ".tab"} else _DELIMITERS
    quotes = ('"', "'") if re.search(r"(^|[,;\t|\n])'", lines) and '"' not in lines else ('"',)
    ranked = [(_consistency(lines, whole, d, q), d, q) for q in quotes for d in order]
    best = max(score for score, _, _ in ranked)
    return next((d, q) for score, d, q in ranked if score == best)


def _consistency(lines: str, whole: bool, delimiter: str, quote: str) -> tuple[float, int]:
    rows = [row for row in _rows(lines, delimiter, quote) if row]
    if not whole and len(rows) > 1 and len(rows) <= _SAMPLE_ROWS:
        rows.pop()  # the sample ends in the middle of it
    width = len(rows[0])
    if width == 1:
        return 0.0, 0
    return sum(len(row) == width for row in rows) / len(rows), width


def _rows(lines: str, delimiter: str, quote: str) -> Iterator[list[str]]:
    reader = csv.reader(io.StringIO(lines, newline=""), delimiter=delimiter, quotechar=quote)
    for count, row in enumerate(reader):
        if count > _SAMPLE_ROWS:
            return
        yield row


def _blank_lines(lines: str) -> int:
    count = 0
    for line in io.StringIO(lines):
        if line.strip("\r\n"):
            return count
        count += 1
    return count
