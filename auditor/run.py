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

from auditor.batch import Shared
from auditor.config import Settings
from auditor.context import Detector
from auditor.detectors import in_profile
from auditor.history import HistoryStore
from auditor.ledger import Event, Ledger, Line
from auditor.model import Mode, Outcome, Verdict
from auditor.policy import Decision, Policy
from auditor.provenance.sequence import Place
from auditor.provenance.verification import Verification
from auditor.quarantine import RowSet
from auditor.readers import Ingest, Source
from auditor.report_records import Report, RoleRecord, SelfMeasurement
from auditor.site import (
    Trusted,
    utc_now,
)
from auditor.workspace import RunStage

Progress = Callable[[str], None]
Clock = Callable[[], dt.datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Rows that people let go: a batch of its own, made from one that was audited before.

    `parent_sha256` is that batch's attestation, `vouched` whether a source stood by it. `under`:
    digests of the signed decisions, `people` and `reasons` who made them and why, the requester
    first. `head`: the newest entry about the set that they rest on, or
    None where the ledger has said already that it is released.
    """

    set_sha256: str
    parent_sha256: str
    vouched: bool
    under: tuple[str, ...]
    people: tuple[str, ...]
    reasons: tuple[str, ...]
    break_glass: bool
    head: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to audit and how: input, settings, mode. `manifest` overrides the path beside the data.

    `sources` are resolved files, or `table` is data in memory. `name` is for people. `detectors`:
    those to run instead of the ones in the settings' profile. `release`: these rows were set aside
    before, and people let them go. `replay`: nothing of it will be signed or believed.
    """

    settings: Settings
    mode: Mode
    sources: tuple[Source, ...] = ()
    table: pa.Table | None = None
    name: str = "batch"
    manifest: Path | None = None
    detectors: tuple[type[Detector], ...] | None = None
    release: Release | None = None
    replay: bool = False
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
    shared: Shared = field(default_factory=Shared)  # what several steps need of the batch
    decided: bool = False  # the ledger has the verdict: what is left is to make it visible

    @property
    def id(self) -> str:
        """The run's ULID."""
        return self.stage.run

    def seed(self, batch_digest: str) -> int:
        """HMAC(site key, batch digest): fixed for a batch, not to be searched by its sender."""
        key = self.trusted.site_key
        return int.from_bytes(hmac.digest(key, batch_digest.encode(), "sha256")[:4], "big")

    def line(
        self,
        event: str,
        *,
        refs: Sequence[str] = (),
        detail: Mapping[str, Any] | None = None,
        place: Place | None = None,
    ) -> Line:
        """An event about this run's batch; with `place` it takes that place in the source's order.

        Where that place is taken by then, writing it raises `Conflict`.
        """
        said = Event(
            name=event,
            at=self.job.clock(),
            via="cli" if self.job.mode == Mode.AUDIT else "gate",
            subject=self.subject,
            refs=tuple(refs),
            run=self.id,
            detail=dict(detail or {}) | (dict(place.detail) if place else {}),
        )
        if place is None:
            return Line(event=said)
        return Line(event=said, expect=place.head, source=place.source)

    def log(
        self, event: str, *, refs: Sequence[str] = (), detail: Mapping[str, Any] | None = None
    ) -> None:
        """Append an event about this run's batch to the ledger."""
        self.ledger.append_all([self.line(event, refs=refs, detail=detail)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """The batch under its roles, and what every rule had to say."""

    ingest: Ingest
    roles: tuple[RoleRecord, ...]
    verification: Verification
    outcomes: tuple[Outcome, ...]
    policy: Policy
    place: Place | None = None  # in the order of the source, where the batch is the next one
    measured: SelfMeasurement = field(default_factory=SelfMeasurement)


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
