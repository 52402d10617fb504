"""The log as plain files (c2sp.org/tlog-tiles), for mirrors and for whoever has no database.

`checkpoint`; `tile/<level>/<number>` with 256 hashes each, of every eighth level of the tree;
`tile/entries/<number>` with 256 entries each, a 16-bit length before every one. What is not full
yet ends in `.p/<width>`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from auditor.errors import LedgerError
from auditor.ledger.faults import LedgerTampered
from auditor.ledger.proving import Ledger
from auditor.ledger.verification import Verified, reader, require_pin
from auditor.transparency.checkpoint import Seen, open_checkpoint, require_continuation
from auditor.transparency.merkle import consistency_proof, leaf_hash, levels, tree_root
from auditor.transparency.note import MAX_BYTES, VerifierKey
from auditor.transparency.refused import LogRefused

CHECKPOINT: Final = "checkpoint"
_WIDTH: Final = 256
_HEIGHT: Final = 8
_LENGTH: Final = struct.Struct(">H")


def export(ledger: Ledger, folder: Path) -> Seen:
    """Write the log below `folder`, under a checkpoint over all of it; that is written last.

    An export that is there already is continued. Raises `LedgerError`, OSError, and `LogRefused`
    where the log does not continue the checkpoint that lies there: then nothing is written.
    """
    seen = ledger.checkpoint()
    bodies = [entry.body for entry in ledger.entries(0, seen.size)]
    tree = levels(map(leaf_hash, bodies))
    if tree_root(seen.size, reader(tree)) != seen.root:
        raise LedgerTampered(ledger.where, f"the entries are not those of checkpoint {seen.size}")
    earlier = folder / CHECKPOINT
    if earlier.exists():
        _require_continued(earlier.read_bytes(), seen, tree, ledger.key.known())
    for name, content in _tiles(tree, bodies):
        _write(folder / "tile" / name, content)
    _write(earlier, seen.note)
    return seen


def verify_export(folder: Path, keys: Sequence[VerifierKey], pin: Seen | None = None) -> Verified:
    """Verify an export by its files alone.

    Raises:
        LedgerTampered: a tile or an entry is not what the checkpoint is about.
        LedgerError: a file is missing or cannot be read.
        LogRefused: NOTE_* or CHECKPOINT_* for the checkpoint; see `require_pin`.
    """
    seen = open_checkpoint(_read(folder / CHECKPOINT, MAX_BYTES), keys)
    bodies = [body for bundle in _bundles(folder, seen.size) for body in bundle]
    tree = levels(map(leaf_hash, bodies))
    if len(bodies) != seen.size or tree_root(seen.size, reader(tree)) != seen.root:
        raise LedgerTampered(folder, f"the entries are not those of checkpoint {seen.size}")
    for name, content in _tiles(tree, ()):
        if _read(folder / "tile" / name, len(content)) != content:
            raise LedgerTampered(folder, f"tile {name} is wrong")
    verified = Verified(seen.size, 1, seen)
    if pin is not None:
        require_pin(pin, verified, reader(tree))
    return verified


def path_of(number: int, width: int = _WIDTH) -> str:
    """The name of a tile: 1234067 is `x001/x234/067`; a partial one ends in `.p/<width>`."""
    digits = f"{number:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    name = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
    return name if width == _WIDTH else f"{name}.p/{width}"


def _tiles(tree: Sequence[Sequence[bytes]], bodies: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
    for level, hashes in enumerate(tree[::_HEIGHT]):
        for number, part in _parts(hashes):
            yield f"{level}/{path_of(number, len(part))}", b"".join(part)
    for number, part in _parts(bodies):
        bundle = b"".join(_LENGTH.pack(len(body)) + body for body in part)
        yield f"entries/{path_of(number, len(part))}", bundle


def _parts(items: Sequence[bytes]) -> Iterator[tuple[int, Sequence[bytes]]]:
    for start in range(0, len(items), _WIDTH):
        yield start // _WIDTH, items[start : start + _WIDTH]


def _bundles(folder: Path, size: int) -> Iterator[list[bytes]]:
    for start in range(0, size, _WIDTH):
        width = min(_WIDTH, size - start)
        name = path_of(start // _WIDTH, width)
        raw = _read(folder / "tile" / "entries" / name, width * (_LENGTH.size + 65_535))
        yield _split(raw, folder, name)


def _split(raw: bytes, folder: Path, name: str) -> list[bytes]:
    bodies, at = [], 0
    while at < len(raw):
        (length,) = _LENGTH.unpack_from(raw.ljust(at + _LENGTH.size), at)
        body = raw[at + _LENGTH.size : at + _LENGTH.size + length]
        at += _LENGTH.size + length
        bodies.append(body)
    if at != len(raw):
        raise LedgerTampered(folder, f"the entries in {name} are cut off")
    return bodies


def _require_continued(
    note: bytes, seen: Seen, tree: Sequence[Sequence[bytes]], keys: Sequence[VerifierKey]
) -> None:
    earlier = open_checkpoint(note, keys)
    proof = []
    if 0 < earlier.size < seen.size:
        proof = consistency_proof(earlier.size, seen.size, reader(tree))
    require_continuation(earlier, seen, proof)


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise LedgerError(f"{path}: cannot be read ({error.strerror})") from error
    if len(content) > most:
        raise LogRefused("PROOF_FORMAT", f"{path.name} is longer than it can be.")
    return content


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all: somebody may be reading."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(content)
    fresh.replace(path)
