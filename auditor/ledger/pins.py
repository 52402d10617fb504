"""A pin: the checkpoint that somebody saw last, in a file away from the database.

Without one nobody can tell a ledger from an old backup of it, or from another one that was signed
with the same key.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from auditor.errors import ConfigError
from auditor.transparency.checkpoint import Seen, open_checkpoint
from auditor.transparency.note import MAX_BYTES, VerifierKey
from auditor.transparency.refused import LogForked, LogRefused


def read_pin(path: Path, keys: Sequence[VerifierKey]) -> Seen | None:
    """The pinned checkpoint, None where there is no file yet.

    Raises `ConfigError` for a file that is no checkpoint of this log.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path}: the pin cannot be read ({error.strerror})") from error
    try:
        return open_checkpoint(content, keys)
    except LogRefused as refused:
        raise ConfigError(f"{path}: not a pin of this ledger ({refused})") from refused


def move_pin(path: Path, pin: Seen | None, newest: Seen) -> bool:
    """Pin what was verified now, unless that is no newer; whether the file was written.

    Raises `ConfigError` where it cannot be written.
    """
    if pin is not None and newest.size <= pin.size:
        return False
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.write_bytes(newest.note)
        fresh.replace(path)
    except OSError as error:
        raise ConfigError(
            f"{path}: verified, but the pin cannot be written ({error.strerror}); name a file in a "
            "folder that is there and yours"
        ) from error
    return True


def keep_fork(path: Path, forked: LogForked) -> Path:
    """Keep the note that contradicts the pin beside it: together they convict the key."""
    kept = path.with_name(f"{path.name}.fork")
    kept.write_bytes(forked.given)
    return kept
