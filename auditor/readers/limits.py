"""What a batch may cost to read, and the refusal that is raised where it costs more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30

#: Below this many decoded bytes a file may expand as much as it likes: a column of one repeated
#: value compresses without bound and harms nobody.
EXPANSION_FLOOR: Final = 256 * MIB


#: Note of a Parquet file whose schema carries metadata; it is not published byte for byte.
METADATA_NOTE: Final = "the schema carries metadata, which is not read and not published"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Upper bounds for one batch. A batch above one of them is refused with code LIMIT.

    `files`: number of files. `bytes`: size of all files as received. `rows`: rows of all files.
    `columns`: columns of a file. `decoded_bytes`: size of all rows in memory, or of the text
    after decompression. `expansion`: decoded bytes per received byte of one file, above a floor
    of 256 MiB. `memory`: bytes of address space of the parsing process. `cpu_seconds` and
    `seconds`: processor and wall time of the parsing process. `cell_bytes`: size of one text cell.
    """

    files: int = 10_000
    bytes: int = 8 * GIB
    rows: int = 100_000_000
    columns: int = 4_096
    decoded_bytes: int = 32 * GIB
    expansion: int = 1_000
    memory: int = 4 * GIB
    cpu_seconds: int = 1_800
    seconds: int = 3_600
    cell_bytes: int = 16 * MIB


class Refused(Exception):
    """This file cannot be used. Never leaves the package: the caller turns it into a finding."""

    def __init__(self, code: str, message: str) -> None:
        """Keep the stable code and a message that is safe to print."""
        super().__init__(message)
        self.code = code
        self.message = plain(message, 400)


class Budget:
    """Counts rows and decoded bytes of one pass and refuses what exceeds `Limits`."""

    def __init__(self, limits: Limits, size: int = 0) -> None:
        """Start with nothing spent, at a file of `size` received bytes."""
        self.limits = limits
        self.rows = 0
        self.decoded = 0
        self.begin(size)

    def begin(self, size: int) -> None:
        """The next file has `size` received bytes."""
        self._file = 0
        self._allowance = max(EXPANSION_FLOOR, size * self.limits.expansion)

    def spend(self, decoded: int) -> None:
        """Count decoded bytes of the current file."""
        self._file += decoded
        self.decoded += decoded
        if self._file > self._allowance:
            raise Refused("LIMIT", f"the file decodes to more than {self._allowance:,} bytes")
        if self.decoded > self.limits.decoded_bytes:
            limit = self.limits.decoded_bytes
            raise Refused("LIMIT", f"the batch decodes to more than {limit:,} bytes")

    def count(self, rows: int) -> None:
        """Count rows of the current file."""
        self.rows += rows
        if self.rows > self.limits.rows:
            raise Refused("LIMIT", f"the batch holds more than {self.limits.rows:,} rows")


def plain(text: str, length: int = 80) -> str:
    """Text that may come from a cell, without control characters and at most `length` long."""
    start = text[: length + 1]
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in start)
    return shown if len(shown) <= length else shown[: length - 3] + "..."
