"""Keeps what was signed beside what was decided: manifest, contributor roll, twins. Shell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from auditor.errors import AuditorError
from auditor.manifests import MOST_BYTES
from auditor.model import Mode, Scalar, Verdict
from auditor.provenance.digests import sha256
from auditor.provenance.sequence import Place
from auditor.readers import read_plain
from auditor.run import Decided, Run
from auditor.source_order import note_addresses

#: In the run's folder: the manifest and roll as they came, and the other manifest of the same id.
MANIFEST: Final = "manifest.dsse.json"
ROLL: Final = "contributors.json"
SUPPRESSIONS: Final = "suppressions"
TWIN: Final = "manifest.before.dsse.json"


def place_of(run: Run, decided: Decided) -> Place | None:
    """The place that this verdict takes in the order of the source: a HOLD takes none."""
    if run.job.mode != Mode.GATE or decided.decision.verdict == Verdict.HOLD:
        return None
    return decided.screened.place


def keep(run: Run, decided: Decided) -> dict[str, Scalar]:
    """Write the signed documents into the run's folder; what the ledger is to say of them."""
    verification, folder = decided.screened.verification, run.stage.evidence
    said: dict[str, Scalar] = {}
    if codes := sorted(set(_codes(decided))):
        said["codes"] = " ".join(codes)[:1000]
    if verification.envelope is not None:
        (folder / MANIFEST).write_bytes(verification.envelope)
        said["envelope"] = sha256(verification.envelope)
    if run.trusted.suppressions is not None:
        (folder / SUPPRESSIONS).write_bytes(run.trusted.suppressions.content)
    if verification.roll is not None:
        (folder / ROLL).write_bytes(verification.roll)
    if "BATCH_EQUIVOCATION" in codes:
        said |= _keep_twin(run, decided)
    return said


def note_seen(run: Run, decided: Decided) -> None:
    """Log the addresses of a batch that takes a place, before its verdict."""
    declared = decided.screened.verification.manifest
    if place_of(run, decided) is not None and declared is not None:
        note_addresses(run.ledger, declared, at=run.job.clock(), run=run.id)


def _codes(decided: Decided) -> Iterator[str]:
    for finding in decided.screened.verification.findings:
        yield str(finding.evidence["code"])


def _keep_twin(run: Run, decided: Decided) -> dict[str, Scalar]:
    """The manifest that was decided under the same id: a copy, if its run's folder still has it."""
    found = decided.screened.verification.findings
    (before,) = (f for f in found if f.evidence["code"] == "BATCH_EQUIVOCATION")
    earlier = str(before.evidence["run"])
    (entry,) = run.ledger.find(run=earlier, event="verdict")
    digest = str(entry.event.detail["envelope"])
    kept = _read(run.job.settings.outputs.runs / earlier / MANIFEST)
    if kept is not None and sha256(kept) != digest:
        raise AuditorError(
            f"runs/{earlier}/{MANIFEST}: not the manifest that the ledger names; "
            "find out who changed it"
        )
    if kept is not None:
        (run.stage.evidence / TWIN).write_bytes(kept)
    return {"envelope_before": digest}


def _read(path: Path) -> bytes | None:
    try:
        return read_plain(path, MOST_BYTES)
    except FileNotFoundError:
        return None
