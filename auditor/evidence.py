"""What a person needs to judge: sample rows with their nearest trusted neighbours, and aggregates.

Pure: a batch, a baseline and decided findings in, plain values out. Bounded whatever the batch.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.baseline import Baseline, count_batch
from auditor.batch import Batch, as_text, cells
from auditor.coded import coded
from auditor.copies import take_rows
from auditor.features import Encoder, Matrix, is_category, is_number
from auditor.model import Finding, Scalar
from auditor.report_records import (
    Charts,
    ContributorRecord,
    DriftRecord,
    MapPoint,
    ShareRecord,
    TimeRecord,
)
from auditor.statistics import stability_index

Rows = npt.NDArray[np.int64]

SAMPLES: Final = 5  # rows shown for each finding
NEIGHBOURS: Final = 3
BARS: Final = 30  # contributors and labels in a plot
POINTS: Final = 800  # points on the map
INTERVALS: Final = 40  # bars over time
CELL: Final = 200  # characters kept of a text cell


def worst_rows(finding: Finding, count: int = SAMPLES) -> Rows:
    """The rows of a finding with the highest suspicion, worst first: int64[<= count]."""
    if finding.rows is None:
        return np.zeros(0, dtype=np.int64)
    rows: Rows = finding.rows.column("row").to_numpy()
    order = np.lexsort((rows, -finding.rows.column("suspicion").to_numpy()))
    return rows[order[:count]]


def show_rows(batch: Batch, rows: Rows) -> dict[int, dict[str, Scalar]]:
    """The named rows as plain values, long text cut; hostile, so escape before printing."""
    wanted = np.unique(rows)
    table = take_rows(batch, batch.schema.names, wanted)
    columns = [[plain(value) for value in cells(column)] for column in table.columns]
    shown = (dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True))
    return dict(zip(wanted.tolist(), shown, strict=True))


def neighbours(
    batch: Batch, baseline: Baseline, rows: Rows
) -> dict[int, tuple[dict[str, Scalar], ...]]:
    """The trusted rows nearest to each named row in encoded features, nearest first."""
    encoder = Encoder.fit(baseline.sample, baseline.roles.features)
    if not encoder.columns or not all(_same_kind(batch, baseline, n) for n in encoder.names):
        return {}
    wanted = np.unique(rows)
    mine = np.clip(encoder.transform(take_rows(batch, list(encoder.names), wanted)), -10, 10)
    trusted = np.clip(encoder.transform(baseline.sample), -10, 10)
    columns = [c for c in (*encoder.names, baseline.roles.label) if c]
    found = {}
    for row, point in zip(wanted.tolist(), mine, strict=True):
        nearest = np.argsort(((trusted - point) ** 2).sum(axis=1), kind="stable")[:NEIGHBOURS]
        shown = baseline.sample.select(columns).take(nearest).to_pylist()
        found[row] = tuple({n: plain(v) for n, v in entry.items()} for entry in shown)
    return found


def plain(value: Any) -> Scalar:
    """A cell as a JSON scalar; nested values and times as text, long text cut."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else str(value)
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text if len(text) <= CELL else text[: CELL - 1] + "…"


def charts(
    batch: Batch,
    baseline: Baseline | None,
    quarantined: Rows,
    suspicion: npt.NDArray[np.float64],
    seed: int,
) -> Charts:
    """All plots of the report, as bounded aggregates."""
    marked = np.zeros(batch.rows, dtype=bool)
    marked[quarantined] = True
    return Charts(
        contributors=_contributors(batch, marked, suspicion),
        labels=_labels(batch, baseline),
        drift=_drift(batch, baseline),
        time=_time(batch, marked),
        map=_map(batch, baseline, marked, seed),
    )


def _contributors(
    batch: Batch, marked: npt.NDArray[np.bool_], suspicion: npt.NDArray[np.float64]
) -> tuple[ContributorRecord, ...]:
    if batch.roles.contributor is None:
        return ()
    known = coded(batch, batch.roles.contributor, missing="")
    unique, code, total = known.names, known.codes, known.counts
    hit = np.bincount(code, weights=marked, minlength=len(unique))
    mean = np.bincount(code, weights=suspicion, minlength=len(unique)) / np.maximum(total, 1)
    # Stable, and the names are sorted: among equals the first name comes first.
    order = np.lexsort((-total, -mean, -hit / np.maximum(total, 1)))[:BARS]
    return tuple(
        ContributorRecord(
            contributor=unique[i][:CELL],
            rows=int(total[i]),
            quarantined=int(hit[i]),
            mean_suspicion=round(float(mean[i]), 4),
        )
        for i in order
    )


def _labels(batch: Batch, baseline: Baseline | None) -> tuple[ShareRecord, ...]:
    if batch.roles.label is None or not batch.rows:
        return ()
    own = coded(batch, batch.roles.label, missing="")
    counts: dict[str, int] = {}
    for label, count in zip(own.names, own.counts.tolist(), strict=True):
        counts[label or "(missing)"] = counts.get(label or "(missing)", 0) + count
    known: Mapping[str, int] = baseline.labels if baseline else {}
    total = max(1, sum(known.values()))
    names = sorted({*counts, *known}, key=lambda n: (-counts.get(n, 0), n))[:BARS]
    return tuple(
        ShareRecord(
            label=name[:CELL],
            batch=round(counts.get(name, 0) / batch.rows, 6),
            baseline=round(known.get(name, 0) / total, 6) if baseline else None,
        )
        for name in names
    )


