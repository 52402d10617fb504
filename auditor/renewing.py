"""`auditor ledger renew`: the proofs beside what was published, under another checkpoint. Shell.

A proof is as good as the key that signed its checkpoint. When that key is retired, or witnesses are
demanded, what was published before needs proofs under a checkpoint that counts now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from auditor.errors import LedgerError
from auditor.ledger import Ledger, LedgerTampered
from auditor.plain_file import read_plain
from auditor.provenance.strict_json import MAX_BYTES
from auditor.transparency.checkpoint import Seen
from auditor.workspace.durable import write_durably
from auditor.workspace.layout import ATTESTATION, PROOF

_ENVELOPE: Final = ".dsse.json"
_MODE: Final = 0o444


@dataclass(frozen=True, slots=True)
class Renewed:
    """A proof file; `left` says why it stays as it was, empty where it was written."""

    path: Path
    left: str = ""


def renew(ledger: Ledger, published: Path, under: Seen | None = None) -> Iterator[Renewed]:
    """Prove every attestation and frozen data set below a folder anew, one after the other.

    `under` is a checkpoint of this log, by default the newest one. What lies in the folder is held
    against the ledger: a proof is written only for what the ledger has an entry of.

    Raises:
        LedgerError: there is no checkpoint yet, or (`LedgerTampered`) entries are not those of it.
    """
    seen = under or ledger.newest()
    if seen is None:
        raise LedgerError(f"{ledger.where}: there is no checkpoint yet")
    for path in sorted(published.rglob(f"*{_ENVELOPE}")):
        if not any(part.startswith(".") for part in path.relative_to(published).parts):
            yield _renewed(ledger, path, seen)


def _renewed(ledger: Ledger, path: Path, seen: Seen) -> Renewed:
    name = PROOF if path.name == ATTESTATION else f"{path.name.removesuffix(_ENVELOPE)}.{PROOF}"
    target = path.with_name(name)
    try:
        index = _entry_of(ledger, read_plain(path, MAX_BYTES))
        if index is None:
            return Renewed(target, f"the ledger knows nothing of {path.name}")
        write_durably(target, ledger.prove(index, under=seen), _MODE)
    except LedgerTampered:
        raise
    except LedgerError as error:
        return Renewed(target, str(error))
    except OSError as error:
        return Renewed(target, f"{path.name}: {error.strerror}")
    return Renewed(target)


def _entry_of(ledger: Ledger, envelope: bytes) -> int | None:
    """The verdict that names the attestation, or the entry that froze the list."""
    digest = hashlib.sha256(envelope).hexdigest()
    verdict = ledger.verdict_naming(digest)
    if verdict is not None:
        return verdict.idx
    frozen = ledger.find(subject=digest, event="dataset.frozen")
    return frozen[0].idx if frozen else None
