"""Makes a baseline out of trusted files or of a reviewed run, and logs it. Shell."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from auditor import baseline_files, calibration
from auditor.baseline import Baseline
from auditor.config import Settings, detector_options
from auditor.detectors import DETECTORS
from auditor.errors import BaselineError, BatchError
from auditor.formats import report_json
from auditor.ledger import Ledger
from auditor.model import RoleRecord
from auditor.provenance.digests import subject_digest
from auditor.provenance.manifest import FileEntry
from auditor.readers import Ingest, StagedBatch, ingest, resolve
from auditor.roles import describe, infer_roles
from auditor.site import utc_now, workspace

Progress = Callable[[str], None]


def read_trusted(
    paths: list[str], settings: Settings, staging: Path, progress: Progress | None
) -> tuple[StagedBatch, tuple[RoleRecord, ...]]:
    """Ingest trusted files and give their columns roles.

    Raises:
        BatchError: a file cannot be used; trusted data is whole or it is not trusted.
    """
    ingested = ingest(
        resolve(paths), staging=staging, limits=settings.limits.as_limits(), progress=progress
    )
    if ingested.batch is None or ingested.findings:
        raise BatchError(_first_problem(ingested))
    roles, records = infer_roles(
        ingested.batch.schema, describe(ingested.batch), dict(settings.roles)
    )
    return ingested.batch.with_roles(roles), records


def build_from_files(
    paths: list[str], settings: Settings, output: Path, *, progress: Progress | None = None
) -> Baseline:
    """Build from files that somebody trusts, write to `output`, log `baseline.promoted`."""
    return _build(paths, settings, output, {"from": "files"}, progress)


def build_from_run(
    prefix: str,
    settings: Settings,
    output: Path,
    reviewed_by: str,
    reason: str,
    *,
    progress: Progress | None = None,
) -> Baseline:
    """Build from the rows that a run published, after a person looked; both are logged.

    Raises:
        BaselineError: the run published nothing.
    """
    roots = workspace(settings)
    folder = roots.find_run(prefix)
    report = report_json.loads((folder / "report.json").read_bytes())
    if report.published_digest is None or report.mode != "gate":
        raise BaselineError(f"{folder.name}: this run published nothing ({report.verdict})")
    published = roots.publish_to / report.published_digest
    paths = _attested(published, report.published_digest)
    detail = {
        "from": "run",
        "run": folder.name,
        "reviewed_by": reviewed_by,
        "reason_sha256": hashlib.sha256(reason.encode()).hexdigest(),
    }
    built = _build(paths, settings, output, detail, progress)
    # The ledger keeps no free text; the reason lies beside the baseline, bound by its digest.
    (output / "reason.txt").write_text(reason + "\n", encoding="utf-8")
    return built


def _attested(published: Path, digest: str) -> list[str]:
    """The published files, if they are exactly those that the run's digest names."""
    found = [path for path in sorted(published.rglob("*")) if path.suffix == ".parquet"]
    listed = [
        FileEntry(
            name=path.relative_to(published).as_posix(),
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            size=path.stat().st_size,
            rows=0,
        )
        for path in found
    ]
    if not found or subject_digest(listed) != digest:
        raise BaselineError(f"{published}: holds other files than the run published")
    return [str(path) for path in found]


def _build(
    paths: list[str],
    settings: Settings,
    output: Path,
    detail: dict[str, str],
    progress: Progress | None,
) -> Baseline:
    roots, now = workspace(settings), utc_now()
    key = roots.key()
    if output.exists() and any(output.iterdir()):
        raise BaselineError(
            f"{output} exists already; baselines are immutable, name another folder"
        )
    staging = Path(tempfile.mkdtemp(prefix="auditor-baseline-"))
    try:
        batch, _ = read_trusted(paths, settings, staging, progress)
        plan = calibration.Plan(
            name=settings.name,
            site_key=key,
            now=now,
            options=detector_options(settings),
            detectors=tuple(d for d in DETECTORS if settings.enabled(d.rule.id)),
        )
        built = calibration.build(batch, plan, progress)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    baseline_files.write(built, output)
    Ledger(roots.ledger).append(
        "baseline.promoted", at=now, via="cli", subject=built.digest, detail=detail
    )
    return built


def _first_problem(ingested: Ingest) -> str:
    return ingested.findings[0].message if ingested.findings else "no rows could be read"
