"""Hands out a byte only after the digest of the very buffer that it lies in was right.

Hashing a file and then reading it again, by path, by descriptor or by a memory map, reads what
somebody wrote in between. So a file up to 4 MB is read once into a private buffer; of a longer
one each mebibyte is verified in the buffer that is handed out, whenever it is touched.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pyarrow as pa

from auditor.provenance.digests import BLOCK
from auditor.provenance.entries import FileEntry
from auditor.provenance.refused import printable
from auditor.verify.refused import NotVerified
from auditor.verify.roots import Blob

#: Longest file that is held in memory as a whole, in bytes. Longer ones are cheaper by blocks: only
#: what is touched is hashed, say that of one column, and no large buffer has to be filled first.
BUFFERED: Final = 4 * 1024 * 1024
#: Verified blocks that are kept, for readers that come back for the next few bytes.
KEPT: Final = 8
#: Most threads that read and hash one range; storage is slower than so many are together.
_THREADS: Final = 8
#: Blocks below which threads cost more than they save.
_WORTH: Final = 4


def opened(blob: Blob, entry: FileEntry) -> pa.NativeFile:
    """The attested bytes as a file to read and seek in; takes over `blob`.

    Raises:
        NotVerified: FILE_SIZE or FILE_DIGEST; of a long file only when a byte of it is read.
    """
    if entry.blocks is not None and entry.size > BUFFERED:
        return pa.PythonFile(BlockReader(blob, entry), mode="r")
    return pa.BufferReader(buffered(blob, entry))


def buffered(blob: Blob, entry: FileEntry) -> pa.Buffer:
    """The whole file in a private buffer whose digest is the attested one; closes `blob`."""
    try:
        if blob.size != entry.size:
            raise _size(entry, blob.size)
        content = _range(blob, entry, 0, entry.size)
        # One byte more: a file that grew shows it.
        if blob.read_into(entry.size, memoryview(bytearray(1))):
            raise _size(entry, entry.size + 1)
    except OSError as error:
        raise _unreadable(entry, error) from error
    finally:
        blob.close()
    if entry.blocks is None and hashlib.sha256(content).hexdigest() != entry.sha256:
        raise _digest(entry)
    return content


def streamed(blob: Blob, entry: FileEntry) -> Iterator[memoryview]:
    """The file in blocks, and at the end a refusal if they were not the attested ones.

    For copies that nobody reads before the end has come; closes `blob`.
    """
    digest, size = hashlib.sha256(), 0
    for block in unverified(blob, entry):
        digest.update(block)
        size += len(block)
        yield block
    if size != entry.size:
        raise _size(entry, size)
    if digest.hexdigest() != entry.sha256:
        raise _digest(entry)


def require(blob: Blob, entry: FileEntry) -> None:
    """Read the file to its end and hold it against its digest; closes `blob`."""
    for _ in streamed(blob, entry):
        pass


def unverified(blob: Blob, entry: FileEntry) -> Iterator[memoryview]:
    """The file in blocks, for a copy that is verified by itself afterwards; closes `blob`."""
    size = 0
    try:
        # Not further than one block past the end: a file may grow for ever.
        while size <= entry.size:
            block = memoryview(bytearray(BLOCK))
            block = block[: blob.read_into(size, block)]
            if not block:
                return
            size += len(block)
            yield block
    except OSError as error:
        raise _unreadable(entry, error) from error
    finally:
        blob.close()


class BlockReader(io.RawIOBase):
    """A file of verified blocks. Reads by position: what lies in the source after `size` is cut."""

    def __init__(self, blob: Blob, entry: FileEntry) -> None:
        """`entry` has blocks; `blob` is taken over."""
        super().__init__()
        if blob.size != entry.size:
            blob.close()
            raise _size(entry, blob.size)
        self._blob = blob
        self._entry = entry
        self._at = 0
        self._kept: OrderedDict[int, pa.Buffer] = OrderedDict()

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Position in bytes."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As for any file."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._entry.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes, fewer only at the end."""
        return bytes(self.read_buffer(size))

    def read_buffer(self, size: int | None = None) -> pa.Buffer:
        """The same without a copy; pyarrow asks for it."""
        left = max(0, self._entry.size - self._at)
        count = left if size is None or size < 0 else min(size, left)
        found = self._from(self._at, count)
        self._at += count
        return found

    def close(self) -> None:
        """Close the source; more than once is fine."""
        if not self.closed:
            self._blob.close()
            self._kept.clear()
        super().close()

    def _from(self, start: int, count: int) -> pa.Buffer:
        if not count:
            return pa.py_buffer(b"")
        first, last = start // BLOCK, (start + count - 1) // BLOCK
        inside = start - first * BLOCK
        if first == last:
            return self._block(first).slice(inside, count)
        content = self._verified(first, last)
        # A copy: a slice would keep the whole range in memory.
        self._keep(last, pa.py_buffer(bytes(content.slice((last - first) * BLOCK))))
        return content.slice(inside, count)

    def _block(self, index: int) -> pa.Buffer:
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        block = self._verified(index, index)
        self._keep(index, block)
        return block

    def _keep(self, index: int, block: pa.Buffer) -> None:
        self._kept[index] = block
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def _verified(self, first: int, last: int) -> pa.Buffer:
        """The blocks from `first` to `last`, each held against its digest."""
        stop = min((last + 1) * BLOCK, self._entry.size)
        try:
            return _range(self._blob, self._entry, first * BLOCK, stop)
        except OSError as error:
            raise _unreadable(self._entry, error) from error


