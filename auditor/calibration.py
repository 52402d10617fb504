"""Builds a Baseline from trusted rows and measures its clean rate."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from auditor.baseline import (
    Baseline,
    Counts,
    Part,
    bin_counts,
    frozen_edges,
    key_id,
)
from auditor.baseline_files import as_stored, read, write
from auditor.batch import Batch, Roles, TableBatch, as_text
from auditor.coded import code, coded
from auditor.context import Context, Detector
from auditor.copies import content_columns, take_rows
from auditor.detectors import DETECTORS
from auditor.engine import run
from auditor.errors import BaselineError, Unavailable
from auditor.features import is_category
from auditor.model import STATISTICAL, Effect, Outcome, Verdict
from auditor.policy import Policy, decide
from auditor.rowhash import row_keys
from auditor.statistics import wilson

__all__ = ["Plan", "build", "read", "write"]

Rows = npt.NDArray[np.int64]
Progress = Callable[[str], None]

SAMPLE_ROWS: Final = 20_000
RESAMPLES: Final = 6
RESAMPLE_ROWS: Final = 2_000
#: Distinct values up to which a column without a role is one of categories.
FEW: Final = 50
#: Fewer trusted rows than this give no threshold worth the name.
MINIMUM_ROWS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to build: the name of the trusted rows, the site key, bounds and detector options.

    `detectors`: those that the settings have not switched off.
    """

    name: str
    site_key: bytes
    now: dt.datetime
    options: Mapping[str, object]
    sample_rows: int = SAMPLE_ROWS
    resamples: int = RESAMPLES
    detectors: tuple[type[Detector], ...] = DETECTORS

    @property
    def seed(self) -> int:
        """Fixed for a site and a name, unknown outside."""
        framed = hashlib.blake2b(self.name.encode(), key=self.site_key[:64], digest_size=4)
        return int.from_bytes(framed.digest(), "little")


def build(batch: Batch, plan: Plan, progress: Progress | None = None) -> Baseline:
    """A baseline over trusted rows, with calibrated thresholds and its measured clean rate.

    Raises:
        BaselineError: too few rows, or no column that a rule could use.
    """
    say = progress or (lambda _: None)
    if batch.rows < MINIMUM_ROWS:
        raise BaselineError(f"{batch.rows} trusted rows are too few; give at least {MINIMUM_ROWS}")
    say(f"counting {batch.rows} trusted rows")
    baseline = _assemble(batch, plan, say)
    say("measuring false alarms on clean batches")
    clean = _measure(batch, plan)
    return as_stored(replace(baseline, clean=clean))


def _assemble(batch: Batch, plan: Plan, say: Progress) -> Baseline:
    order = _time_order(batch)
    chosen = np.sort(_stratified(batch, plan))
    rank = np.empty(batch.rows, dtype=np.int64)
    rank[order] = np.arange(batch.rows)
    table = take_rows(batch, batch.schema.names, chosen)
    sample = table.take(pa.array(np.argsort(rank[chosen], kind="stable")))
    edges = _edges(table, batch.roles)
    keys, parts = _count(batch, plan, edges)
    thresholds = {}
    for detector in plan.detectors:
        calibrate = getattr(detector, "calibrate", None)
        if calibrate is None:
            continue
        say(f"calibrating {detector.rule.id}")
        options = plan.options.get(detector.rule.id) or detector.options()
        try:
            thresholds[detector.rule.id] = calibrate(sample, batch.roles, options, plan.seed)
        except Unavailable as reason:
            say(f"{detector.rule.id} is left out: {reason}")
    return Baseline(
        digest="",
        created_at=plan.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        key_id=key_id(plan.site_key),
        seed=plan.seed,
        roles=batch.roles,
        schema=batch.schema.remove_metadata(),
        parts=parts,
        sample=sample.replace_schema_metadata(None),
        keys=keys,
        edges=edges,
        thresholds=thresholds,
        switched_off=_switched_off(plan),
    )


