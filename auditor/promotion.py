"""Which runs may become part of the baseline: published, logged, cooled off, unchanged. Shell."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from auditor.baseline import Baseline
from auditor.errors import BaselineError
from auditor.formats import report_json
from auditor.ledger import Ledger
from auditor.ledger.log import Entry
from auditor.model import Mode, Verdict
from auditor.provenance.digests import subject_digest
from auditor.provenance.manifest import FileEntry
from auditor.report_records import Report
from auditor.workspace import Workspace

#: What may be said about a batch after its verdict that takes the trust away.
_WITHDRAWN: Final = frozenset({"recall", "purged"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A run whose published rows may be trusted: the ledger says so, and the files agree.

    `judged_by`: digest of the baseline that it was audited with; None where there was none.
    """

    run: str
    verdict: Verdict
    accepted_at: dt.datetime
    published: str
    judged_by: str | None
    files: tuple[FileEntry, ...]
    paths: tuple[str, ...]


def accepted(
    prefix: str, roots: Workspace, ledger: Ledger, now: dt.datetime, cooling_days: float
) -> Accepted:
    """The run of this id (or its start, or latest), if its rows may be trusted by now.

    Raises:
        BaselineError: it published nothing, is too young, or its files or report were changed.
    """
    folder = roots.find_run(prefix)
    entry = verdict_of(folder.name, ledger)
    report = _report(folder, entry)
    if report.published_digest is None:
        raise BaselineError(f"{folder.name}: this run published nothing ({report.verdict})")
    withdrawn = [e.name for e in ledger.find(subject=entry.subject) if e.idx > entry.idx]
    if gone := _WITHDRAWN.intersection(withdrawn):
        raise BaselineError(f"{folder.name}: its batch was withdrawn since ({', '.join(gone)})")
    _refuse_warm(folder.name, entry.event.at, now, cooling_days)
    published = roots.publish_to / report.published_digest
    files, paths = attested(published, report.published_digest)
    baseline = str(report.reproduce.get("baseline_sha256", "none"))
    return Accepted(
        run=folder.name,
        verdict=Verdict(report.verdict),
        accepted_at=entry.event.at,
        published=report.published_digest,
        judged_by=None if baseline == "none" else baseline,
        files=files,
        paths=paths,
    )


def verdict_of(run: str, ledger: Ledger) -> Entry:
    """The entry that says a gate run ended as ACCEPT or QUARANTINE; raises `BaselineError`."""
    found = ledger.find(run=run, event="verdict")
    if not found:
        raise BaselineError(f"{run}: the ledger has no verdict of this run; nothing was accepted")
    said = found[-1].event.detail
    verdict, mode = said.get("verdict"), said.get("mode")
    if mode != Mode.GATE.value:
        raise BaselineError(f"{run}: this run published nothing (mode {mode}); only `gate` does")
    if verdict not in (Verdict.ACCEPT.value, Verdict.QUARANTINE.value):
        raise BaselineError(f"{run}: this run published nothing ({verdict})")
    return found[-1]


def refuse_twice(one: Accepted, baseline: Baseline) -> None:
    """Refuse rows that are in the baseline already: they would count twice."""
    for part in baseline.parts:
        if part.run == one.run:
            raise BaselineError(f"{one.run}: is in the baseline already (part {part.name[:80]!r})")
        if part.published == one.published:
            raise BaselineError(
                f"{one.run}: published the same files as run {part.run}, which is in the baseline"
            )


def due(
    roots: Workspace,
    ledger: Ledger,
    baseline: Baseline,
    known: set[str],
    now: dt.datetime,
    cooling_days: float,
) -> Iterator[Accepted | BaselineError]:
    """Runs that a schedule may promote, oldest first; what should be one and is not is an error.

    Only ACCEPT, judged by a version of this baseline (`known`), cooled off, and not dropped since:
    what a person took out does not come back by itself.
    """
    there = {part.run for part in baseline.parts}
    same = {part.published for part in baseline.parts}
    for run in reversed(roots.all_runs()):
        if run in there or ledger.find(run=run, event="baseline.part_dropped"):
            continue
        found = ledger.find(run=run, event="verdict")
        said = found[-1].event.detail if found else {}
        if (said.get("verdict"), said.get("mode")) != (Verdict.ACCEPT.value, Mode.GATE.value):
            continue
        if found[-1].event.at + dt.timedelta(days=cooling_days) > now:
            continue
        try:
            one = accepted(run, roots, ledger, now, cooling_days)
        except BaselineError as error:
            yield error
            continue
        if one.judged_by in known and one.published not in same:
            same.add(one.published)
            yield one


def attested(published: Path, digest: str) -> tuple[tuple[FileEntry, ...], tuple[str, ...]]:
    """The published files and their paths, if they are exactly those that the digest names.

    Raises:
        BaselineError: files are missing, changed or new.
    """
    found = [path for path in sorted(published.rglob("*")) if path.suffix == ".parquet"]
    listed = tuple(_entry(path, published) for path in found)
    if not found or subject_digest(listed) != digest:
        raise BaselineError(f"{published}: holds other files than the run published")
    return listed, tuple(map(str, found))


def _entry(path: Path, published: Path) -> FileEntry:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileEntry(
        name=path.relative_to(published).as_posix(),
        sha256=digest,
        size=path.stat().st_size,
        rows=0,
    )


def _report(folder: Path, entry: Entry) -> Report:
    """The run's report, if it is the one that the verdict names by digest."""
    try:
        said = (folder / "report.json").read_bytes()
    except OSError as error:
        raise BaselineError(f"{folder}/report.json: cannot be read ({error.strerror})") from error
    if hashlib.sha256(said).hexdigest() not in entry.event.refs:
        raise BaselineError(f"{folder}/report.json: is not the one that the ledger's verdict names")
    return report_json.loads(said)


def _refuse_warm(run: str, at: dt.datetime, now: dt.datetime, cooling_days: float) -> None:
    ready = at + dt.timedelta(days=cooling_days)
    if now < ready:
        raise BaselineError(
            f"{run}: was accepted {at:%Y-%m-%d %H:%M} UTC; it can be promoted from "
            f"{ready:%Y-%m-%d %H:%M} UTC on (promotion.cooling_off_days: {cooling_days:g})"
        )
