"""From files and settings to a ground for trials: trusted and clean rows, rules, policy. Shell."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from auditor import calibration
from auditor.baseline import Baseline
from auditor.batch import Roles, TableBatch
from auditor.column_statistics import describe
from auditor.config import Settings, detector_options, digest
from auditor.context import Context, Detector
from auditor.copies import take_rows
from auditor.detectors import DETECTORS
from auditor.errors import BatchError
from auditor.model import STATISTICAL, Effect, Family
from auditor.policy import Policy
from auditor.readers import StagedBatch, ingest, resolve
from auditor.roles import Trusted as TrustedRoles
from auditor.roles import infer_roles
from auditor.screening import stated_policy
from auditor.site import Trusted, load_trusted, own_version, utc_now, workspace
from auditor.trials import Ground, window_of
from auditor.trimming import as_supplied

Progress = Callable[[str], None]

#: Share of the rows, the earliest, that is trusted where no baseline is given.
TRUSTED_SHARE: Final = 2 / 3
#: Rows of the data that are used at most.
MOST_ROWS: Final = 200_000


def ground_of(
    paths: list[str], settings: Settings, staging: Path, say: Progress
) -> tuple[Ground, str]:
    """The ground, and a digest of data, baseline, settings and version: the same, the same trials.

    Raises:
        BatchError: the data cannot be read whole. BaselineError: the baseline cannot be used.
    """
    trusted = load_trusted(settings, workspace(settings).key())
    batch = _read(paths, settings, staging, trusted.baseline, say)
    roles, rows = batch.roles, _by_time(batch)
    baseline, pin = trusted.baseline, ""
    if baseline is None:
        cut = int(TRUSTED_SHARE * rows.num_rows)
        say(f"building a baseline from the first {cut} of {rows.num_rows} rows")
        baseline = _built(rows.slice(0, cut), roles, settings, trusted, say)
        rows, pin = rows.slice(cut), f"first {cut} rows, site key {baseline.key_id}"
    said = (own_version(), batch.digest, pin or baseline.digest, _settings_digest(settings))
    pinned = hashlib.sha256("\n".join(said).encode()).hexdigest()
    ground = Ground(
        clean=rows,
        trusted=baseline.sample,
        roles=roles,
        window=window_of(rows.num_rows),
        detectors=tuple(d for d in DETECTORS if _takes_part(d, settings)),
        context=Context(
            seed=_seed(trusted.site_key, pinned),
            site_key=trusted.site_key,
            baseline=baseline,
            settings=detector_options(settings),
        ),
        policy=_policy(settings),
    )
    return ground, pinned


def _read(
    paths: list[str],
    settings: Settings,
    staging: Path,
    baseline: Baseline | None,
    say: Progress,
) -> StagedBatch:
    """Ingest, and give columns the baseline's roles where the settings do not name them."""
    sources = resolve(paths)
    ingested = ingest(sources, staging=staging, limits=settings.limits.as_limits(), progress=say)
    ingested = as_supplied(ingested, sources, settings)
    if ingested.batch is None or ingested.findings:
        found = ingested.findings
        raise BatchError(found[0].message if found else "no rows could be read")
    batch = ingested.batch
    known = TrustedRoles(baseline.roles, frozenset(baseline.schema.names)) if baseline else None
    roles, _ = infer_roles(batch.schema, describe(batch), settings.roles, known)
    return batch.with_roles(roles)


def _by_time(batch: StagedBatch) -> pa.Table:
    """All rows, oldest first; as they came where no timestamp says otherwise.

    Attacks need them in memory, so of a large batch every n-th row is taken.
    """
    chosen = np.arange(0, batch.rows, max(1, -(-batch.rows // MOST_ROWS)))
    rows = take_rows(batch, batch.schema.names, chosen).replace_schema_metadata(None)
    stamp = batch.roles.first("timestamp")
    if stamp is None or not pa.types.is_timestamp(rows.schema.field(stamp).type):
        return rows
    times = rows.column(stamp).cast(pa.int64()).fill_null(0).to_numpy()
    return rows.take(pa.array(np.argsort(times, kind="stable")))


def _built(
    rows: pa.Table, roles: Roles, settings: Settings, trusted: Trusted, say: Progress
) -> Baseline:
    plan = calibration.Plan(
        name=settings.name,
        site_key=trusted.site_key,
        now=utc_now(),
        options=detector_options(settings),
        detectors=tuple(d for d in DETECTORS if settings.enabled(d.rule.id)),
        resamples=0,
    )
    return calibration.build(TableBatch(rows, roles), plan, say)


def _seed(site_key: bytes, pinned: str) -> int:
    return int.from_bytes(hmac.digest(site_key, pinned.encode(), "sha256")[:4], "big")


def _settings_digest(settings: Settings) -> str:
    return digest(settings, suite=None, rules=[detector.rule.id for detector in DETECTORS])


def _takes_part(detector: type[Detector], settings: Settings) -> bool:
    """Whether a rule can change the verdict of a trial: statistical ones, drift if it may hold.

    A suite of expectations takes seconds a batch and is left out.
    """
    rule = detector.rule
    if not settings.enabled(rule.id):
        return False
    if rule.family == Family.DRIFT:
        options = detector_options(settings)[rule.id]
        effect = Effect(settings.policy.effects.get(rule.id, rule.effect))
        return effect != Effect.NOTE or bool(getattr(options, "hold_above", 0.0))
    return rule.family in STATISTICAL


def _policy(settings: Settings) -> Policy:
    """The stated one, without the demand that rules ran which take no part here."""
    return replace(stated_policy(settings), required=frozenset())
