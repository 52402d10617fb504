"""A release is screened again before it is one. Shell.

Integrity and quality are judged on its rows alone, everything statistical on them together with
the rows that their batch published.

What people waived is waived for those findings and those rows, and for nothing else: a rule that
now names a row which its own waived findings did not name still stops the release.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from auditor.afterwards.logged_runs import named_file
from auditor.afterwards.quarantined import Aside
from auditor.afterwards.waived import Joined, Mask, Waived
from auditor.batch import OWN, Batch, BatchKind
from auditor.engine import run as run_detectors
from auditor.errors import BatchError
from auditor.model import Family, Outcome, Verdict
from auditor.parquet_bytes import table_of
from auditor.provenance.digests import subject_digest
from auditor.provenance.entries import FileEntry
from auditor.provenance.refused import Refused
from auditor.provenance.verification import Verification
from auditor.readers import Ingest, Source, StagedBatch, ingest
from auditor.report_records import SelfMeasurement
from auditor.roles import recorded
from auditor.run import Decided, Run, Screened
from auditor.screening import (
    context_for,
    limits_of,
    policy_of,
    provenance_outcomes,
    reader_outcomes,
)
from auditor.trust.policy import RELEASES

if TYPE_CHECKING:
    from auditor.context import Detector

#: What is judged by the released rows alone; their neighbours have nothing to say about it.
ALONE: Final = frozenset({Family.QUALITY, Family.INTEGRITY})
FINDINGS: Final = "findings.parquet"


def waived_by(aside: Aside, waives: Sequence[tuple[str, str]], runs: Path) -> Waived:
    """The rows that each waived finding named, by its run's `findings.parquet`.

    Raises:
        LedgerError: that file is not the one that the ledger names.
    """
    content = named_file(runs / aside.run / FINDINGS, {aside.findings_sha256})
    found = table_of(content, ["finding", "rule", "file", "row"])
    places = _places(aside.table())
    rules: dict[str, Mask] = {}
    for rule, finding in waives:
        own = found.filter(
            pc.and_(pc.equal(found["finding"], finding), pc.equal(found["rule"], rule))
        )
        mask = rules.setdefault(rule, np.zeros(len(places), dtype=bool))
        for key in zip(own["file"].to_pylist(), own["row"].to_pylist(), strict=True):
            if key in places:
                mask[places[key]] = True
    return Waived(rules)


def screen(run: Run, ingested: Ingest, aside: Aside, waived: Waived) -> Screened:
    """Claims about released rows; in the place of the pipeline's own step.

    Raises:
        BatchError: the published rows of the batch cannot be read, or are not those audited.
    """
    run.log("batch.screening")
    if ingested.batch is None:
        raise BatchError("the rows that were set aside cannot be read as a batch")
    told = aside.logged.report
    roles = recorded(told.roles)
    batch = replace(ingested.batch, roles=roles, kind=BatchKind(told.batch_kind))
    ingested = replace(ingested, batch=batch)
    verification = _verification(run, aside)
    enabled = [d for d in run.job.chosen if run.job.settings.enabled(d.rule.id)]
    outcomes = [
        *(waived.narrowed(one, 0) for one in reader_outcomes(ingested, run)),
        *provenance_outcomes(run, verification),
        *_judged(run, enabled, batch, aside, waived),
    ]
    off = [d for d in run.job.chosen if d not in enabled]
    outcomes += [Outcome(rule=d.rule.id, skipped="switched off in the settings") for d in off]
    return Screened(
        ingest=ingested,
        roles=tuple(told.roles),
        verification=verification,
        outcomes=tuple(outcomes),
        policy=policy_of(run, {d.rule.id for d in enabled}, rows_named=_rows_named(run, aside)),
        measured=SelfMeasurement(said="not measured: these rows were chosen by people."),
    )


def whole_or_held(decided: Decided) -> Decided:
    """A release is published whole or not at all: whatever is not ACCEPT is HOLD."""
    decision = decided.decision
    if decision.verdict in (Verdict.ACCEPT, Verdict.HOLD):
        return decided
    reasons = (f"a release must be ACCEPT, and is {decision.verdict.value}", *decision.reasons)
    return replace(decided, decision=replace(decision, verdict=Verdict.HOLD, reasons=reasons))


def released_rows(aside: Aside) -> pa.Table:
    """The rows as they came, without the columns that we added."""
    table = aside.table()
    return table.select([name for name in table.column_names if not name.startswith(OWN)])


def _judged(
    run: Run,
    enabled: Sequence[type[Detector]],
    batch: StagedBatch,
    aside: Aside,
    waived: Waived,
) -> Iterator[Outcome]:
    parent, vouched = aside.logged.report.batch_digest, _release_of(run)
    # Neither what the parent published, nor an earlier release of these very rows, is their past.
    context = context_for(run, parent, vouched=vouched, beside=batch.digest)
    alone = [d for d in enabled if d.rule.family in ALONE]
    said: dict[str, Outcome] = {}
    for outcome in run_detectors(alone, batch, context, run.job.progress):
        said[outcome.rule] = waived.narrowed(outcome, 0)
    rest = [d for d in enabled if d.rule.family not in ALONE]
    published = _published(run, aside, batch)
    joined: Batch = Joined(published, batch, parent, batch.roles, batch.kind)
    for outcome in run_detectors(rest, joined, context, run.job.progress):
        said[outcome.rule] = waived.narrowed(outcome, published.rows)
    return (said[d.rule.id] for d in enabled)


def _release_of(run: Run) -> bool:
    assert run.job.release is not None
    return run.job.release.vouched


def _published(run: Run, aside: Aside, batch: StagedBatch) -> StagedBatch:
    """What the parent published, read again and held against its attestation."""
    summary = aside.logged.summary
    folder = Path(run.job.settings.outputs.publish_to) / summary.sha256
    # By the attested names: the folder also holds what is no data.
    names = sorted((file.name for file in summary.files), key=os.fsencode)
    sources = [Source(name, folder / name) for name in names]
    staging = run.stage.scratch / "published"
    staging.mkdir(mode=0o700)
    found = ingest(sources, staging=staging, limits=limits_of(run), kind=batch.kind)
    received = [
        FileEntry(name=f.name, sha256=f.sha256, size=f.size, rows=f.rows) for f in found.files
    ]
    if found.batch is None or subject_digest(received) != summary.sha256:
        why = found.findings[0].message if found.findings else "their digests differ"
        raise BatchError(f"{folder}: holds other files than the batch published ({why})")
    for field in batch.schema:
        if field.name not in found.batch.schema.names or (
            found.batch.schema.field(field.name).type != field.type
        ):
            raise BatchError(f"{folder}: the column {field.name[:80]!r} is of another type there")
    return found.batch.with_roles(batch.roles)


def _rows_named(run: Run, aside: Aside) -> bool:
    """Whether the source's terms demand that rows name their contributors, as for its batches."""
    policy, source = run.trusted.policy, aside.logged.report.provenance.get("source")
    if policy is None or not source:
        return False
    try:
        return policy.source(str(source)).row_provenance == "required"
    except Refused:  # the policy no longer knows the source: nothing less strict than before
        return True


def _verification(run: Run, aside: Aside) -> Verification:
    """Its provenance is that of the batch that it came with."""
    assert run.job.release is not None
    told = aside.logged.report.provenance
    named = {"source": f"{RELEASES}{told['source']}", "batch_id": told["batch_id"]}
    return Verification(
        findings=(),
        summary={
            "status": "release",
            **(named if told.get("source") and told.get("batch_id") else {}),
            "parent_sha256": run.job.release.parent_sha256,
            "set_sha256": run.job.release.set_sha256,
            "released_under": " ".join(run.job.release.under),
            "released_by": ", ".join(run.job.release.people),
            "reasons": " / ".join(run.job.release.reasons),
        },
    )


def _places(table: pa.Table) -> dict[tuple[str, int], int]:
    """(file, row in it) -> position among the rows of the set."""
    files = table.column("_auditor_file").to_pylist()
    rows = table.column("_auditor_row").to_pylist()
    return {key: place for place, key in enumerate(zip(files, rows, strict=True))}