def _switched_off(plan: Plan) -> tuple[str, ...]:
    """Rules that could have been calibrated, were they not switched off."""
    off = [d for d in DETECTORS if d not in plan.detectors and hasattr(d, "calibrate")]
    return tuple(d.rule.id for d in off)


def _time_order(batch: Batch) -> Rows:
    """Row positions, oldest first; as they came where no timestamp says otherwise."""
    stamp = batch.roles.first("timestamp")
    if stamp is None or not pa.types.is_timestamp(batch.schema.field(stamp).type):
        return np.arange(batch.rows)
    zone = batch.schema.field(stamp).type.tz
    parts = [
        chunk.data.column(0).cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())
        for chunk in batch.chunks([stamp])
    ]
    micro = pa.chunked_array(parts, pa.int64()).fill_null(0).to_numpy()
    return np.argsort(micro, kind="stable").astype(np.int64)


def _stratified(batch: Batch, plan: Plan) -> Rows:
    """A seeded sample with the labels' own shares, but rare labels first: int64[<= bound]."""
    rng = np.random.default_rng(plan.seed)
    if batch.rows <= plan.sample_rows:
        return np.arange(batch.rows)
    if batch.roles.label is None:
        return rng.choice(batch.rows, plan.sample_rows, replace=False)
    known = coded(batch, batch.roles.label, missing="")
    counts = known.counts
    # Each row draws a uniform key; dividing by the share kept keeps about 200 of a rare label.
    share = np.minimum(1.0, np.maximum(plan.sample_rows / batch.rows, 200 / counts))
    draw = rng.random(batch.rows) / share[known.codes]
    return np.argsort(draw, kind="stable")[: plan.sample_rows].astype(np.int64)


def _edges(sample: pa.Table, roles: Roles) -> dict[str, tuple[float, ...] | tuple[str, ...]]:
    """Bin edges of the columns that are compared.

    Edges are values of rows, readable in `baseline.json`: no ids, names, texts or times.
    """
    compared = [n for n in sample.column_names if _compared(sample.column(n), n, roles)]
    found = {name: frozen_edges(sample.column(name)) for name in compared}
    return {name: edges for name, edges in found.items() if edges is not None}


