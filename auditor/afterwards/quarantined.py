"""Sets of rows that runs set aside: their state, their rows, the decisions beside them. Shell."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auditor.afterwards import logged_runs
from auditor.afterwards.logged_runs import LoggedRun, named_file
from auditor.errors import AuditorError, ConfigError, LedgerError
from auditor.ledger import NONE_YET, Entry, Ledger
from auditor.lifecycle.states import SetHistory, set_history
from auditor.parquet_bytes import table_of
from auditor.provenance.refused import Refused
from auditor.workspace import Workspace
from auditor.workspace.durable import write_durably

if TYPE_CHECKING:
    import pyarrow as pa

ROWS: Final = "rows.parquet"
_DECISIONS: Final = "decisions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """A set that `logged` set aside. `head`: index of the newest entry about it.

    `created`: the entry that says so; `first`: the same of the first run that set these rows aside.

    `rows_sha256`: what `rows.parquet` may be, `findings_sha256`: what the run's `findings.parquet`
    is; both by the ledger's word. They are empty for runs from before the ledger named them.
    """

    logged: LoggedRun
    set_sha256: str
    folder: Path
    history: SetHistory
    head: int
    created: Entry
    first: Entry
    rows_sha256: frozenset[str]
    findings_sha256: str

    @property
    def run(self) -> str:
        """The run that set the rows aside."""
        return self.logged.run

    def has_rows(self) -> bool:
        """Whether the rows are still there."""
        return (self.folder / ROWS).exists()

    def table(self) -> pa.Table:
        """The rows as they were set aside; raises `LedgerError` as `content`."""
        return table_of(self.content())

    def content(self) -> bytes:
        """The bytes of `rows.parquet`.

        Raises:
            LedgerError: they are gone, or are not those that the ledger names.
        """
        return named_file(self.folder / ROWS, self.rows_sha256)

    def decision(self, sha256: str) -> bytes:
        """A signed decision by the digest of its envelope.

        Raises:
            LedgerError: it is gone, or was changed.
        """
        return named_file(self.folder / _DECISIONS / f"{sha256}.dsse.json", {sha256})

    def keep(self, envelope: bytes) -> str:
        """Write a decision beside the rows; its digest. Without an event it decides nothing."""
        folder = self.folder / _DECISIONS
        folder.mkdir(mode=0o700, exist_ok=True)
        digest = hashlib.sha256(envelope).hexdigest()
        write_durably(folder / f"{digest}.dsse.json", envelope, 0o600)
        return digest


def find(prefix: str, roots: Workspace, ledger: Ledger) -> Aside:
    """The set that a run set aside.

    Raises:
        ConfigError: the run set nothing aside.
        LedgerError: its files, or the order of its events, cannot be believed.
    """
    run = roots.find_run(prefix).name
    logged = logged_runs.newest(run, roots, ledger)
    if logged is None or logged.report.set_digest is None:
        raise ConfigError(f"{run}: this run set no rows aside (only `gate` keeps them)")
    return aside_of(logged, logged.report.set_digest, roots, ledger)


def every(roots: Workspace, ledger: Ledger) -> Iterator[Aside | AuditorError]:
    """Every set, oldest first, each once; an error where it cannot be believed."""
    seen: set[str] = set()
    for logged in logged_runs.every(tuple(ledger.entries()), roots):
        if isinstance(logged, LedgerError):
            yield logged
            continue
        digest = logged.report.set_digest
        if digest is None or digest in seen:
            continue
        seen.add(digest)
        try:
            yield aside_of(logged, digest, roots, ledger)
        except LedgerError as error:
            yield error


def decisions(aside: Aside, ledger: Ledger) -> tuple[Entry, ...]:
    """The events about a set, in order."""
    return ledger.find(subject=aside.set_sha256)


def aside_of(logged: LoggedRun, digest: str, roots: Workspace, ledger: Ledger) -> Aside:
    """The set of this digest that a run set aside; raises `LedgerError` as `find`."""
    # The same bytes audited twice give one set: any of its creations may name the rows.
    about = ledger.find(subject=logged.entry.subject, event="quarantine.created")
    created = [entry for entry in about if entry.event.refs[:1] == (digest,)]
    own = [entry for entry in created if entry.event.run == logged.run]
    if not own:
        raise LedgerError(f"{logged.run}: the ledger does not know that it set rows aside")
    events = ledger.find(subject=digest)
    try:
        history = set_history(created[0].event.at, [entry.event for entry in events])
    except Refused as refused:
        raise LedgerError(f"{ledger.where}: the set {digest}: {refused}") from refused
    return Aside(
        logged=logged,
        set_sha256=digest,
        folder=roots.quarantine_to / digest,
        history=history,
        head=events[-1].idx if events else NONE_YET,
        created=own[-1],
        first=created[0],
        rows_sha256=frozenset(ref for entry in created for ref in entry.event.refs[1:2]),
        findings_sha256="".join(own[-1].event.refs[2:3]),
    )
