"""`RunStage`: a run that is being prepared, and the moment it becomes visible.

The order (each step may be the last one before the power goes):

1. write into `evidence`, `published`, `quarantined`; sign;
2. `seal`: everything durable, then the plan with the final names;
3. the caller appends the verdict to the ledger;
4. `make_visible`: the proof of that entry, then quarantine, published, run, each one rename.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from auditor.errors import AuditorError
from auditor.private_file import fsync_folder
from auditor.workspace.durable import fsync_tree, move, remove_tree, write_durably
from auditor.workspace.layout import ATTESTATION, DAMAGED, PROOF, Layout
from auditor.workspace.place import Named, place_published, place_quarantined

#: The proof file of the verdict that names an attestation by its digest; None without a verdict.
Prove = Callable[[str], bytes | None]
#: Told the name of each step once it is done; progress is shown, and crashes tested, with it.
Step = Callable[[str], None]

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The final names: `published` and `quarantined` are digests, or None for nothing there."""

    run: str
    published: str | None = None
    quarantined: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Visible:
    """Where the results are. `notes` says what was found at those places before."""

    run: Path
    published: Path | None
    quarantined: Path | None
    notes: tuple[str, ...] = ()


def _anything(_: str) -> bool:
    """The ledger that nobody asks."""
    return True


def _nothing(_: str) -> None:
    """The ledger that proves nothing."""


class RunStage:
    """The private folders of one run. Its process holds the run's mark locked until `close`.

    Leaving a `with` block only lets go of the mark: what is neither visible nor abandoned is
    finished or removed by `Workspace.recover`.
    """

    def __init__(self, layout: Layout, mark: int, step: Step) -> None:
        """Use `Workspace.begin`. `mark` is the descriptor of the locked file; it is taken over."""
        self._layout = layout
        self._mark: int | None = mark
        self._step = step
        self._showing = False

    @property
    def run(self) -> str:
        """The run id, a ULID."""
        return self._layout.run

    @property
    def evidence(self) -> Path:
        """The folder (0700) that becomes `runs/<run>`: reports, findings, attestation.

        It holds values of suspicious rows and their ids, so `seal` makes all of it private.
        """
        return self._layout.evidence

    @property
    def scratch(self) -> Path:
        """A private folder for ingest copies; removed with the stage, never committed."""
        return self._layout.scratch

    @property
    def published(self) -> Path:
        """The folder that becomes `publish_to/<digest>`, made at first use."""
        return _made(self._layout.published, 0o777)

    @property
    def quarantined(self) -> Path:
        """The folder (0700) that becomes `quarantine_to/<set digest>`, made at first use."""
        return _made(self._layout.quarantined, 0o700)

    def seal(self, *, published: str | None = None, quarantined: str | None = None) -> None:
        """Make all that is staged durable and write down its final names (hex sha256 digests).

        Raises ValueError where a name is given without files, or files without a name, and
        OSError (ENOSPC) on a full disk.
        """
        self._refuse_mismatch("published", published, self._layout.published)
        self._refuse_mismatch("quarantined", quarantined, self._layout.quarantined)
        _make_read_only(self._layout.published)
        _make_private(self.evidence)
        _make_private(self._layout.quarantined)
        self._step("seal: read-only")
        for folder in (self.evidence, self._layout.published, self._layout.quarantined):
            if folder.exists():
                fsync_tree(folder)
                fsync_folder(folder.parent)
        self._step("seal: durable")
        plan = {"v": 1, "run": self.run, "published": published, "quarantined": quarantined}
        write_durably(self._layout.plan, json.dumps(plan, sort_keys=True).encode())
        self._step("seal: planned")

    def plan(self) -> Plan | None:
        """The final names, None before `seal`; raises `AuditorError` for a plan not of ours."""
        try:
            said = json.loads(self._layout.plan.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise AuditorError(f"{self._layout.plan}: not a commit plan: {error}") from error
        return _plan(said, self._layout)

    def make_visible(self, named: Named = _anything, prove: Prove = _nothing) -> Visible:
        """Write the proof and rename everything into place; the ledger has the verdict by now.

        `named` tells whether a verdict in the ledger names an attestation by its digest: one that
        was published before stays only then. `prove` gives the proof of that verdict, which goes
        beside the attestation. May be called again after a crash at any instant. Raises
        `AuditorError` for a run that was not sealed and OSError where a rename fails; then nothing
        staged is lost.
        """
        layout, plan = self._layout, self.plan()
        if plan is None:
            raise AuditorError(f"{layout.stage}: not sealed, so nothing may become visible")
        self._showing = True
        quarantined = layout.quarantine_to / plan.quarantined if plan.quarantined else None
        published = layout.publish_to / plan.published if plan.published else None
        notes: tuple[str, ...] = ()
        for folder, mode in ((layout.published, 0o444), (layout.evidence, 0o600)):
            _write_proof(folder, mode, prove)
        self._step("visible: proven")
        if quarantined:
            place_quarantined(layout.quarantined, quarantined)
        self._step("visible: quarantine")
        if published:
            aside = layout.publish_to / DAMAGED / f"{published.name}-{self.run}"
            notes = place_published(layout.published, published, aside, named)
        self._step("visible: published")
        if layout.evidence.exists():
            move(layout.evidence, layout.folder)
        self._step("visible: run")
        self._showing = False
        self.remove()
        return Visible(run=layout.folder, published=published, quarantined=quarantined, notes=notes)

    def abandon(self) -> None:
        """Free the space of a run that cannot be finished, say on a full disk.

        The mark stays, so that the next `recover` logs the run as held. A sealed run is left
        alone: only the ledger knows whether it was decided.
        """
        if self.plan() is None:
            self.clear()
        self.close()

    def clear(self) -> None:
        """Remove all staged folders, the plan first: without it nothing can become visible.

        Raises `AuditorError` once `make_visible` has begun: the ledger has decided by then.
        """
        if self._showing:
            raise AuditorError(
                f"{self._layout.stage}: run {self.run} is decided and partly visible; "
                "the next run finishes it"
            )
        self.discard()

    def discard(self) -> None:
        """The same, whatever was decided: for a run of which recovery found that it is lost."""
        self._showing = False
        self._layout.plan.unlink(missing_ok=True)
        for folder in (self._layout.published, self._layout.quarantined, self._layout.stage):
            remove_tree(folder)

    def remove(self) -> None:
        """Remove all staged folders and the mark, and let go of it."""
        self.clear()
        self._step("stage: cleared")
        self._layout.lock.unlink(missing_ok=True)
        fsync_folder(self._layout.lock.parent)
        self.close()

    def close(self) -> None:
        """Let go of the mark; harmless when done already."""
        if self._mark is not None:
            os.close(self._mark)
            self._mark = None

    def __enter__(self) -> Self:
        """The stage itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of the mark."""
        self.close()

    def _refuse_mismatch(self, what: str, digest: str | None, folder: Path) -> None:
        if digest is not None and not _DIGEST.fullmatch(digest):
            raise ValueError(f"{what}: not a lowercase hex sha256: {digest!r}")
        staged = folder.exists() and any(folder.iterdir())
        if staged != (digest is not None):
            raise ValueError(f"{what}: files and their digest must be given together")


def _made(folder: Path, mode: int) -> Path:
    root = folder.parent.parent
    root.mkdir(mode=mode, parents=True, exist_ok=True)
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=mode, exist_ok=True)
    return folder


