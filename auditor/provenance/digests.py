"""Digests that bind a batch: its files with their names, its columns, its contributors."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from auditor.provenance.strict_json import Json, canonical

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


def is_sha256(text: str) -> bool:
    """Whether this is 64 lowercase hex digits."""
    return _SHA256.fullmatch(text) is not None


def sha256(content: bytes) -> str:
    """Lowercase hex sha256."""
    return hashlib.sha256(content).hexdigest()


def subject_digest(files: Iterable[Digested]) -> str:
    r"""Digest of a set of files with their names: sha256 of what `sha256sum` prints for them.

    The lines `hex  name\n` in C-locale order, the construction of in-toto's `dirHash`. Equal to
    `find . -type f | cut -c3- | LC_ALL=C sort | xargs -r sha256sum | sha256sum` for the names that
    `paths.require_safe` allows.
    """
    ordered = sorted(files, key=lambda file: file.name.encode())
    return sha256("".join(f"{file.sha256}  {file.name}\n" for file in ordered).encode())


def schema_fingerprint(fields: Sequence[tuple[str, str, bool]]) -> str:
    """Digest of (name, arrow type, nullable) of each column, in their order.

    Raises:
        Refused: JSON_INVALID for a name that is not a string of whole characters.
    """
    listed: list[Json] = [[name, kind, nullable] for name, kind, nullable in fields]
    return sha256(canonical(listed))


def contributor_roll(contributors: Mapping[str, int]) -> bytes:
    """The table contributor id -> rows, canonical, as it is kept beside the manifest."""
    return canonical(dict(contributors))
