"""Hands out a byte only after the digest of the very buffer that it lies in was right.

Hashing a file and then reading it again, by path, by descriptor or by a memory map, reads what
somebody wrote in between. So a file up to 32 MB is read once into a private buffer; of a longer
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
#: what is touched is hashed, and no large buffer has to be filled first.
BUFFERED: Final = 32 * 1024 * 1024
#: Verified blocks that are kept, for readers that come back for the next few bytes.
KEPT: Final = 8
#: Threads that hash one range. Two are enough: storage is slower than they are together.
_THREADS: Final = 2
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
        # One byte more: a file that grew shows it.
        content = blob.read_at(0, entry.size + 1)
    except OSError as error:
        raise _unreadable(entry, error) from error
    finally:
        blob.close()
    if len(content) != entry.size:
        raise _size(entry, len(content))
    if not _is_whole(content, entry):
        raise _digest(entry)
    return pa.py_buffer(content)


def streamed(blob: Blob, entry: FileEntry) -> Iterator[bytearray]:
    """The file in blocks, and at the end a refusal if they were not the attested ones.

    For copies that nobody reads before the end has come; closes `blob`.
    """
    digest, size = hashlib.sha256(), 0
    try:
        # Not further than one block past the end: a file may grow for ever.
        while size <= entry.size and (block := blob.read_at(size, BLOCK)):
            digest.update(block)
            size += len(block)
            yield block
    except OSError as error:
        raise _unreadable(entry, error) from error
    finally:
        blob.close()
    if size != entry.size:
        raise _size(entry, size)
    if digest.hexdigest() != entry.sha256:
        raise _digest(entry)


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
        self._blocks = entry.blocks or ()
        self._at = 0
        self._kept: OrderedDict[int, bytes] = OrderedDict()

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
        return bytes(self._next(size))

    def read_buffer(self, size: int | None = None) -> pa.Buffer:
        """The same without a copy; pyarrow asks for it."""
        return pa.py_buffer(self._next(size))

    def close(self) -> None:
        """Close the source; more than once is fine."""
        if not self.closed:
            self._blob.close()
            self._kept.clear()
        super().close()

    def _next(self, size: int | None) -> memoryview:
        left = max(0, self._entry.size - self._at)
        count = left if size is None or size < 0 else min(size, left)
        found = self._range(self._at, count)
        self._at += count
        return found

    def _range(self, start: int, count: int) -> memoryview:
        if not count:
            return memoryview(b"")
        first, last = start // BLOCK, (start + count - 1) // BLOCK
        inside = slice(start - first * BLOCK, start - first * BLOCK + count)
        if first == last:
            return memoryview(self._block(first))[inside]
        content = self._verified(first, last)
        self._keep(last, content[(last - first) * BLOCK :].tobytes())
        return content[inside]

    def _block(self, index: int) -> bytes:
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        block = self._verified(index, index).tobytes()
        self._keep(index, block)
        return block

    def _keep(self, index: int, block: bytes) -> None:
        self._kept[index] = block
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def _verified(self, first: int, last: int) -> memoryview:
        """The blocks from `first` to `last`, each held against its digest."""
        start, stop = first * BLOCK, min((last + 1) * BLOCK, self._entry.size)
        try:
            content = self._blob.read_at(start, stop - start)
        except OSError as error:
            raise _unreadable(self._entry, error) from error
        if len(content) != stop - start:
            raise _size(self._entry, start + len(content))
        view = memoryview(content).toreadonly()
        if not _are_blocks(view, self._blocks[first : last + 1]):
            raise _digest(self._entry)
        return view


def _is_whole(content: bytearray, entry: FileEntry) -> bool:
    """By its blocks where they are known: several threads hash them."""
    if entry.blocks is not None and len(entry.blocks) >= _WORTH:
        return _are_blocks(memoryview(content), entry.blocks)
    return hashlib.sha256(content).hexdigest() == entry.sha256


def _are_blocks(content: memoryview, digests: tuple[str, ...]) -> bool:
    def right(index: int) -> bool:
        block = content[index * BLOCK : (index + 1) * BLOCK]
        return hashlib.sha256(block).hexdigest() == digests[index]

    return _all(right, len(digests))


def _all(right: Callable[[int], bool], count: int) -> bool:
    if count < _WORTH:
        return all(map(right, range(count)))
    # Threads of this call alone: a pool that outlives it would not outlive a fork.
    with ThreadPoolExecutor(_THREADS) as pool:
        strides = (range(one, count, _THREADS) for one in range(_THREADS))
        return all(pool.map(lambda stride: all(map(right, stride)), strides))


def _size(entry: FileEntry, found: int) -> NotVerified:
    text = f'"{printable(entry.name)}" has {found} bytes or more, {entry.size} were attested.'
    return NotVerified("FILE_SIZE", text)


def _digest(entry: FileEntry) -> NotVerified:
    text = f'"{printable(entry.name)}" has other bytes than were audited.'
    return NotVerified("FILE_DIGEST", text)


def _unreadable(entry: FileEntry, error: OSError) -> NotVerified:
    reason = printable(error.strerror or str(error))
    return NotVerified("FILE_UNREADABLE", f'"{printable(entry.name)}": {reason}.')
