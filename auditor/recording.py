"""What a run writes: report, evidence, attestation, and the entry that makes the verdict exist."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from auditor import site_suppressions
from auditor.assemble import Facts, report
from auditor.attesting import policy_digest, sealed, statement_of
from auditor.custody import keep, note_seen, place_of
from auditor.evidence import charts, user_ids
from auditor.fusion import fuse
from auditor.ledger import Event, Line
from auditor.model import Verdict
from auditor.policy import contributors_of
from auditor.provenance import dsse
from auditor.provenance.digests import subject_digest
from auditor.provenance.manifest import FileEntry
from auditor.provenance.refused import KeyRefused, Refused
from auditor.publish import ATTESTATION, ROWS, SUSPECTS, sha256_of, write_evidence
from auditor.quarantine import RowSet, collect
from auditor.remembering import remember
from auditor.report_records import Charts, Report
from auditor.run import Decided, Release, Run, Screened
from auditor.sample_weight import SampleWeight
from auditor.signing import unsigned_envelope
from auditor.site import (
    all_rules,
    own_version,
    version_of,
)

_SHOWN: Final = 100_000  # suspicious rows listed in suspects.parquet beyond the quarantined ones


def report_of(
    run: Run,
    decided: Decided,
    outputs: Sequence[FileEntry],
    quarantine_digest: str | None,
    weighed: SampleWeight | None = None,
) -> Report:
    """The report of a decided run; it is the source of every format."""
    screened, batch = decided.screened, decided.screened.ingest.batch
    settings = run.job.settings
    shown = Charts()
    if batch is not None and batch.rows:
        suspicion = fuse(screened.outcomes, batch.rows)
        seed = run.seed(batch.digest)
        shown = charts(batch, run.trusted.baseline, decided.rows.rows, suspicion, seed)
    facts = Facts(
        run=run.id,
        auditor=own_version(),
        created_at=run.job.clock().strftime("%Y-%m-%dT%H:%M:%SZ"),
        mode=run.job.mode,
        name=run.job.name,
        digest=screened.ingest.digest,
        kind=batch.kind.value if batch else "training",
        files=screened.ingest.files,
        roles=screened.roles,
        provenance=screened.verification.summary,
        reproduce=_reproduce(run, screened),
        settings=settings.model_dump(mode="json"),
        seconds=time.perf_counter() - run.started,
    )
    found = report(
        facts,
        batch=batch,
        baseline=run.trusted.baseline,
        outcomes=screened.outcomes,
        decision=decided.decision,
        rules=all_rules(),
        policy=screened.policy,
        charts=shown,
        rows_quarantined=len(decided.rows),
        set_digest=quarantine_digest,
        published_digest=subject_digest(outputs) if outputs else None,
        measured=screened.measured,
    )
    listed = site_suppressions.records(run.trusted.suppressions, decided.decision.decided)
    return replace(found, suppressions=listed, sample_weight=weighed)


def _reproduce(run: Run, screened: Screened) -> dict[str, str | int]:
    digest_of, sources = screened.ingest.digest, run.job.sources
    said = run.trusted.suppressions
    return {
        "batch_sha256": digest_of,
        "policy_sha256": policy_digest(run),
        "trust_policy_sha256": run.trusted.policy.sha256 if run.trusted.policy else "none",
        "baseline_sha256": run.trusted.baseline.digest if run.trusted.baseline else "none",
        "signatures_sha256": run.trusted.signatures.digest if run.trusted.signatures else "none",
        "suppressions_sha256": said.sha256 if said else "none",
        "seed": run.seed(digest_of),
        "sandbox": screened.ingest.sandbox,
        "data": json.dumps(sorted({str(Path(s.given or s.path).absolute()) for s in sources})),
        "attestation": "signed"
        if run.job.settings.signing.signs
        else "unsigned: neither signing.key nor signing.command is set",
        "python": platform.python_version(),
        **{
            name: version_of(name)
            for name in ("pyarrow", "scikit-learn", "pyod", "great-expectations")
        },
    }


def write_run(
    run: Run,
    decided: Decided,
    final: Report,
    outputs: Sequence[FileEntry],
    quarantine_digest: str | None,
    *,
    publishing: bool,
) -> None:
    """Evidence, attestation, then durable, then the ledger: the verdict exists from there on.

    What it sets aside or releases is logged with it, in one transaction: there is no set without a
    verdict, and no release without the batch that it is.
    """
    batch = decided.screened.ingest.batch
    suspects = _suspects(decided) if batch is not None else None
    signed = keep(run, decided)
    written = write_evidence(
        run.stage.evidence,
        final,
        decided.decision.decided,
        suspects,
        batch,
        samples=run.job.settings.outputs.samples,
    )
    record = remember(run, decided) if publishing and batch is not None else None
    payload = statement_of(run, decided, final, outputs, quarantine_digest, written["report.json"])
    envelope = sealed(run, payload)
    (run.stage.evidence / ATTESTATION).write_bytes(envelope)
    if publishing:
        (run.stage.published / ATTESTATION).write_bytes(envelope)
    run.stage.seal(
        published=final.published_digest if publishing else None,
        quarantined=quarantine_digest if publishing else None,
    )
    refs = [hashlib.sha256(envelope).hexdigest(), written["report.json"]]
    if record is not None:
        refs.append(record)
    detail = {
        "verdict": final.verdict,
        "mode": final.mode,
        "rows": final.rows_in,
        # Who vouched, and who attested: what a compromised key let in is found by it.
        "signers": " ".join(decided.screened.verification.signers),
        "signed_by": dsse.signed_by(envelope),
        **signed,
    }
    note_seen(run, decided)
    also: list[Line] = []
    if publishing and quarantine_digest:
        # The digest of a set binds which rows, not what they hold: so the files are named as well.
        rows = sha256_of(run.stage.quarantined / ROWS)
        named = [quarantine_digest, rows, written["findings.parquet"]]
        also.append(run.line("quarantine.created", refs=named))
    if publishing and run.job.release is not None:
        refs += [run.job.release.set_sha256, *run.job.release.under]
        also += _released(run, run.job.release, attestation=refs[0])
    held = decided.decision.verdict == Verdict.HOLD
    place = place_of(run, decided)
    verdict = run.line("batch.held" if held else "verdict", refs=refs, detail=detail, place=place)
    run.ledger.append_all([*also, verdict])
    run.decided = True


def _released(run: Run, release: Release, *, attestation: str) -> Iterator[Line]:
    """That the set is released, if nothing was said about it since the decisions were read."""
    if release.head is not None:
        said = Event(
            name="released",
            at=run.job.clock(),
            via="gate",
            subject=release.set_sha256,
            refs=(attestation, *release.under),
            run=run.id,
            principal=release.people[0],
            detail={"break_glass": release.break_glass},
        )
        yield Line(event=said, expect=release.head)


def write_broken(run: Run, decided: Decided, *, because: str) -> Report:
    """The same for a run that broke off: report, attestation, seal, `batch.held`.

    What broke may be the signing itself. Then the attestation is openly unsigned, and the report
    and the ledger say so: a HOLD must not depend on a key.
    """
    final = report_of(run, decided, (), None)
    detail = {"reason": because}
    try:
        envelope, report_sha256 = _write_broken(run, decided, final)
    except (KeyRefused, Refused) as error:
        unsigned = f"unsigned: signing failed ({error.code})"
        detail["attestation"] = unsigned
        final = replace(final, reproduce={**final.reproduce, "attestation": unsigned})
        envelope, report_sha256 = _write_broken(run, decided, final, signed=False)
    run.stage.seal()
    refs = [hashlib.sha256(envelope).hexdigest(), report_sha256]
    run.log("batch.held", refs=refs, detail=detail)
    run.decided = True
    return final


def _write_broken(
    run: Run, decided: Decided, final: Report, *, signed: bool = True
) -> tuple[bytes, str]:
    written = write_evidence(run.stage.evidence, final, samples=False)
    report_sha256 = written["report.json"]
    payload = statement_of(run, decided, final, (), None, report_sha256)
    envelope = sealed(run, payload) if signed else unsigned_envelope(payload)
    (run.stage.evidence / ATTESTATION).write_bytes(envelope)
    return envelope, report_sha256


def _suspects(decided: Decided) -> pa.Table:
    """Every suspicious row, worst first: the review queue."""
    batch = decided.screened.ingest.batch
    if batch is None:
        return SUSPECTS.empty_table()
    fused = fuse(decided.screened.outcomes, batch.rows, contributors_of(batch))
    named = collect([d.finding for d in decided.decision.decided])
    aside = np.zeros(batch.rows, dtype=bool)
    aside[decided.rows.rows] = True
    order = np.argsort(-fused, kind="stable")[:_SHOWN]
    rows = np.union1d(order[fused[order] > 0], decided.rows.rows).astype(np.int64)
    files, places = batch.locate(rows)
    rules, reasons = _why(named, decided.rows, rows)
    table = pa.table(
        [
            files,
            places,
            pa.array(user_ids(batch, rows), pa.string()),
            pa.array(fused[rows].astype(np.float32)),
            pa.array(rules, pa.string()),
            pa.array(reasons, pa.string()),
            pa.array(aside[rows]),
        ],
        schema=SUSPECTS,
    )
    return table.sort_by([("quarantined", "descending"), ("suspicion", "descending")])


def _why(named: RowSet, aside: RowSet, rows: np.ndarray) -> tuple[list[str], list[str]]:
    """Rules and reason of each row: of what set it aside, else of what noted it, else a ranking."""
    known: dict[int, tuple[str, str]] = {}
    for source in (named, aside):
        columns = (source.table.column(n).to_pylist() for n in ("row", "rules", "reason"))
        known |= {row: (rules, reason) for row, rules, reason in zip(*columns, strict=True)}
    blank = ("", "ranked high by a rule, in no finding")
    pairs = [known.get(int(row), blank) for row in rows]
    return [rules for rules, _ in pairs], [reason for _, reason in pairs]