def _range(blob: Blob, entry: FileEntry, start: int, stop: int) -> pa.Buffer:
    """The bytes from `start`, where a block begins, to `stop`; verified where there are blocks.

    Nothing is hashed but the buffer that is handed out, and each block while the processor's cache
    still holds it.
    """
    # Not zeroed first: what could not be filled is refused, never handed out.
    content = pa.allocate_buffer(stop - start)
    view = memoryview(content).cast("@B")

    def fill(offset: int) -> None:
        part = view[offset : offset + blob.grain]
        if (found := blob.read_into(start + offset, part)) != len(part):
            raise _size(entry, start + offset + found)
        if entry.blocks is not None:
            _require_blocks(part, entry, (start + offset) // BLOCK)

    _each(fill, range(0, stop - start, blob.grain))
    return content


def _require_blocks(part: memoryview, entry: FileEntry, first: int) -> None:
    blocks = entry.blocks or ()
    for number, at in enumerate(range(0, len(part), BLOCK), first):
        if hashlib.sha256(part[at : at + BLOCK]).hexdigest() != blocks[number]:
            raise _digest(entry)


def _each(fill: Callable[[int], None], offsets: range) -> None:
    """In threads where there are enough; the first refusal is raised."""
    threads = min(_THREADS, pa.cpu_count(), len(offsets))
    if len(offsets) < _WORTH or threads < 2:
        for offset in offsets:
            fill(offset)
        return

    def stride(one: int) -> None:
        for offset in offsets[one::threads]:
            fill(offset)

    # Threads of this call alone: a pool that outlives it would not outlive a fork.
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(stride, range(threads)):
            pass


def _size(entry: FileEntry, found: int) -> NotVerified:
    text = f'"{printable(entry.name)}" has {found} bytes or more, {entry.size} were attested.'
    return NotVerified("FILE_SIZE", text)


def _digest(entry: FileEntry) -> NotVerified:
    text = f'"{printable(entry.name)}" has other bytes than were audited.'
    return NotVerified("FILE_DIGEST", text)


def _unreadable(entry: FileEntry, error: OSError) -> NotVerified:
    reason = printable(error.strerror or str(error))
    return NotVerified("FILE_UNREADABLE", f'"{printable(entry.name)}": {reason}.')
