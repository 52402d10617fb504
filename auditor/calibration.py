"""Builds a Baseline from trusted rows, measures its clean rate, writes and reads it.

On disk: `baseline.json` (header with the digest of everything), `sample.parquet`, `keys.parquet`.
No pickle anywhere: models are refitted from the sample, thresholds are numbers in the header.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import rfc8785

from auditor.baseline import (
    VERSION,
    Baseline,
    Counts,
    Part,
    bin_counts,
    frozen_edges,
    key_id,
)
from auditor.batch import Batch, Roles, TableBatch, as_text, distinct, texts
from auditor.context import Context
from auditor.copies import content_columns, take_rows
from auditor.detectors import DETECTORS
from auditor.engine import run
from auditor.errors import BaselineError, Unavailable
from auditor.model import STATISTICAL, Effect, Outcome, Verdict
from auditor.policy import Policy, decide
from auditor.rowhash import row_keys
from auditor.statistics import wilson

Rows = npt.NDArray[np.int64]
Progress = Callable[[str], None]

SAMPLE_ROWS: Final = 20_000
RESAMPLES: Final = 6
RESAMPLE_ROWS: Final = 2_000
#: Fewer trusted rows than this give no threshold worth the name.
MINIMUM_ROWS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to build: the name of the trusted rows, the site key, bounds and detector options."""

    name: str
    site_key: bytes
    now: dt.datetime
    options: Mapping[str, object]
    sample_rows: int = SAMPLE_ROWS
    resamples: int = RESAMPLES

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
    return _as_stored(replace(baseline, clean=clean))


def _assemble(batch: Batch, plan: Plan, say: Progress) -> Baseline:
    order = _time_order(batch)
    chosen = np.sort(_stratified(batch, plan))
    rank = np.empty(batch.rows, dtype=np.int64)
    rank[order] = np.arange(batch.rows)
    table = take_rows(batch, batch.schema.names, chosen)
    sample = table.take(pa.array(np.argsort(rank[chosen], kind="stable")))
    edges = _edges(table)
    keys, parts = _count(batch, plan, edges)
    thresholds = {}
    for detector in DETECTORS:
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
    )


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
    _, place = distinct([x or "" for x in texts(batch, batch.roles.label)])
    code = np.array(place, dtype=np.int64)
    counts = np.bincount(code)
    # Each row draws a uniform key; dividing by the share kept keeps about 200 of a rare label.
    share = np.minimum(1.0, np.maximum(plan.sample_rows / batch.rows, 200 / counts))
    draw = rng.random(batch.rows) / share[code]
    return np.argsort(draw, kind="stable")[: plan.sample_rows].astype(np.int64)


def _edges(sample: pa.Table) -> dict[str, tuple[float, ...] | tuple[str, ...]]:
    found = {name: frozen_edges(sample.column(name)) for name in sample.column_names}
    return {name: edges for name, edges in found.items() if edges is not None}


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
    names, place = distinct([x or "" for x in as_text(data.column(column)).to_pylist()])
    code = np.array(place, dtype=np.int64)
    return [(name, data.take(pa.array(np.flatnonzero(code == i)))) for i, name in enumerate(names)]


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
        decision = _default_verdict(window, context)
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


def _default_verdict(window: Batch, context: Context) -> tuple[Verdict, int]:
    detectors = [d for d in DETECTORS if d.rule.family in STATISTICAL]
    outcomes: list[Outcome] = list(run(detectors, window, context))
    rules = {d.rule.id: d.rule for d in detectors}
    decision = decide(outcomes, rules=rules, policy=Policy(), rows=window.rows)
    tables = [f.rows for f in decision.having(Effect.QUARANTINE) if f.rows is not None]
    rows = np.concatenate([t.column("row").to_numpy() for t in tables]) if tables else np.zeros(0)
    return decision.verdict, len(np.unique(rows))


# --- on disk -----------------------------------------------------------------------------------


