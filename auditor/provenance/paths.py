"""Which file names a manifest may list.

A name from a stranger is joined to our folders, matched by globs and, in a hive layout, read as
values. So names are few and plain: no way out of the folder, nothing hidden, no two that a
case-insensitive file system would merge, no partition that was not declared.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final

from auditor.provenance.refused import Refused, printable

MAX_PARTS: Final = 8
#: ASCII only, hence in Unicode normal form C; the first character rules out `.`, `..` and hiding.
_PART: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=+@-]{0,127}")
#: Files that readers obey instead of reading: `_metadata` may point outside its folder.
_SIDECARS: Final = frozenset({"_metadata", "_common_metadata"})


def require_safe(name: str, partitioning: Collection[str] = ()) -> None:
    """Refuse a file name that is not allowed.

    Args:
        name: relative path with `/` between its parts.
        partitioning: the hive keys that the manifest declares.

    Raises:
        Refused: PATH_UNSAFE, with the reason.
    """
    parts = name.split("/")
    if len(parts) > MAX_PARTS:
        raise _unsafe(name, f"it has more than {MAX_PARTS} parts")
    for part in parts:
        if not _PART.fullmatch(part):
            raise _unsafe(name, f'the part "{printable(part, 40)}" is not allowed')
        if part.casefold() in _SIDECARS:
            raise _unsafe(name, f"{part} is a sidecar, not a data file")
    keys = hive_keys(name)
    if undeclared := [key for key in keys if key not in partitioning]:
        raise _unsafe(name, f'the partition "{printable(undeclared[0], 40)}" is not declared')
    if len(set(keys)) < len(keys):
        raise _unsafe(name, "it gives one partition twice")


def hive_keys(name: str) -> tuple[str, ...]:
    """The keys of the `key=value` parts of a path, in order."""
    return tuple(part.partition("=")[0] for part in name.split("/") if "=" in part)


def require_distinct(names: Iterable[str]) -> None:
    """Refuse two names that are one on a case-insensitive file system.

    Raises:
        Refused: PATH_UNSAFE.
    """
    seen: dict[str, str] = {}
    for name in names:
        folded = name.casefold()
        if folded in seen:
            raise _unsafe(name, f'it collides with "{printable(seen[folded])}"')
        seen[folded] = name


def _unsafe(name: str, reason: str) -> Refused:
    return Refused("PATH_UNSAFE", f'The file name "{printable(name)}" is refused: {reason}.')
