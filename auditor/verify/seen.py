"""What this verifier has seen before: the log's checkpoints, the newest status and trust policy.

With it every training job is a witness of the log: an older or another history than the one that
was shown before is noticed here, whoever signed it.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from auditor.provenance import strict_json
from auditor.provenance.fields import Fields
from auditor.provenance.refused import Refused, printable
from auditor.provenance.times import format_time
from auditor.trust import chain
from auditor.verify.refused import NotVerified

NAME: Final = "seen.json"
_VERSION: Final = 1
_MAX_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Known:
    """A signed note of the log, and a time at which the log was that long already."""

    note: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Memory:
    """The record. `checkpoints`: every one that no newer one is proven to continue yet.

    Usually it is one. A proof may be newer than the newest status; then it waits beside it until a
    status is proven to continue both.
    """

    checkpoints: tuple[Known, ...] = ()
    status: datetime | None = None
    policy: chain.Seen | None = None


@dataclass(slots=True)
class Session:
    """One verification that holds the store: `memory` is written back when it has succeeded."""

    memory: Memory = field(default_factory=Memory)
    durable: bool = False


@contextmanager
def remembering(store: str | os.PathLike[str] | None) -> Iterator[Session]:
    """Read the store, and write back what the block has put into `memory`, unless it raised.

    Verifications with one store wait for each other. Without a store nothing is remembered.

    Raises:
        NotVerified: SEEN_INVALID where the store cannot be read or written.
    """
    if store is None:
        yield Session()
        return
    folder = _folder(store)
    with _locked(folder):
        session = Session(_load(folder / NAME), durable=True)
        before = session.memory
        yield session
        if session.memory != before:
            _save(folder, session.memory)


def _folder(store: str | os.PathLike[str]) -> Path:
    text = os.fspath(store)
    if "://" not in text:
        return Path(text)
    parts = urlsplit(text)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise NotVerified("SEEN_INVALID", f'"{printable(text)}" is no file:// URI of this machine.')
    return Path(unquote(parts.path))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(folder / f".{NAME}.lock", flags, 0o600)
    except OSError as error:
        raise _invalid(folder, error.strerror or str(error)) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _load(path: Path) -> Memory:
    try:
        with path.open("rb") as file:
            said = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return Memory()
    except OSError as error:
        raise _invalid(path, error.strerror or str(error)) from error
    try:
        return _parsed(Fields.of(strict_json.loads(said), "seen"))
    except Refused as refused:
        raise _invalid(path, refused.message) from refused


def _parsed(fields: Fields) -> Memory:
    if set(fields.values) != {"v", "checkpoints", "status", "policy"} or fields.count("v") != 1:
        raise Refused("FIELD_VALUE", "It is not of this version.")
    policy = fields.optional_section("policy")
    return Memory(
        checkpoints=tuple(
            Known(one.text("note"), one.time("since")) for one in fields.sections("checkpoints")
        ),
        status=fields.time("status") if fields.has("status") else None,
        policy=chain.Seen(policy.count("version"), policy.digest("digest")) if policy else None,
    )


def _save(folder: Path, memory: Memory) -> None:
    """Replace the record in one step; after a crash it is the old one or the new one."""
    record = {
        "v": _VERSION,
        "checkpoints": [
            {"note": one.note, "since": format_time(one.since)} for one in memory.checkpoints
        ],
        "status": format_time(memory.status) if memory.status else None,
        "policy": {"version": memory.policy.version, "digest": {"sha256": memory.policy.sha256}}
        if memory.policy
        else None,
    }
    fresh = folder / f".{NAME}.{secrets.token_hex(8)}"
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(record, file, indent=1)
            file.flush()
            os.fsync(descriptor)
        fresh.replace(folder / NAME)
        _fsync(folder)
    except OSError as error:
        raise _invalid(folder, error.strerror or str(error)) from error
    finally:
        fresh.unlink(missing_ok=True)


def _fsync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _invalid(path: Path, reason: str) -> NotVerified:
    return NotVerified("SEEN_INVALID", f'"{printable(str(path))}": {printable(reason)}')