def write(baseline: Baseline, folder: Path) -> Path:
    """Write to `folder` (which must not hold a baseline yet), whole or not at all.

    Raises:
        BaselineError: `folder` exists and is not empty; baselines are immutable.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BaselineError(
            f"{folder} exists already; baselines are immutable, name another folder"
        )
    staging = folder.with_name(f".{folder.name}.{os.getpid()}")
    staging.mkdir(parents=True)
    try:
        for name, content in _files(baseline).items():
            (staging / name).write_bytes(content)
        header = _header(baseline) | {"digest": baseline.digest}
        (staging / "baseline.json").write_text(json.dumps(header, indent=1, sort_keys=True))
        if folder.exists():
            folder.rmdir()
        staging.rename(folder)
    except OSError:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return folder


def read(folder: Path) -> Baseline:
    """Read a baseline and verify its digest.

    Raises:
        BaselineError: missing, damaged, edited, or of another version.
    """
    header = _read_header(folder)
    files = {name: _read_bytes(folder / name) for name in ("sample.parquet", "keys.parquet")}
    digest = header.pop("digest", None)
    if digest != _digest(header, files):
        raise BaselineError(f"{folder}: does not match its digest; it was edited, build it again")
    tables = {name: _read_table(folder / name, content) for name, content in files.items()}
    try:
        return Baseline(
            digest=digest,
            created_at=header["created_at"],
            key_id=header["key_id"],
            seed=int(header["seed"]),
            roles=Roles({role: tuple(names) for role, names in header["roles"].items()}),
            schema=tables["sample.parquet"].schema,
            parts=tuple(_part(part) for part in header["parts"]),
            sample=tables["sample.parquet"],
            keys=tables["keys.parquet"],
            edges={name: tuple(values) for name, values in header["edges"].items()},
            thresholds=header["thresholds"],
            clean=header["clean"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BaselineError(f"{folder}/baseline.json: not a baseline ({error})") from error


def _part(stored: dict[str, Any]) -> Part:
    histograms = {name: tuple(counts) for name, counts in stored["histograms"].items()}
    return Part(**(stored | {"histograms": histograms}))


def _read_header(folder: Path) -> dict[str, Any]:
    path = folder / "baseline.json"
    try:
        header = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BaselineError(
            f"{path}: no such file; make one with `auditor baseline build DATA`"
        ) from None
    except (OSError, ValueError) as error:
        raise BaselineError(f"{path}: cannot be read ({error})") from error
    if not isinstance(header, dict) or header.get("version") != VERSION:
        raise BaselineError(f"{path}: not a baseline of version {VERSION}; build it again")
    return header


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BaselineError(f"{path}: cannot be read ({error})") from error


def _read_table(path: Path, content: bytes) -> pa.Table:
    try:
        return pq.read_table(pa.BufferReader(content), pre_buffer=False)
    except (OSError, pa.ArrowInvalid) as error:
        raise BaselineError(f"{path}: cannot be read ({error})") from error


def _files(baseline: Baseline) -> dict[str, bytes]:
    """The tables as they are stored.

    Parquet changes units and what stands under nulls: only these bytes stay the same.
    """
    tables = {"sample.parquet": baseline.sample, "keys.parquet": baseline.keys}
    return {name: _parquet(table) for name, table in tables.items()}


def _as_stored(baseline: Baseline) -> Baseline:
    """With its tables as they will be read, so that a baseline just built is the one on disk."""
    tables = {name: _read_table(Path(name), c) for name, c in _files(baseline).items()}
    sample, keys = tables["sample.parquet"], tables["keys.parquet"]
    stored = replace(baseline, sample=sample, keys=keys, schema=sample.schema)
    return replace(stored, digest=_digest(_header(stored), _files(stored)))


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _header(baseline: Baseline) -> dict[str, Any]:
    return {
        "version": VERSION,
        "created_at": baseline.created_at,
        "key_id": baseline.key_id,
        "seed": baseline.seed,
        "roles": {role: list(names) for role, names in baseline.roles.assigned.items()},
        "parts": [asdict(part) for part in baseline.parts],
        "edges": {name: list(values) for name, values in baseline.edges.items()},
        "thresholds": dict(baseline.thresholds),
        "clean": dict(baseline.clean),
    }


def _digest(header: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
    """sha256 over the canonical header and the sha256 of each file, in name order."""
    digest = hashlib.sha256(rfc8785.dumps(json.loads(json.dumps(header))))
    for name in sorted(files):
        digest.update(name.encode() + hashlib.sha256(files[name]).digest())
    return digest.hexdigest()


def difference(old: Baseline, new: Baseline) -> list[str]:
    """What changed between two baselines, one plain sentence each; empty when nothing did."""
    lines = []
    for what, a, b in (
        ("columns", set(old.schema.names), set(new.schema.names)),
        ("labels", set(old.labels), set(new.labels)),
    ):
        lines += [f"{what}: {name!r} was removed" for name in sorted(a - b)]
        lines += [f"{what}: {name!r} was added" for name in sorted(b - a)]
    if old.rows != new.rows:
        lines.append(f"rows: {old.rows} -> {new.rows}")
    lines += [
        f"label {name!r}: {old.labels[name] / old.rows:.1%} -> {new.labels[name] / new.rows:.1%}"
        for name in sorted(set(old.labels) & set(new.labels))
        if abs(old.labels[name] / old.rows - new.labels[name] / new.rows) >= 0.005
    ]
    for role in sorted({*old.roles.assigned, *new.roles.assigned}):
        if old.roles.columns(role) != new.roles.columns(role):
            lines.append(f"role {role}: {old.roles.columns(role)} -> {new.roles.columns(role)}")
    return lines
