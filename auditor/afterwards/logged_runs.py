"""Runs that published something, as the ledger knows them: its entry, and the files that it names.

What lies in a run folder counts as far as the verdict names it by digest, and no further. Shell.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from auditor.errors import AuditorError, LedgerError
from auditor.formats import report_json
from auditor.ledger import Entry, Ledger
from auditor.lifecycle.recalls import Published
from auditor.lifecycle.states import published
from auditor.provenance import dsse, summary
from auditor.provenance.digests import sha256
from auditor.provenance.refused import Refused
from auditor.provenance.summary import Summary
from auditor.readers import open_plain
from auditor.report_records import Report
from auditor.workspace import Workspace
from auditor.workspace.layout import ATTESTATION

_REPORT: Final = "report.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRun:
    """A run that published; `attestation` are the bytes of its envelope."""

    run: str
    entry: Entry
    report: Report
    attestation: bytes
    summary: Summary

    @property
    def attestation_sha256(self) -> str:
        """What others name this verdict by."""
        return sha256(self.attestation)

    @property
    def resource(self) -> str:
        """`source@batch`, or the batch's name where no manifest came with it."""
        return self.summary.resource.removeprefix("dataset:")

    def published(self) -> Published:
        """The same as a recall takes it."""
        told = self.report.provenance
        batch = self.report.batch_digest
        manifest = {str(told["manifest_sha256"])} if told.get("manifest_sha256") else set()
        return Published(
            run=self.run,
            resource=self.resource,
            batch_sha256=batch,
            attestation_sha256=self.attestation_sha256,
            published_sha256=self.summary.sha256,
            known_as=frozenset({self.attestation_sha256, self.summary.sha256, batch, *manifest}),
            made_from=frozenset(
                [*str(told.get("parents", "")).split(), *str(told.get("parent_sha256", "")).split()]
            ),
        )


def newest(run: str, roots: Workspace, ledger: Ledger) -> LoggedRun | None:
    """A run by its id; None where it published nothing.

    Raises:
        LedgerError: its files are not those that the ledger names.
    """
    for entry in reversed(ledger.find(run=run, event="verdict")):
        if published(entry.event):
            return load(entry, roots)
    return None


def every(entries: Iterable[Entry], roots: Workspace) -> Iterator[LoggedRun | LedgerError]:
    """Every run that published, oldest first; an error where its files cannot be believed."""
    for entry in entries:
        if not published(entry.event):
            continue
        try:
            yield load(entry, roots)
        except LedgerError as error:
            yield error


def load(entry: Entry, roots: Workspace) -> LoggedRun:
    """The run of a verdict.

    Raises:
        LedgerError: a file is missing, or is not the one that the verdict names.
    """
    run = str(entry.event.run)
    folder = roots.runs / run
    report = named_file(folder / _REPORT, entry.event.refs)
    envelope = named_file(folder / ATTESTATION, entry.event.refs)
    try:
        return LoggedRun(
            run=run,
            entry=entry,
            report=report_json.loads(report),
            attestation=envelope,
            summary=summary.read(dsse.parse(envelope).payload),
        )
    except (Refused, AuditorError) as error:
        raise LedgerError(f"{folder}: cannot be read ({error})") from error


def named_file(path: Path, digests: Collection[str]) -> bytes:
    """The bytes of a file that the ledger names by one of these digests.

    Raises:
        LedgerError: it is gone, or another one.
    """
    try:
        with open_plain(path) as file:
            content = file.read()
    except OSError as error:
        raise LedgerError(
            f"{path}: cannot be read ({error.strerror}); restore it from a backup"
        ) from error
    if sha256(content) not in digests:
        raise LedgerError(
            f"{path}: is not the file that the ledger names; keep it as evidence and restore it "
            "from a backup"
        )
    return content
