"""One file as manifests and attestations list it: name, size, rows, digests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from auditor.provenance.digests import BLOCK, block_count, is_sha256
from auditor.provenance.fields import Fields
from auditor.provenance.refused import Refused
from auditor.provenance.strict_json import Json

_BLOCK_FIELDS: Final = frozenset({"size", "sha256"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One declared file: `sha256` is lowercase hex, `size` is in bytes.

    `blocks` are the digests of each mebibyte, for a reader that needs parts of a large file.
    """

    name: str
    sha256: str
    size: int
    rows: int
    media_type: str | None = None
    blocks: tuple[str, ...] | None = None


def read(entry: Fields) -> FileEntry:
    """The entry in a JSON object.

    Raises:
        Refused: a FIELD code, DIGEST_ALGORITHM, or BLOCKS where the blocks are not those of a file
            of this size.
    """
    size, whole = entry.count("size"), entry.digest("digest")
    return FileEntry(
        name=entry.text("name"),
        sha256=whole,
        size=size,
        rows=entry.count("rows"),
        media_type=entry.optional_text("mediaType"),
        blocks=_blocks(entry.section("blocks"), size, whole) if entry.has("blocks") else None,
    )


def as_json(file: FileEntry) -> dict[str, Json]:
    """The JSON object of an entry; what is not known is left out."""
    entry: dict[str, Json] = {
        "name": file.name,
        "digest": {"sha256": file.sha256},
        "size": file.size,
        "rows": file.rows,
    }
    if file.media_type is not None:
        entry["mediaType"] = file.media_type
    if file.blocks is not None:
        entry["blocks"] = {"size": BLOCK, "sha256": list(file.blocks)}
    return entry


def _blocks(given: Fields, size: int, whole: str) -> tuple[str, ...]:
    listed = given.texts("sha256")
    if set(given.values) != _BLOCK_FIELDS or given.count("size") != BLOCK:
        raise Refused("BLOCKS", f"{given.where} must have sha256 and size, which is {BLOCK}.")
    if len(listed) != block_count(size):
        raise Refused("BLOCKS", f"{given.where} has {len(listed)} of {block_count(size)} digests.")
    if not all(is_sha256(one) for one in listed):
        raise Refused("DIGEST_ALGORITHM", f"{given.where} needs sha256 in lowercase hex.")
    if len(listed) == 1 and listed[0] != whole:
        raise Refused("BLOCKS", f"{given.where} is of one block, which is not the file.")
    return listed
