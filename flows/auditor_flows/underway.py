"""One audit on its way through the tasks of a flow. No Prefect here.

Tasks hand this object on in memory, in one process: it holds the lock of its run. It is a plain
class on purpose: Prefect looks into dataclasses that it is given, and there are tables in here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from auditor.errors import AuditorError, BatchError
from auditor.model import Mode, Verdict
from auditor.pipeline import begin, decide_step, ingest_step, publish_step, screen_step
from auditor.readers import Ingest, Source
from auditor.readers.rules import changed
from auditor.run import Decided, Job, Result, Run, Screened
from auditor_flows import claims, inbox, kept
from auditor_flows.claims import Standing
from auditor_flows.inbox import Delivery
from auditor_flows.site import Site

T = TypeVar("T")


class Unreadable(AuditorError):
    """The batch cannot be opened at all; a flow holds it, so that it does not come up for ever."""


class Underway:
    """A claimed delivery and what its steps gave so far."""

    def __init__(self, site: Site, delivered: Delivery, sources: tuple[Source, ...], run: Run):
        """Use `start`."""
        self.site = site
        self.delivery = delivered
        self.sources = sources
        self.run = run
        self.key = kept.key(delivered, site.settings)
        self.ingested: Ingest | None = None
        self.screened: Screened | None = None
        self.decided: Decided | None = None
        self.result: Result | None = None

    def __str__(self) -> str:
        """Batch and run, for the names of task runs."""
        return f"{self.delivery.name} {self.run.id}"

    @property
    def area(self) -> Path:
        """Where the ingested batch is kept for another attempt."""
        return self.site.roots.runs / kept.FOLDER / self.key

    def ingest(self) -> dict[str, str]:
        """Read the batch; returns what a later attempt needs to find it again.

        Raises:
            Unreadable: it cannot be opened.
            OSError: this machine failed.
        """
        if self.delivery.problem:
            raise Unreadable(self.delivery.problem)
        try:
            ingested = ingest_step(self.run)
        except BatchError as error:
            raise Unreadable(str(error)) from error
        found = kept.keep(ingested, self.run.stage.scratch, self.area)
        self.ingested = ingested
        return asdict(found) if found else {}

    def adopt(self, said: Mapping[str, str]) -> bool:
        """Take over what an earlier ingest kept, if every byte is what it was then."""
        if set(said) != {"staging", "digest", "record"} or said["staging"] != self.key:
            return False
        runs, scratch = self.site.roots.runs, self.run.stage.scratch
        found = kept.adopt(runs, kept.Kept(**said), scratch)
        if found is not None:
            self.ingested = ingest_step(self.run, found)
        return found is not None

    def pinned(self) -> Ingest:
        """The ingest; with a finding that holds it where it is not what was to be audited."""
        ingested = _there(self.ingested)
        if ingested.digest == self.delivery.digest:
            return ingested
        said = f"it is {ingested.digest} now, to be audited was {self.delivery.digest}"
        return replace(ingested, findings=(*ingested.findings, changed(self.delivery.name, said)))

    def screen(self) -> None:
        """See `screen_step`."""
        self.screened = screen_step(self.run, self.pinned())

    def decide(self) -> None:
        """See `decide_step`."""
        self.decided = decide_step(self.run, _there(self.screened))

    def publish(self) -> None:
        """See `publish_step`."""
        self.result = publish_step(self.run, _there(self.decided))


def start(site: Site, delivered: Delivery, known: Standing) -> Underway:
    """Begin a run and claim the delivery for it.

    Raises:
        Conflict: somebody else has it; the run is gone without a trace.
        ConfigError, BaselineError, TrustError: the set-up is wrong.
        OSError, LedgerError: the run cannot be begun.
    """
    sources: tuple[Source, ...] = ()
    if not delivered.problem:
        listed = inbox.listing(site.inbox, delivered.name, site.limits)
        sources = inbox.sources_of(listed, site.limits)
    run = begin(Job(settings=site.settings, mode=Mode.GATE, sources=sources, name=delivered.name))
    try:
        claims.take(site.ledger, delivered, run.id, known, now=run.job.clock())
    except BaseException:
        run.stage.remove()
        raise
    return Underway(site, delivered, sources, run)


def outcome(delivered: Delivery, result: Result) -> dict[str, Any]:
    """What a flow returns: small, and plain JSON."""
    report = result.report
    return {
        "batch": delivered.name,
        "verdict": report.verdict,
        "run": report.run,
        "report": str(result.folder / "report.html"),
        "published": str(result.published) if result.published else None,
        "published_digest": report.published_digest if result.published else None,
        "digest": delivered.digest,
        "rows": report.rows_in,
        "rows_quarantined": report.rows_quarantined,
        "reasons": list(report.reasons[:5]),
    }


def untouched(delivered: Delivery, why: str) -> dict[str, Any]:
    """The same where nothing was audited: the verdict is None, which nobody takes for ACCEPT."""
    return {
        "batch": delivered.name,
        "verdict": None,
        "run": None,
        "report": None,
        "published": None,
        "published_digest": None,
        "digest": delivered.digest,
        "rows": 0,
        "rows_quarantined": 0,
        "reasons": [why],
    }


def is_decided(result: Result) -> bool:
    """Whether there is a verdict that stands; a held batch may be audited again."""
    return result.verdict is not Verdict.HOLD


def _there(value: T | None) -> T:
    if value is None:
        raise RuntimeError("a step was run before the one that it builds on")
    return value
