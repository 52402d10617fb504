"""Which published batches a recall is about: by key, source, contributor or name. Shell."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from auditor.afterwards import logged_runs
from auditor.afterwards.desk import Desk
from auditor.afterwards.logged_runs import LoggedRun, named_file
from auditor.batch import as_text
from auditor.compromise import recall_candidates
from auditor.errors import LedgerError
from auditor.parquet_bytes import open_parquet_bytes
from auditor.provenance.times import format_time
from auditor.roles import recorded

By = Literal["key", "source", "contributor", "batch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Which batches: those that a key let in, of a source, of a contributor, or one batch.

    `batch` is a run id or its start, `source@batch`, or a digest. `since`: by the ledger's time.
    """

    by: By
    value: str
    since: dt.datetime | None = None

    def image(self) -> dict[str, str]:
        """As the signed statement has it."""
        since = {"since": format_time(self.since)} if self.since else {}
        return {self.by: self.value, **since}


@dataclass(slots=True)
class Known:
    """What the ledger and the run folders know; `unknown` says what could not be looked into."""

    runs: list[LoggedRun] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def known(desk: Desk) -> Known:
    """Every run that published something."""
    found = Known()
    for run in logged_runs.every(tuple(desk.ledger.entries()), desk.roots):
        found.unknown.append(str(run)) if isinstance(run, LedgerError) else found.runs.append(run)
    return found


def selected(desk: Desk, selector: Selector, among: Known) -> frozenset[str]:
    """The runs that are meant; whose rows cannot be read is added to what is unknown."""
    wanted = _wanted(desk, selector, among)
    since = selector.since
    late = (run for run in among.runs if since is None or run.entry.event.at >= since)
    return frozenset(run.run for run in late if wanted(run))


def _wanted(desk: Desk, selector: Selector, among: Known) -> Callable[[LoggedRun], bool]:
    value = selector.value
    if selector.by == "key":
        let_in = {one.run for one in recall_candidates(desk.ledger, value, selector.since)}
        return lambda run: run.run in let_in
    if selector.by == "source":
        return lambda run: value == run.report.provenance.get("source")
    if selector.by == "batch":
        return lambda run: _is_called(run, value)
    return lambda run: _sent_by(run, value, desk, among)


def _is_called(run: LoggedRun, name: str) -> bool:
    one = run.published()
    return name in {one.resource, *one.known_as} or run.run.startswith(name.upper())


def _sent_by(run: LoggedRun, contributor: str, desk: Desk, among: Known) -> bool:
    """Whether the published rows of a run name a contributor; what cannot be read is unknown."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = recorded(run.report.roles).columns("contributor")
    folder = desk.roots.publish_to / run.summary.sha256
    for file in run.summary.files:
        if any(part == f"{c}={contributor}" for part in Path(file.name).parts for c in columns):
            return True
        try:
            content = named_file(folder / file.name, {file.sha256})
            parquet = open_parquet_bytes(content)
            wanted = [c for c in columns if c in parquet.schema_arrow.names]
            table = parquet.read(columns=wanted, use_threads=False)
        except (pa.ArrowException, LedgerError) as error:
            among.unknown.append(f"who sent these rows is unknown: {error}")
            continue
        for column in wanted:
            if contributor in pc.unique(as_text(table.column(column))).to_pylist():
                return True
    return False
