"""A witness: cosigns checkpoints of logs that it watches, each only as the next of the one before.

What c2sp.org/tlog-witness does over HTTP is done here with files: a request comes in, a signature
line or a refusal with its status goes out. Run it as another person on another machine than the
gate: then the ledger's key alone cannot show two histories.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditor.errors import AuditorError, LedgerError
from auditor.private_file import fsync_folder
from auditor.transparency import note, proof
from auditor.transparency.checkpoint import Seen, open_checkpoint, parse_text
from auditor.transparency.merkle import verify_consistency
from auditor.transparency.note import VerifierKey
from auditor.transparency.refused import LogRefused

BAD_REQUEST: Final = 400
FORBIDDEN: Final = 403
NOT_FOUND: Final = 404
CONFLICT: Final = 409
UNPROCESSABLE: Final = 422


class NotCosigned(AuditorError):
    """The witness refuses; `status` is that of the protocol, `size` what a 409 answers."""

    def __init__(self, status: int, message: str, size: int | None = None) -> None:
        """Say the status first."""
        super().__init__(f"{status}: {message}")
        self.status = status
        self.size = size


@dataclass(frozen=True, slots=True)
class Witness:
    """The witness's name and key, the logs that it watches, and the folder of what it saw."""

    name: str
    key: Ed25519PrivateKey
    logs: Sequence[VerifierKey]
    folder: Path

    def cosign(self, request: bytes, now: int) -> bytes:
        """The signature line for a request at `now` (POSIX seconds).

        What was seen is durable before the line is given out. Raises `NotCosigned`, and
        `LedgerError` where the own state cannot be read or written.
        """
        asked = self._read(request)
        given = self._opened(asked.note)
        if asked.old > given.size:
            raise NotCosigned(BAD_REQUEST, "The old size is larger than the checkpoint.")
        with self._state(given.checkpoint.origin) as path:
            known = self._known(path)
            self._require_next(asked, known, given)
            _write_durably(path, given.note)
        return note.cosign(note.parse(given.note), self.name, self.key, now)

    def _read(self, request: bytes) -> proof.ConsistencyProof:
        try:
            asked = proof.parse_consistency(request)
            text = note.parse(asked.note).text
            origin = parse_text(text).origin
        except LogRefused as refused:
            raise NotCosigned(BAD_REQUEST, refused.message) from refused
        if origin not in {key.name for key in self.logs}:
            raise NotCosigned(NOT_FOUND, "This log is not watched here.")
        return asked

    def _opened(self, given: bytes) -> Seen:
        try:
            return open_checkpoint(given, self.logs)
        except LogRefused as refused:
            raise NotCosigned(FORBIDDEN, str(refused)) from refused

    def _known(self, path: Path) -> Seen | None:
        if not path.exists():
            return None
        try:
            return open_checkpoint(path.read_bytes(), self.logs)
        except LogRefused as refused:
            raise LedgerError(f"{path}: not what this witness wrote ({refused})") from refused

    def _require_next(self, asked: proof.ConsistencyProof, known: Seen | None, given: Seen) -> None:
        size = known.size if known else 0
        if asked.old != size:
            raise NotCosigned(CONFLICT, f"The log was seen with {size} entries.", size)
        if known is None:
            if asked.hashes:
                raise NotCosigned(UNPROCESSABLE, "Nothing is proven about an empty log.")
            return
        if given.size == size and given.root != known.root:
            raise NotCosigned(CONFLICT, f"Another root was seen for {size} entries.", size)
        try:
            verify_consistency(size, given.size, known.root, given.root, asked.hashes)
        except LogRefused as refused:
            raise NotCosigned(UNPROCESSABLE, refused.message) from refused

    @contextlib.contextmanager
    def _state(self, origin: str) -> Iterator[Path]:
        """The file of a log's newest checkpoint, locked: looking and writing are one step."""
        self.folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(origin.encode()).hexdigest()
        with (self.folder / f"{name}.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self.folder / name


def _write_durably(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    fsync_folder(path.parent)
