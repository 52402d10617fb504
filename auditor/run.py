"""The nouns of one audit: what to do, what was found, what was decided, what is left."""

from __future__ import annotations

import datetime as dt
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from auditor.config import Settings
from auditor.context import Detector
from auditor.detectors import in_profile
from auditor.history import HistoryStore
from auditor.ledger import Ledger
from auditor.model import (
    Mode,
    Outcome,
    Report,
    RoleRecord,
    Verdict,
)
from auditor.policy import Decision, Policy
from auditor.provenance.verification import Verification
from auditor.quarantine import RowSet
from auditor.readers import Ingest, Source
from auditor.site import (
    Trusted,
    utc_now,
)
from auditor.workspace import RunStage

Progress = Callable[[str], None]
Clock = Callable[[], dt.datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to audit and how: input, settings, mode. `manifest` overrides the path beside the data.

    `sources` are resolved files, or `table` is data in memory. `name` is for people. `detectors`:
    those to run instead of the ones in the settings' profile.
    """

    settings: Settings
    mode: Mode
    sources: tuple[Source, ...] = ()
    table: pa.Table | None = None
    name: str = "batch"
    manifest: Path | None = None
    detectors: tuple[type[Detector], ...] | None = None
    clock: Clock = utc_now
    progress: Progress | None = None

    @property
    def chosen(self) -> tuple[type[Detector], ...]:
        """The detectors of this run, before single rules are switched off."""
        given = self.detectors
        return in_profile(self.settings.profile) if given is None else given

    def say(self, text: str) -> None:
        """Tell a person what is going on, if one listens."""
        if self.progress:
            self.progress(text)


@dataclass(slots=True)
class Run:
    """One audit in progress: its folders, ledger and what was found so far."""

    job: Job
    trusted: Trusted
    stage: RunStage
    ledger: Ledger
    started: float = field(default_factory=time.perf_counter)
    subject: str | None = None  # the batch's digest, once it is known
    history: HistoryStore | None = None  # as far as the ledger went when the run began
    decided: bool = False  # the ledger has the verdict: what is left is to make it visible

    @property
    def id(self) -> str:
        """The run's ULID."""
        return self.stage.run

    def seed(self, batch_digest: str) -> int:
        """HMAC(site key, batch digest): fixed for a batch, not to be searched by its sender."""
        key = self.trusted.site_key
        return int.from_bytes(hmac.digest(key, batch_digest.encode(), "sha256")[:4], "big")

    def log(
        self,
        event: str,
        *,
        refs: Sequence[str] = (),
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Append an event about this run's batch to the ledger."""
        self.ledger.append(
            event,
            at=self.job.clock(),
            via="cli" if self.job.mode == Mode.AUDIT else "gate",
            subject=self.subject,
            refs=refs,
            run=self.id,
            detail=detail,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """The batch under its roles, and what every rule had to say."""

    ingest: Ingest
    roles: tuple[RoleRecord, ...]
    verification: Verification
    outcomes: tuple[Outcome, ...]
    policy: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The verdict, and which rows it sets aside."""

    screened: Screened
    decision: Decision
    rows: RowSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a run left behind; paths are None where nothing was published or set aside."""

    report: Report
    folder: Path
    published: Path | None
    quarantined: Path | None
    rows: RowSet
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The verdict."""
        return Verdict(self.report.verdict)
