"""Text as a bounded stream of UTF-8: decompression, encoding, NUL bytes.

Nothing holds a whole file: a stream is read in blocks, and what it decodes to is counted.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import pyarrow as pa

from auditor.readers.limits import MIB, Budget, Refused

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Opener = Callable[[], BinaryIO]

#: UTF-32 before UTF-16: the little-endian marks begin alike.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the text of a file is encoded, and whether its double quotes come in pairs."""

    name: str
    paired_quotes: bool = True

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the report should know."""
        return () if self.name == "utf-8" else (f"encoding {self.name}",)


def decompressed(raw: BinaryIO, compression: str | None) -> BinaryIO:
    """The stream behind a compression; reads raise OSError, EOFError or the like when damaged."""
    if compression == "gzip":
        return cast(BinaryIO, gzip.GzipFile(fileobj=raw))
    if compression == "bz2":
        return cast(BinaryIO, bz2.BZ2File(raw))
    if compression == "xz":
        return cast(BinaryIO, lzma.LZMAFile(raw))
    if compression is not None:
        return cast(BinaryIO, pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), compression))
    return raw


def blocks(stream: BinaryIO, budget: Budget, size: int = MIB) -> Iterator[bytes]:
    """The stream in blocks of at most `size` bytes, each counted before it is used."""
    while block := stream.read(size):
        budget.spend(len(block))
        yield block


def examine(opened: Opener, budget: Budget, size: int) -> Encoding:
    """Find the encoding by reading all of the text: a mark, else UTF-8, else cp1252 or latin-1.

    Raises:
        Refused: FILE_FORMAT for a NUL byte, with its line, and for a marked encoding that lies.
    """
    head = opened().read(4)
    marked = next((name for mark, name in _MARKS if head.startswith(mark)), None)
    for name in (marked,) if marked else ("utf-8", "cp1252", "latin-1"):
        budget.begin(size)
        try:
            return _scan(opened(), name, budget)
        except UnicodeDecodeError:
            continue
    raise Refused("FILE_FORMAT", f"marked as {marked} but does not decode as that")


def _scan(stream: BinaryIO, encoding: str, budget: Budget) -> Encoding:
    decoder = codecs.getincrementaldecoder(encoding)()
    line, quotes = 1, 0
    for block in blocks(stream, budget):
        text = decoder.decode(block)
        if "\0" in text:
            line += text.count("\n", 0, text.index("\0"))
            raise Refused("FILE_FORMAT", f"line {line}: a NUL byte, which no text file holds")
        line += text.count("\n")
        quotes += text.count('"')
    decoder.decode(b"", final=True)
    return Encoding(encoding, quotes % 2 == 0)


class Utf8(io.RawIOBase):
    """A text stream as UTF-8 without a mark, filled up to the size asked for."""

    def __init__(self, stream: BinaryIO, encoding: str, budget: Budget) -> None:
        """Read from the start of `stream`."""
        super().__init__()
        self._blocks = blocks(stream, budget)
        self._decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)()
        self._rest = bytearray()

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """For `io.BufferedReader`: see `read`."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, fewer only at the end; all of them where `size` is negative."""
        while size < 0 or len(self._rest) < size:
            block = next(self._blocks, None)
            if block is None:
                break
            self._rest += self._decoder.decode(block).encode() if self._decoder else block
        end = len(self._rest) if size < 0 else size
        taken = bytes(self._rest[:end])
        del self._rest[:end]
        return taken
