"""`auditor trace`: which runs saw these bytes or rows, who decided, which training sets hold them.

Everything is taken from the ledger and from files that the ledger names. What cannot be believed is
listed as unknown: it may be concerned as well. Shell; writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from auditor.afterwards import freezing
from auditor.afterwards.desk import Desk
from auditor.afterwards.freezing import Consumed
from auditor.afterwards.logged_runs import load, named_file
from auditor.afterwards.quarantined import Aside, aside_of, decisions
from auditor.afterwards.row_search import ByDigest, ById, ByRows, Seen, Wanted, rows_of
from auditor.errors import BatchError, ConfigError, LedgerError
from auditor.formats import report_json
from auditor.ledger import Entry
from auditor.lifecycle.states import published
from auditor.provenance.digests import is_sha256
from auditor.publish import ATTESTATION, sha256_of

_REPORT: Final = "report.json"
#: Entries that end a run.
_ENDS: Final = frozenset({"verdict", "batch.held"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A run that saw it. `how`: what of it; `decided`: who decided about it, in order."""

    run: Seen
    how: tuple[str, ...]
    decided: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    trained: tuple[Consumed, ...] = ()


@dataclass(slots=True)
class Trace:
    """What was found, oldest first. `unknown`: what could not be looked into.

    `wanted` says in words what was looked for.
    """

    sightings: list[Sighting] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    wanted: str = "the file and its rows"


def trace(desk: Desk, what: str) -> Trace:
    """Look for a digest, a file, a published folder, or else a row with this id.

    Raises:
        ConfigError: a folder that was not published by a gate.
        LedgerError: the ledger cannot be read.
    """
    path, found = Path(what), Trace()
    if is_sha256(what):
        found.wanted = "what has this sha256"
        _look(desk, [ByDigest(_meant(desk, {what}, found))], found)
    elif path.is_dir():
        found.wanted = "what was published in this folder"
        _look(desk, [ByDigest(frozenset({_published_folder(path)}))], found)
    elif path.is_file():
        _look_for_file(desk, path, found)
    else:
        found.wanted = "a row with this id; there is no such file"
        _look(desk, [ById(what)], found)
    return found


def _look_for_file(desk: Desk, path: Path, found: Trace) -> None:
    """By its bytes, and by its rows if it holds any."""
    digest = ByDigest(_meant(desk, {sha256_of(path)}, found))

    def with_rows(rows: ByRows | None) -> None:
        if rows is None:
            found.unknown.append(
                f"{path.name}: its rows cannot be read; only its bytes were traced"
            )
        _look(desk, [digest, rows] if rows else [digest], found)
        found.unknown += rows.unknown if rows else []

    if path.name.endswith(".dsse.json"):  # signed by somebody; no rows
        return _look(desk, [digest], found)
    if not desk.roots.site_key.is_file():
        found.unknown.append("the site key is not there; rows cannot be compared without it")
        return _look(desk, [digest], found)
    try:
        rows_of(path, desk.roots.key(), desk.settings.limits.as_limits(), with_rows)
    except BatchError as error:
        found.unknown.append(f"its rows cannot be read ({error}); only its bytes were traced")
        _look(desk, [digest], found)
    return None


def _published_folder(path: Path) -> str:
    envelope = path / ATTESTATION
    if not envelope.is_file():
        raise ConfigError(f"{path}: no {ATTESTATION} in it; name a published folder, or a file")
    return sha256_of(envelope)


def _meant(desk: Desk, digests: set[str], found: Trace) -> frozenset[str]:
    """A model stands for what it was trained on, a frozen data set for its batches."""
    entries = tuple(desk.ledger.entries())
    used = {str(e.subject) for e in entries if e.name == "consumed" and digests & set(e.event.refs)}
    wanted = digests | used
    for entry in entries:
        if entry.name == "dataset.frozen" and entry.subject in wanted:
            try:
                parents = freezing.parents_of(desk, entry)
            except LedgerError as error:
                found.unknown.append(str(error))
                continue
            wanted |= {parent.attestation_sha256 for parent in parents}
    return frozenset(wanted)


def _look(desk: Desk, wanted: Sequence[Wanted], found: Trace) -> None:
    entries = tuple(desk.ledger.entries())
    for entry in entries:
        if entry.name not in _ENDS or entry.event.run is None:
            continue
        if len(entry.event.refs) < 2:  # it broke off before it had a report
            continue
        try:
            run = _seen(desk, entry)
            how = tuple(dict.fromkeys(words for one in wanted for words in one.found_in(run)))
        except (LedgerError, OSError) as error:
            found.unknown.append(str(error))
            continue
        if how:
            found.sightings.append(_sighting(desk, run, how, entries, found))


def _seen(desk: Desk, entry: Entry) -> Seen:
    folder = desk.roots.runs / str(entry.event.run)
    report = report_json.loads(named_file(folder / _REPORT, entry.event.refs))
    if not published(entry.event):
        return Seen(entry=entry, folder=folder, report=report)
    logged = load(entry, desk.roots)
    aside: Aside | None = None
    if report.set_digest is not None:
        aside = aside_of(logged, report.set_digest, desk.roots, desk.ledger)
    return Seen(
        entry=entry,
        folder=folder,
        report=report,
        logged=logged,
        published=desk.roots.publish_to / logged.summary.sha256,
        aside=aside,
    )


def _sighting(
    desk: Desk, run: Seen, how: tuple[str, ...], entries: tuple[Entry, ...], found: Trace
) -> Sighting:
    if run.logged is None:
        return Sighting(run=run, how=how)
    attestation = run.logged.attestation_sha256
    held, unknown = freezing.holding(desk, entries, {attestation})
    found.unknown += [each for each in unknown if each not in found.unknown]
    return Sighting(
        run=run,
        how=how,
        decided=tuple(_decided(desk, run, entries)),
        datasets=tuple(sorted(held)),
        trained=tuple(freezing.consumed(entries, {attestation, *held.values()})),
    )


def _decided(desk: Desk, run: Seen, entries: Sequence[Entry]) -> Iterator[str]:
    """What people, or the site, decided about the run's rows since."""
    if run.aside is not None:
        yield f"rows set aside: {run.aside.history.state}"
        for entry in decisions(run.aside, desk.ledger):
            yield _said(entry)
    for entry in entries:
        if entry.name == "recall" and entry.event.run == run.entry.event.run:
            yield _said(entry)


def _said(entry: Entry) -> str:
    return f"{entry.name} by {entry.event.principal}, {entry.event.at:%Y-%m-%dT%H:%M:%SZ}"
