"""Makes a baseline out of trusted files or of a reviewed run, and logs it. Shell."""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from auditor import baseline_files, calibration
from auditor.baseline import Baseline
from auditor.baseline_parts import Origin
from auditor.baseline_versions import reason_sha256
from auditor.calibration import Plan, utc_text
from auditor.column_statistics import describe
from auditor.config import Settings, detector_options
from auditor.detectors import DETECTORS
from auditor.errors import BaselineError, BatchError
from auditor.promotion import Accepted, accepted
from auditor.readers import Ingest, StagedBatch, ingest, resolve
from auditor.report_records import RoleRecord
from auditor.roles import infer_roles
from auditor.site import utc_now, workspace
from auditor.site_ledger import ledger_of
from auditor.trimming import as_supplied

Progress = Callable[[str], None]

#: Processes that measure power.
WORKERS: Final = 2


def read_trusted(
    paths: list[str], settings: Settings, staging: Path, progress: Progress | None
) -> tuple[StagedBatch, tuple[RoleRecord, ...]]:
    """Ingest trusted files and give their columns roles.

    Raises:
        BatchError: a file cannot be used; trusted data is whole or it is not trusted.
    """
    sources = resolve(paths)
    ingested = ingest(
        sources, staging=staging, limits=settings.limits.as_limits(), progress=progress
    )
    ingested = as_supplied(ingested, sources, settings)
    if ingested.batch is None or ingested.findings:
        raise BatchError(_first_problem(ingested))
    roles, records = infer_roles(
        ingested.batch.schema, describe(ingested.batch), dict(settings.roles)
    )
    return ingested.batch.with_roles(roles), records


def build_from_files(
    paths: list[str],
    settings: Settings,
    output: Path,
    *,
    power: int = 0,
    progress: Progress | None = None,
) -> Baseline:
    """Build from files that somebody trusts, write to `output`, log `baseline.promoted`.

    `power`: trials to measure power with, 0 for none.
    """
    return _build(paths, settings, output, {"from": "files"}, progress, power=power)


def build_from_run(
    prefix: str,
    settings: Settings,
    output: Path,
    reviewed_by: str,
    reason: str,
    *,
    power: int = 0,
    progress: Progress | None = None,
) -> Baseline:
    """Build from the rows that a run published, after a person looked; both are logged.

    There is no cooling-off: this is how a site without a baseline starts.

    Raises:
        BaselineError: the run published nothing.
    """
    one = accepted(prefix, workspace(settings), ledger_of(settings), utc_now(), 0.0)
    detail = {
        "from": "run",
        "run": one.run,
        "reviewed_by": reviewed_by,
        "reason_sha256": reason_sha256(reason),
    }
    origin = origin_of(one, settings.name, utc_now(), reviewed_by)
    built = _build(list(one.paths), settings, output, detail, progress, origin, power)
    # The ledger keeps no free text; the reason lies beside the baseline, bound by its digest.
    (output / "reason.txt").write_text(reason + "\n", encoding="utf-8")
    return built


def origin_of(one: Accepted, name: str, now: dt.datetime, reviewed_by: str | None) -> Origin:
    """What a part says about the run that it is of."""
    return Origin(
        name=name,
        added_at=utc_text(now),
        run=one.run,
        accepted_at=utc_text(one.accepted_at),
        published=one.published,
        reviewed_by=reviewed_by,
    )


def plan_of(settings: Settings, key: bytes, now: dt.datetime, origin: Origin | None = None) -> Plan:
    """How this site builds baselines: its rules with their options."""
    return Plan(
        name=settings.name,
        site_key=key,
        now=now,
        options=detector_options(settings),
        detectors=tuple(d for d in DETECTORS if settings.enabled(d.rule.id)),
        origin=origin,
    )


def _build(
    paths: list[str],
    settings: Settings,
    output: Path,
    detail: dict[str, str],
    progress: Progress | None,
    origin: Origin | None = None,
    power: int = 0,
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
        plan = replace(plan_of(settings, key, now, origin), power=power, workers=WORKERS)
        built = calibration.build(batch, plan, progress)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    ledger_of(settings).append(
        "baseline.promoted", at=now, via="cli", subject=built.digest, detail=detail
    )
    baseline_files.write(built, output)
    return built


def _first_problem(ingested: Ingest) -> str:
    return ingested.findings[0].message if ingested.findings else "no rows could be read"
