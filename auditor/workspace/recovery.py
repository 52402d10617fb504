"""What becomes of the runs of processes that are gone: finished, or removed and logged as held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from auditor.errors import AuditorError
from auditor.model import Scalar
from auditor.workspace.layout import Layout
from auditor.workspace.stage import RunStage, Step


class Happening(Protocol):
    """What recovery reads of a ledger entry."""

    @property
    def name(self) -> str:
        """The event."""
        ...

    @property
    def subject(self) -> str | None:
        """The batch digest, where the event is about one."""
        ...


class Journal(Protocol):
    """What recovery needs of a ledger; `auditor.ledger.Ledger` is one."""

    def find(self, *, run: str | None = None) -> Sequence[Happening]:
        """The entries of a run, in order."""
        ...

    def names(self, digest: str) -> bool:
        """Whether a verdict refers to this digest (hex sha256)."""
        ...

    def proof_of(self, attestation: str) -> bytes | None:
        """The proof file of the verdict that names an attestation; None without a verdict."""
        ...

    def append(
        self,
        event: str,
        *,
        at: datetime,
        via: Literal["gate", "cli"],
        subject: str | None = None,
        run: str | None = None,
        detail: Mapping[str, Scalar] | None = None,
    ) -> int:
        """Write one event."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What became of a run.

    finished: it was decided, its results are visible now. held: it was interrupted before a
    verdict, its files are removed and the ledger says `batch.held`. removed: the same, and the
    ledger said so already. lost: the ledger has a verdict, but somebody removed the staged files;
    it says `error` now and the batch has to be looked at.
    """

    run: str
    outcome: Literal["finished", "held", "removed", "lost"]
    subject: str | None


def recover_run(
    layout: Layout, mark: int, journal: Journal, now: datetime, step: Step
) -> Recovered:
    """Deal with one dead run whose mark is locked as `mark`.

    Raises `LedgerError` and OSError; then nothing that the ledger decided is lost, and the next
    call goes on.
    """
    with RunStage(layout, mark, step) as stage:
        said = journal.find(run=layout.run)
        subject = next((entry.subject for entry in said if entry.subject), None)
        names = {entry.name for entry in said}
        if _finish(stage, layout, names, journal):
            return Recovered(run=layout.run, outcome="finished", subject=subject)
        stage.discard()
        step("recover: cleared")
        outcome = _log(journal, names, layout.run, subject, now)
        step("recover: logged")
        stage.remove()
        return Recovered(run=layout.run, outcome=outcome, subject=subject)


def _finish(stage: RunStage, layout: Layout, names: set[str], journal: Journal) -> bool:
    """Make a decided run visible; False where there is nothing to finish."""
    if "verdict" not in names and "batch.held" not in names:
        return False
    if layout.folder.exists():  # killed while it cleared up
        stage.remove()
        return True
    try:
        plan = stage.plan()
        # A held run shows its evidence, never rows: those need a verdict.
        if plan is None or ("verdict" not in names and (plan.published or plan.quarantined)):
            return False
        stage.make_visible(journal.names, journal.proof_of)
    except AuditorError:
        # Somebody took staged files away. It is logged as lost; stopping here would stop every
        # later run as well.
        return False
    return True


def _log(
    journal: Journal, names: set[str], run: str, subject: str | None, now: datetime
) -> Literal["held", "removed", "lost"]:
    if "verdict" in names:
        detail = {"reason": "staged files lost"}
        if "error" not in names:
            journal.append("error", at=now, via="gate", subject=subject, run=run, detail=detail)
        return "lost"
    if "batch.held" in names:
        return "removed"
    detail = {"reason": "interrupted"}
    journal.append("batch.held", at=now, via="gate", subject=subject, run=run, detail=detail)
    return "held"