def _make_read_only(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_symlink():
            raise ValueError(f"{path}: a link cannot be published")
        if path.is_file():
            path.chmod(0o444)


def _write_proof(folder: Path, mode: int, prove: Prove) -> None:
    """Put the proof beside a staged attestation; one that is there is the same and is replaced."""
    if not (folder / ATTESTATION).is_file():  # nothing staged, or renamed before a crash
        return
    proof = prove(hashlib.sha256((folder / ATTESTATION).read_bytes()).hexdigest())
    if proof is not None:
        write_durably(folder / PROOF, proof, mode)


def _make_private(folder: Path) -> None:
    """For the owner only, whatever the umask: reports and tables show cells of rows."""
    if not folder.exists():
        return
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o700 if path.is_dir() else 0o600)


def _plan(said: object, layout: Layout) -> Plan:
    names = {"v", "run", "published", "quarantined"}
    if not isinstance(said, dict) or set(said) != names or said["v"] != 1:
        raise AuditorError(f"{layout.plan}: not a commit plan of this version")
    digests = [said["published"], said["quarantined"]]
    bad = [d for d in digests if d is not None and not _DIGEST.fullmatch(str(d))]
    if bad or said["run"] != layout.run:
        raise AuditorError(f"{layout.plan}: this plan is not of run {layout.run}")
    return Plan(run=layout.run, published=said["published"], quarantined=said["quarantined"])
