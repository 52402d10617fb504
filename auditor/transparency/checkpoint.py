"""Checkpoints (c2sp.org/tlog-checkpoint): how long a log is and what is in it, signed."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditor.transparency import note as notes
from auditor.transparency.merkle import HASH_BYTES, MAX_SIZE, verify_consistency
from auditor.transparency.note import VerifierKey, from_base64
from auditor.transparency.refused import LogForked, LogRefused

_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log: its name, its number of entries, the root over them (32 bytes)."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The three lines that are signed. Extension lines are never written."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class Seen:
    """A checkpoint that somebody vouches for, and the note that says so."""

    checkpoint: Checkpoint
    note: bytes

    @property
    def size(self) -> int:
        """The number of entries."""
        return self.checkpoint.size

    @property
    def root(self) -> bytes:
        """The root over them."""
        return self.checkpoint.root


def decimal(text: str, code: str) -> int:
    """An ASCII decimal without leading zeroes, below 2^63; raises `LogRefused` with `code`."""
    if not _SIZE.fullmatch(text) or int(text) > MAX_SIZE:
        raise LogRefused(code, "A number is not a plain decimal.")
    return int(text)


def parse_text(text: str) -> Checkpoint:
    """Read the text of a checkpoint; raises `LogRefused` CHECKPOINT_FORMAT.

    Extension lines are refused: nobody can audit what they say.
    """
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] or not lines[0]:
        raise LogRefused("CHECKPOINT_FORMAT", "A checkpoint is origin, size and root, no more.")
    size, root = decimal(lines[1], "CHECKPOINT_FORMAT"), from_base64(lines[2], "CHECKPOINT_FORMAT")
    if len(root) != HASH_BYTES:
        raise LogRefused("CHECKPOINT_FORMAT", f"The root is not {HASH_BYTES} bytes long.")
    return Checkpoint(lines[0], size, root)


def open_checkpoint(
    note: bytes,
    keys: Sequence[VerifierKey],
    *,
    witnesses: Sequence[VerifierKey] = (),
    quorum: int = 0,
) -> Seen:
    """Verify a checkpoint note by the keys of its log, of which one must have signed.

    A key vouches for the origin that is its name, for no other. `quorum` of `witnesses` must have
    cosigned. Raises `LogRefused`: NOTE_*, CHECKPOINT_FORMAT or CHECKPOINT_ORIGIN.
    """
    read = notes.parse(note)
    # The text is a stranger's until a signature says otherwise: it is verified before it is parsed.
    signers = notes.verified_by(read, [*keys, *witnesses])
    own = [key for key in signers if key in set(keys)]
    if not own:
        raise LogRefused("NOTE_UNKNOWN_KEY", "No key of the log signed the checkpoint.")
    checkpoint = parse_text(read.text)
    if checkpoint.origin not in {key.name for key in own}:
        raise LogRefused("CHECKPOINT_ORIGIN", "The checkpoint is of another log than its key.")
    cosigned = {key.raw for key in signers if key in set(witnesses)}
    if len(cosigned) < quorum:
        raise LogRefused("NOTE_QUORUM", f"{len(cosigned)} of {quorum} witnesses cosigned.")
    return Seen(checkpoint, note)


def issue(checkpoint: Checkpoint, *keys: Ed25519PrivateKey) -> bytes:
    """The note of a checkpoint, signed by these keys under the origin as their name."""
    return notes.sign(checkpoint.text, checkpoint.origin, *keys)


def require_continuation(seen: Seen, given: Seen, proof: Sequence[bytes]) -> None:
    """Hold a checkpoint against one that was seen before.

    Raises `LogRefused` CHECKPOINT_ORIGIN (of another log), LEDGER_ROLLBACK (shorter than before)
    or PROOF_CONSISTENCY (not proven), and `LogForked` where both have one size and two roots.
    """
    if given.checkpoint.origin != seen.checkpoint.origin:
        raise LogRefused("CHECKPOINT_ORIGIN", "The two checkpoints are of different logs.")
    if given.size < seen.size:
        raise LogRefused(
            "LEDGER_ROLLBACK", f"The log has {given.size} entries; {seen.size} were seen before."
        )
    if given.size == seen.size and given.root != seen.root:
        raise LogForked(f"Two roots for size {seen.size}.", seen.note, given.note)
    if seen.size or proof:  # anything continues the empty log, and nothing proves it
        verify_consistency(seen.size, given.size, seen.root, given.root, proof)
