"""Renaming staged folders to their content-addressed names."""

from __future__ import annotations

import contextlib
import errno
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from auditor.errors import AuditorError
from auditor.provenance.standing import fallen
from auditor.workspace.durable import move, remove_tree
from auditor.workspace.layout import ATTESTATION, PROOF

#: Whether a verdict in the ledger names a file by this digest (hex sha256).
Named = Callable[[str], bool]

#: Bytes that an attestation may have, as its reader takes them.
_LONGEST: Final = 16 * 1024 * 1024
_OCCUPIED: Final = frozenset({errno.ENOTEMPTY, errno.EEXIST})


def place_quarantined(staged: Path, target: Path) -> None:
    """Make a quarantined set visible. One that is there already stays: same digest, same rows.

    Raises `AuditorError` where neither the staged nor the visible folder is there.
    """
    if _done(staged, target):
        return
    if not _moved(staged, target):
        remove_tree(staged)


def place_published(staged: Path, target: Path, aside: Path, named: Named) -> tuple[str, ...]:
    """Make published files visible, all in one rename; returns notes for the report.

    A folder of that digest with the same files stays, with its attestation as long as that one
    stands: a verdict in the ledger named it, and nothing in it has fallen behind the new one. Else
    the new one takes its place, in one rename. A folder with other files is not what its name
    says: it is moved to `aside` and replaced.
    """
    notes: list[str] = []
    if _done(staged, target):
        return ()
    while not _moved(staged, target):
        if _files(target) == _files(staged):
            said = _complete(staged, target, named)
            remove_tree(staged)
            return (*notes, f"{target.name} was published before; its files were kept{said}")
        aside.parent.mkdir(mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # another run was faster
            move(target, aside)
            notes.append(f"{target.name} had been changed after it was published; now in {aside}")
    return tuple(notes)


def _done(staged: Path, target: Path) -> bool:
    if staged.exists():
        return False
    if not target.exists():
        raise AuditorError(
            f"{staged}: the staged files are gone and {target} was never made; "
            "audit the batch again"
        )
    return True


def _moved(staged: Path, target: Path) -> bool:
    try:
        move(staged, target)
    except OSError as error:
        if error.errno in _OCCUPIED:
            return False
        raise
    return True


def _files(root: Path) -> dict[str, str | None]:
    """Name -> sha256 of every file but the attestation and its proof; None for what is no file."""
    found: dict[str, str | None] = {}
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            found[name] = None
        elif path.is_file() and name not in {ATTESTATION, PROOF}:
            with path.open("rb") as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _complete(staged: Path, target: Path, named: Named) -> str:
    """Give the published folder an attestation that stands; says what was done, for the report."""
    new, old = staged / ATTESTATION, target / ATTESTATION
    if not new.exists():
        return ""
    reason = _fallen(old, new, named)
    if (staged / PROOF).exists() and not (target / PROOF).exists():
        reason = reason or "it came without a proof"
    if not reason:
        return ", and so was its attestation; that of this run is in the run's folder"
    for name in (PROOF, ATTESTATION):  # the attestation last: without its proof it is worth nothing
        if (staged / name).exists():
            move(staged / name, target / name)
    return f"; its attestation was replaced: {reason}"


def _fallen(old: Path, new: Path, named: Named) -> str:
    """Why the attestation of the folder cannot stay; empty where it can."""
    if not old.exists():
        return "there was none"
    if old.is_symlink() or not old.is_file() or old.stat().st_size > _LONGEST:
        return "it was not a file of ours"
    said = old.read_bytes()
    if not named(hashlib.sha256(said).hexdigest()):
        return "no verdict in the ledger names it"
    return fallen(said, new.read_bytes())
