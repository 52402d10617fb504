"""Digests that bind a batch: its files with their names, its columns, its contributors."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol

from auditor.provenance.strict_json import Json, canonical

#: Bytes of a block: what a reader that needs a part of a large file reads and verifies at a time.
BLOCK: Final = 1 << 20

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class Digested(Protocol):
    """Anything with a name and the lowercase hex sha256 of its bytes."""

    @property
    def name(self) -> str:
        """Path relative to the batch, with `/`."""
        ...

    @property
    def sha256(self) -> str:
        """Lowercase hex."""
        ...


@dataclass(frozen=True, slots=True)
class Contents:
    """Size and digests of some bytes; `blocks` are those of each `BLOCK` bytes, in order."""

    sha256: str
    size: int
    blocks: tuple[str, ...]


def is_sha256(text: str) -> bool:
    """Whether this is 64 lowercase hex digits."""
    return _SHA256.fullmatch(text) is not None


def sha256(content: bytes) -> str:
    """Lowercase hex sha256."""
    return hashlib.sha256(content).hexdigest()


def contents_of(file: BinaryIO) -> Contents:
    """Read a file to its end, once, for all its digests: they are of the same bytes."""
    whole, size, blocks = hashlib.sha256(), 0, []
    while block := _block(file):
        whole.update(block)
        blocks.append(sha256(block))
        size += len(block)
    return Contents(whole.hexdigest(), size, tuple(blocks))


def block_count(size: int) -> int:
    """Number of blocks of a file of `size` bytes."""
    return -(-size // BLOCK)


def subject_digest(files: Iterable[Digested]) -> str:
    r"""Digest of a set of files with their names: sha256 of what `sha256sum` prints for them.

    The lines `hex  name\n` in C-locale order, the construction of in-toto's `dirHash`. Equal to
    `find . -type f | cut -c3- | LC_ALL=C sort | xargs -r sha256sum | sha256sum` for the names that
    `paths.require_safe` allows.
    """
    ordered = sorted(files, key=lambda file: file.name.encode())
    return sha256("".join(f"{file.sha256}  {file.name}\n" for file in ordered).encode())


def document_digest(document: Json) -> str:
    """Digest of a document in its one encoding.

    Raises:
        Refused: JSON_INVALID for what has none.
    """
    return sha256(canonical(document))


def schema_fingerprint(fields: Sequence[tuple[str, str, bool]]) -> str:
    """Digest of (name, arrow type, nullable) of each column, in their order.

    Raises:
        Refused: JSON_INVALID for a name that is not a string of whole characters.
    """
    listed: list[Json] = [[name, kind, nullable] for name, kind, nullable in fields]
    return document_digest(listed)


def _block(file: BinaryIO) -> bytes:
    """The next whole block, shorter only at the end: `read` of a raw file may return less."""
    parts, left = [], BLOCK
    while left and (part := file.read(left)):
        parts.append(part)
        left -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def contributor_roll(contributors: Mapping[str, int]) -> bytes:
    """The table contributor id -> rows, canonical, as it is kept beside the manifest."""
    return canonical(dict(contributors))
