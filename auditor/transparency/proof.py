"""Proof files: an entry is in the log (c2sp.org/tlog-proof@v1), a log continues another.

A proof file of ours carries the body of the entry as its extra data. The format does not
authenticate that line; here it is exactly what is proven, as the leaf is the hash of it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from auditor.transparency.checkpoint import Seen, decimal, open_checkpoint, require_continuation
from auditor.transparency.merkle import HASH_BYTES, leaf_hash, verify_inclusion
from auditor.transparency.note import VerifierKey, from_base64
from auditor.transparency.refused import LogRefused

MAGIC: Final = "c2sp.org/tlog-proof@v1"
#: Longest file that is read: a body of 65,535 bytes, 63 hashes and a note fit in twice.
MAX_BYTES: Final = 512 * 1024
#: A tree of 63-bit size is no deeper.
MAX_HASHES: Final = 63


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """What a proof file says: nothing of it is verified."""

    index: int
    hashes: tuple[bytes, ...]
    note: bytes
    extra: bytes | None = None

    def to_bytes(self) -> bytes:
        """The file."""
        extra = [] if self.extra is None else [f"extra {_base64(self.extra)}"]
        head = [MAGIC, *extra, f"index {self.index}", *map(_base64, self.hashes)]
        return "\n".join([*head, "", ""]).encode() + self.note


@dataclass(frozen=True, slots=True)
class ConsistencyProof:
    """A log of `old` entries continues as the checkpoint in `note`: nothing of it is verified.

    The text is that of a request to a witness (c2sp.org/tlog-witness, add-checkpoint).
    """

    old: int
    hashes: tuple[bytes, ...]
    note: bytes

    def to_bytes(self) -> bytes:
        """The file."""
        return "\n".join([f"old {self.old}", *map(_base64, self.hashes), "", ""]).encode() + (
            self.note
        )


@dataclass(frozen=True, slots=True)
class Proven:
    """What a proof file proves: this body is entry `index` of the log of `checkpoint`."""

    index: int
    body: bytes
    seen: Seen

    @property
    def event(self) -> dict[str, Any]:
        """The body as JSON; raises `LogRefused` PROOF_EVENT for what is no event."""
        try:
            said = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise LogRefused("PROOF_EVENT", "The proven entry is not JSON.") from error
        if not isinstance(said, dict):
            raise LogRefused("PROOF_EVENT", "The proven entry is not a JSON object.")
        return said


def parse(file: bytes) -> InclusionProof:
    """Read a proof file; raises `LogRefused` PROOF_FORMAT."""
    lines, note = _head(file)
    if lines.pop(0) != MAGIC:
        raise LogRefused("PROOF_FORMAT", f"The first line is not {MAGIC}.")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = from_base64(lines.pop(0).removeprefix("extra "), "PROOF_FORMAT")
    if not lines or not lines[0].startswith("index "):
        raise LogRefused("PROOF_FORMAT", "The proof has no index.")
    index = decimal(lines.pop(0).removeprefix("index "), "PROOF_FORMAT")
    return InclusionProof(index, _hashes(lines), note, extra)


def parse_consistency(file: bytes) -> ConsistencyProof:
    """Read a consistency proof; raises `LogRefused` PROOF_FORMAT."""
    lines, note = _head(file)
    if not lines[0].startswith("old "):
        raise LogRefused("PROOF_FORMAT", "The first line is not the old size.")
    old = decimal(lines.pop(0).removeprefix("old "), "PROOF_FORMAT")
    return ConsistencyProof(old, _hashes(lines), note)


def verify(
    file: bytes,
    keys: Sequence[VerifierKey],
    *,
    witnesses: Sequence[VerifierKey] = (),
    quorum: int = 0,
) -> Proven:
    """Verify a proof file that carries its entry: the log's key signed a root that it leads to.

    Raises `LogRefused`: PROOF_FORMAT, PROOF_INCLUSION, NOTE_*, CHECKPOINT_*.
    """
    proof = parse(file)
    if proof.extra is None:
        raise LogRefused("PROOF_FORMAT", "The proof does not carry the entry it is about.")
    seen = open_checkpoint(proof.note, keys, witnesses=witnesses, quorum=quorum)
    verify_inclusion(leaf_hash(proof.extra), proof.index, seen.size, proof.hashes, seen.root)
    return Proven(proof.index, proof.extra, seen)


def require_verdict(proven: Proven, attestation_sha256: str) -> None:
    """Raise `LogRefused` PROOF_EVENT unless the entry is a verdict that names this attestation."""
    refs = proven.event.get("refs")
    if proven.event.get("event") != "verdict":
        raise LogRefused("PROOF_EVENT", "The proven entry is not a verdict.")
    if not isinstance(refs, list) or {"sha256": attestation_sha256} not in refs:
        raise LogRefused("PROOF_EVENT", "The proven verdict names another attestation.")


def require_frozen(proven: Proven, list_sha256: str) -> None:
    """Raise `LogRefused` PROOF_EVENT unless the entry froze the list with this digest."""
    if proven.event.get("event") != "dataset.frozen":
        raise LogRefused("PROOF_EVENT", "The proven entry froze no data set.")
    if proven.event.get("subject") != {"sha256": list_sha256}:
        raise LogRefused("PROOF_EVENT", "The proven entry froze another data set.")


def verify_continuation(
    file: bytes,
    seen: Seen,
    keys: Sequence[VerifierKey],
    *,
    witnesses: Sequence[VerifierKey] = (),
    quorum: int = 0,
) -> Seen:
    """Verify a consistency proof against the checkpoint seen last; the one to remember now.

    Raises `LogRefused` or `LogForked`, see `require_continuation`.
    """
    proof = parse_consistency(file)
    given = open_checkpoint(proof.note, keys, witnesses=witnesses, quorum=quorum)
    if proof.old != seen.size:
        raise LogRefused("PROOF_CONSISTENCY", f"The proof is from {proof.old}, not {seen.size}.")
    require_continuation(seen, given, proof.hashes)
    return given


def _head(file: bytes) -> tuple[list[str], bytes]:
    """The lines before the first blank one, and what follows it: the note."""
    if len(file) > MAX_BYTES:
        raise LogRefused("PROOF_FORMAT", f"The proof is longer than {MAX_BYTES} bytes.")
    head, separator, note = file.partition(b"\n\n")
    if not separator or not head.isascii():
        raise LogRefused("PROOF_FORMAT", "The proof has no blank line before its checkpoint.")
    return head.decode("ascii").split("\n"), note


def _hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    if len(lines) > MAX_HASHES:
        raise LogRefused("PROOF_FORMAT", f"The proof has more than {MAX_HASHES} hashes.")
    hashes = tuple(from_base64(line, "PROOF_FORMAT") for line in lines)
    if any(len(each) != HASH_BYTES for each in hashes):
        raise LogRefused("PROOF_FORMAT", f"A hash is not {HASH_BYTES} bytes long.")
    return hashes


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
