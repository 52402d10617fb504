"""Parsing, as it runs in the sandboxed child: survey every file, agree on a schema, write rows.

What is wrong with a file is a `Refused`, kept by file. What is wrong with the machine (no space)
is an `OSError` with its number, and ends the run.
"""

from __future__ import annotations

import errno
import lzma
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO, Final

import pyarrow as pa

from auditor.readers.agree import agree
from auditor.readers.limits import Budget, Limits, Refused, plain
from auditor.readers.onefile import Found, Item, look, rows
from auditor.readers.write import Normalised

#: Damaged input as the decoders report it. An OSError with a number is the machine's, see below.
_DAMAGED: Final = (pa.ArrowException, OSError, EOFError, zlib.error, lzma.LZMAError, UnicodeError)


#: What is done with each file, in order: find names and types, then read the rows.
STEPS: Final = ("survey", "read")


@dataclass(slots=True)
class Parsed:
    """What came out: per file (by index) the rows, format, notes and refusals."""

    schema: pa.Schema | None = None
    rows: dict[int, int] = field(default_factory=dict)
    formats: dict[int, str] = field(default_factory=dict)
    notes: dict[int, tuple[str, ...]] = field(default_factory=dict)
    refused: dict[int, tuple[str, str]] = field(default_factory=dict)
    decoded: int = 0


class Parser:
    """Parses one batch. `begin(index, step)` is told which file is next; step is of `STEPS`."""

    def __init__(
        self, items: Sequence[Item], limits: Limits, begin: Callable[[int, str], None]
    ) -> None:
        """Nothing is read yet."""
        self._items = items
        self._limits = limits
        self._begin = begin
        self._found: dict[int, Found] = {}
        self._result = Parsed()

    def run(self, output: BinaryIO, *, set_aside: bool) -> Parsed:
        """Parse everything; rows are written only if no file is refused, or `set_aside`.

        Raises:
            OSError: the machine, not the batch, is the trouble (no space, input/output error).
        """
        self._survey_all()
        schema = self._agree()
        if self._usable and (set_aside or not self._result.refused):
            self._write_all(output, schema, set_aside=set_aside)
        self._describe()
        return self._result

    @property
    def _usable(self) -> list[Item]:
        return [item for item in self._items if item.index not in self._result.refused]

    def _survey_all(self) -> None:
        budget = Budget(self._limits)
        for item in self._items:
            self._begin(item.index, "survey")
            budget.begin(item.size)
            with self._refusing(item.index):
                self._found[item.index] = look(item, self._limits, budget)

    def _agree(self) -> pa.Schema:
        """Refusing a file may change the votes, so vote until all that are left agree."""
        while True:
            agreement = agree([self._found[item.index].survey for item in self._usable])
            for index, reason in agreement.refused.items():
                self._result.refused[index] = ("SCHEMA", plain(reason, 400))
            if not agreement.refused:
                return agreement.schema

    def _write_all(self, output: BinaryIO, schema: pa.Schema, *, set_aside: bool) -> None:
        """Write the rows; where a file breaks half-way, look through the others and start again."""
        while self._usable:
            output.seek(0)
            output.truncate()
            broken = self._write(output, schema)
            if not broken:
                self._result.schema = schema
                return
            if not set_aside:
                return
            self._try_out(schema)
            schema = self._agree()

    def _write(self, output: BinaryIO, schema: pa.Schema) -> bool:
        """True where a file turned out to be broken."""
        budget = Budget(self._limits)
        with Normalised(output, schema) as writer:
            for item in self._usable:
                self._begin(item.index, "read")
                with self._refusing(item.index):
                    before = budget.rows
                    for batch in self._rows(item, schema, budget):
                        writer.add(batch)
                    self._result.rows[item.index] = budget.rows - before
                if item.index in self._result.refused:
                    writer.abandon()
                    return True
        self._result.decoded = budget.decoded
        return False

    def _try_out(self, schema: pa.Schema) -> None:
        """Read every file once without writing, so that a batch of broken files ends soon."""
        budget = Budget(self._limits)
        for item in self._usable:
            self._begin(item.index, "read")
            with self._refusing(item.index):
                for _ in self._rows(item, schema, budget):
                    pass

    def _describe(self) -> None:
        for index, found in self._found.items():
            self._result.formats[index] = found.form.shown
            self._result.notes[index] = found.notes

    def _rows(self, item: Item, schema: pa.Schema, budget: Budget) -> Iterator[pa.RecordBatch]:
        return rows(self._found[item.index], schema, self._limits, budget)

    @contextmanager
    def _refusing(self, index: int) -> Iterator[None]:
        """Turn what a decoder raises about this file into its refusal."""
        try:
            yield
        except Refused as refused:
            self._result.refused[index] = (refused.code, refused.message)
        except MemoryError:
            text = f"reading it needs more than {self._limits.memory:,} bytes of memory"
            self._result.refused[index] = ("LIMIT", text)
        except _DAMAGED as error:
            if isinstance(error, OSError) and error.errno == errno.EFBIG:
                text = f"its rows need more than {self._limits.decoded_bytes:,} bytes on disk"
                self._result.refused[index] = ("LIMIT", text)
                return
            if isinstance(error, OSError) and error.errno is not None:
                raise
            self._result.refused[index] = ("FILE_FORMAT", plain(f"cannot be decoded: {error}", 300))
