"""What a supplier says of a batch besides its bytes: its number, the batch before, descriptions.

Shell. Works with the base install.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from auditor.errors import BatchError, ConfigError
from auditor.ledger import Ledger
from auditor.provenance import manifest, strict_json
from auditor.provenance.manifest import Manifest
from auditor.provenance.refused import Refused
from auditor.provenance.strict_json import Json
from auditor.readers import read_plain
from auditor.source_order import places


@dataclass(frozen=True, slots=True)
class Link:
    """The number of a batch within its source, and the subject digest of the one before."""

    sequence: int
    previous: str | None


def link(
    source: str,
    *,
    sequence: int | None = None,
    previous: str | None = None,
    after: Path | None = None,
    ledger: Ledger | None = None,
) -> Link:
    """Number and predecessor as given; else those that follow a manifest, or a gate's ledger.

    With neither, the batch is the first of its source.

    Raises:
        BatchError: `after` is no manifest, or one of another source.
        ConfigError: both `after` and `ledger` are given, or nothing was ever logged there.
        LedgerError: it cannot be read.
    """
    if after is not None and ledger is not None:
        raise ConfigError("give the manifest of the batch before, or a ledger, not both")
    last = _of_manifest(source, after) if after else _of_ledger(source, ledger) if ledger else None
    following = Link(last.sequence + 1, last.previous) if last else Link(1, None)
    return Link(
        following.sequence if sequence is None else sequence,
        following.previous if previous is None else previous,
    )


def read_manifest(path: Path) -> Manifest:
    """The manifest in a file, whoever signed it.

    Raises:
        BatchError: it cannot be read, or is none.
    """
    try:
        return manifest.parse(read_bytes(path))
    except Refused as error:
        raise BatchError(f"{path}: not a manifest: {error}") from error


def read_details(path: Path) -> dict[str, Json]:
    """Further fields of a manifest (license, collection, use, ...) out of a JSON file.

    Raises:
        BatchError: it cannot be read, or is no JSON object.
    """
    try:
        found = strict_json.loads(read_bytes(path))
    except Refused as error:
        raise BatchError(f"{path}: {error}") from error
    if not isinstance(found, dict):
        raise BatchError(f"{path}: not a JSON object")
    return found


def read_bytes(path: Path) -> bytes:
    """A small file; one that is too long comes so long that its reader refuses it.

    Raises:
        BatchError: it cannot be read, or is no plain file.
    """
    try:
        return read_plain(path, strict_json.MAX_BYTES)
    except OSError as error:
        raise BatchError(f"{path}: cannot be read ({error.strerror})") from error


def _of_manifest(source: str, path: Path) -> Link:
    """The batch of a manifest: its number, its own digest."""
    before = read_manifest(path)
    if before.source != source:
        raise BatchError(f"{path}: a batch of {before.source}, not of {source}")
    return Link(before.sequence, before.sha256)


def _of_ledger(source: str, ledger: Ledger) -> Link | None:
    """The last batch that a gate decided of a source; None where it decided none."""
    if not ledger.store.exists():
        raise ConfigError(f"{ledger.where}: no ledger yet; the first run makes it")
    taken = places(ledger.of_source(source))
    return Link(taken[-1].sequence, taken[-1].sha256) if taken else None