def _drift(batch: Batch, baseline: Baseline | None) -> tuple[DriftRecord, ...]:
    if baseline is None:
        return ()
    shared = {n: e for n, e in baseline.edges.items() if _same_kind(batch, baseline, n)}
    counts = count_batch(batch, shared)
    records = [
        DriftRecord(
            column=name,
            psi=round(stability_index(counts[name].astype(float), _float(baseline, name)), 4),
        )
        for name in counts
    ]
    return tuple(sorted(records, key=lambda r: (-r.psi, r.column))[:BARS])


def _float(baseline: Baseline, name: str) -> npt.NDArray[np.float64]:
    return baseline.histogram(name).astype(np.float64)


def _same_kind(batch: Batch, baseline: Baseline, name: str) -> bool:
    if name not in batch.schema.names or name not in baseline.schema.names:
        return False
    mine, trusted = batch.schema.field(name).type, baseline.schema.field(name).type
    return is_number(mine) == is_number(trusted) and is_category(mine) == is_category(trusted)


def _time(batch: Batch, marked: npt.NDArray[np.bool_]) -> tuple[TimeRecord, ...]:
    stamp = batch.roles.first("timestamp")
    if stamp is None or not pa.types.is_timestamp(batch.schema.field(stamp).type):
        return ()
    parts = [c.data.column(0) for c in batch.chunks([stamp])]
    micro = np.concatenate([_micro(part) for part in parts]) if parts else np.zeros(0)
    known = ~np.isnan(micro)
    if not known.any():
        return ()
    low, high = micro[known].min(), micro[known].max()
    edges = np.linspace(low, high, min(INTERVALS, max(2, int(known.sum()))) + 1)
    place = np.clip(np.searchsorted(edges, micro[known], side="right") - 1, 0, len(edges) - 2)
    rows = np.bincount(place, minlength=len(edges) - 1)
    hit = np.bincount(place, weights=marked[known], minlength=len(edges) - 1)
    return tuple(
        TimeRecord(start=_iso(edge), rows=int(n), quarantined=int(k))
        for edge, n, k in zip(edges[:-1], rows, hit, strict=True)
    )


def _micro(column: pa.Array) -> npt.NDArray[np.float64]:
    stamp = column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64())
    micro = stamp.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.asarray(micro, dtype=np.float64)


def _iso(micro: float) -> str:
    """Years outside 1-9999 are what a hostile file holds; they are clipped."""
    seconds = float(np.clip(micro / 1e6, -62_135_596_800, 253_402_300_799))
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=int(seconds))
    # Not strftime: its %Y has no leading zeros on some systems.
    return f"{moment.replace(tzinfo=None).isoformat()}Z"


def _map(
    batch: Batch, baseline: Baseline | None, marked: npt.NDArray[np.bool_], seed: int
) -> tuple[MapPoint, ...]:
    """A seeded sample of rows on the first two principal components; quarantined rows first."""
    rng = np.random.default_rng(seed)
    bad, good = np.flatnonzero(marked), np.flatnonzero(~marked)
    bad = np.sort(rng.permutation(bad)[: POINTS // 2])
    rows = np.sort(np.r_[bad, rng.permutation(good)[: POINTS - len(bad)]])
    features = [c for c in batch.roles.features if c in batch.schema.names]
    if len(rows) < 3 or not features:
        return ()
    table = take_rows(batch, features, rows)
    source = baseline.sample if baseline is not None else table
    if baseline is not None and not all(_same_kind(batch, baseline, c) for c in features):
        return ()
    encoder = Encoder.fit(source, features)
    fitted = np.clip(encoder.transform(source), -5, 5)
    if not encoder.columns or len(fitted) < 3:
        return ()
    where = _project(np.clip(encoder.transform(table), -5, 5), fitted)
    return tuple(
        MapPoint(x=round(float(x), 3), y=round(float(y), 3), quarantined=bool(marked[row]))
        for (x, y), row in zip(where, rows, strict=True)
    )


def _project(points: Matrix, fitted: Matrix) -> npt.NDArray[np.float64]:
    """First two principal components of `fitted`, applied to `points`: float64[n, 2]."""
    centre = fitted.mean(axis=0, dtype=np.float64)
    covariance = np.cov(fitted.T.astype(np.float64))
    _, vectors = np.linalg.eigh(np.atleast_2d(covariance))
    axes = vectors[:, ::-1][:, :2]
    projected = (points - centre) @ axes
    if projected.shape[1] < 2:
        projected = np.c_[projected, np.zeros(len(projected))]
    return np.asarray(projected, dtype=np.float64)


def user_ids(batch: Batch, rows: Rows) -> list[str]:
    """The user's own id of each named row (ascending), "" without an id role."""
    column = batch.roles.first("id")
    if column is None or not len(rows):
        return [""] * len(rows)
    values: Sequence[str | None] = as_text(
        take_rows(batch, [column], rows).column(0).combine_chunks()
    ).to_pylist()
    return ["" if v is None else v[:CELL] for v in values]