def _compared(column: pa.ChunkedArray, name: str, roles: Roles) -> bool:
    """Features, labels and slices; a column without a role only where it holds few categories."""
    role = next((role for role, names in roles.assigned.items() if name in names), None)
    if role in ("feature", "label", "slice"):
        return True
    if role not in (None, "ignored") or not is_category(column.type):
        return False
    return int(pc.count_distinct(column.cast(pa.string())).as_py()) <= min(FEW, len(column) // 2)


def _count(
    batch: Batch, plan: Plan, edges: Mapping[str, tuple[float, ...] | tuple[str, ...]]
) -> tuple[pa.Table, tuple[Part, ...]]:
    """Row keys of all trusted rows, and one part for each source: one pass."""
    content = content_columns(batch, None)
    features = [c for c in content if c != batch.roles.label]
    keys: list[pa.RecordBatch] = []
    counts: dict[str, dict[str, Counts]] = {}
    labels: dict[str, dict[str, int]] = {}
    total: dict[str, int] = {}
    for chunk in batch.chunks(batch.schema.names):
        keys.append(_key_columns(chunk.data, content, features, batch.roles, plan.site_key))
        for source, rows in _by_source(chunk.data, batch.roles):
            own = counts.setdefault(source, {})
            total[source] = total.get(source, 0) + rows.num_rows
            for name, edge in edges.items():
                found = bin_counts(rows.column(name), edge)
                own[name] = own[name] + found if name in own else found
            _add_labels(labels.setdefault(source, {}), rows, batch.roles)
    parts = [
        Part(
            name=f"{plan.name}/{source}" if source else plan.name,
            digest=batch.digest,
            rows=total[source],
            histograms={name: tuple(int(v) for v in values) for name, values in own.items()},
            labels=labels[source],
        )
        for source, own in sorted(counts.items())
    ]
    return pa.Table.from_batches(keys), tuple(parts)


def _key_columns(
    data: pa.RecordBatch, content: Any, features: Any, roles: Roles, site_key: bytes
) -> pa.RecordBatch:
    whole, partly = row_keys(data, content, site_key), row_keys(data, features, site_key)
    text = [
        as_text(data.column(c)) if c else pa.nulls(data.num_rows, pa.string())
        for c in (roles.label, roles.contributor)
    ]
    lanes = [pa.array(lane) for lane in (whole[:, 0], whole[:, 1], partly[:, 0], partly[:, 1])]
    return pa.RecordBatch.from_arrays(
        [*lanes, *text], names=["a", "b", "fa", "fb", "label", "contributor"]
    )


def _by_source(data: pa.RecordBatch, roles: Roles) -> list[tuple[str, pa.RecordBatch]]:
    column = roles.first("source")
    if column is None:
        return [("", data)]
    known = code([data.column(column)], missing="")
    return [
        (name, data.take(pa.array(np.flatnonzero(known.codes == i))))
        for i, name in enumerate(known.names)
    ]


def _add_labels(counts: dict[str, int], rows: pa.RecordBatch, roles: Roles) -> None:
    if roles.label is None:
        return
    for entry in as_text(rows.column(roles.label)).value_counts().to_pylist():
        label = "(missing)" if entry["values"] is None else entry["values"]
        counts[label] = counts.get(label, 0) + int(entry["counts"])


def _measure(batch: Batch, plan: Plan) -> dict[str, Any]:
    """False alarms at the default policy: later clean windows against the earlier two thirds."""
    if plan.resamples < 1:
        return _clean(0, 0, 0, 0)
    order = _time_order(batch)
    cut = (2 * batch.rows) // 3
    rng = np.random.default_rng(plan.seed)
    early = np.sort(rng.permutation(order[:cut])[: plan.sample_rows])
    late = order[cut:]
    trusted = TableBatch(take_rows(batch, batch.schema.names, early), batch.roles, batch.digest)
    baseline = _assemble(trusted, plan, lambda _: None)
    context = Context(
        seed=plan.seed, site_key=plan.site_key, baseline=baseline, settings=plan.options
    )
    alarms = quarantined = rows = 0
    for number in range(plan.resamples):
        wanted = np.sort(
            rng.choice(late, min(RESAMPLE_ROWS, max(1, len(late) // 2)), replace=False)
        )
        window = TableBatch(
            take_rows(batch, batch.schema.names, wanted), batch.roles, f"{number:064d}"
        )
        decision = _default_verdict(window, context, plan.detectors)
        alarms += decision[0] != Verdict.ACCEPT
        quarantined += decision[1]
        rows += window.rows
    return _clean(plan.resamples, alarms, rows, quarantined)


def _clean(batches: int, alarms: int, rows: int, quarantined: int) -> dict[str, Any]:
    low, high = wilson(quarantined, rows)
    return {
        "batches": batches,
        "batches_not_accepted": alarms,
        "rows": rows,
        "rows_quarantined": quarantined,
        "row_rate_low": low,
        "row_rate_high": high,
    }


def _default_verdict(
    window: Batch, context: Context, enabled: Sequence[type[Detector]]
) -> tuple[Verdict, int]:
    detectors = [d for d in enabled if d.rule.family in STATISTICAL]
    if not detectors:
        return Verdict.ACCEPT, 0
    outcomes: list[Outcome] = list(run(detectors, window, context))
    rules = {d.rule.id: d.rule for d in detectors}
    decision = decide(outcomes, rules=rules, policy=Policy(), rows=window.rows)
    tables = [f.rows for f in decision.having(Effect.QUARANTINE) if f.rows is not None]
    rows = np.concatenate([t.column("row").to_numpy() for t in tables]) if tables else np.zeros(0)
    return decision.verdict, len(np.unique(rows))
