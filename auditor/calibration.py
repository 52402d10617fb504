"""Builds a Baseline from trusted rows, or from its parts, and measures its clean rate.

The same parts under the same settings give the same baseline, in whatever order they were added and
whatever was dropped in between.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from auditor import power
from auditor.baseline import FIT, Baseline, Edges, Frame, Piece, frozen_edges, key_id
from auditor.baseline_content import from_parquet, to_parquet
from auditor.baseline_files import as_stored, read, write
from auditor.baseline_parts import Origin, cut, fitting
from auditor.baseline_sampling import draw, merged
from auditor.batch import Batch, Roles, TableBatch, reserved
from auditor.clean_rate import Trial, clean, measure, trial
from auditor.context import Context, Detector
from auditor.copies import take_rows
from auditor.detectors import DETECTORS
from auditor.errors import BaselineError, Unavailable
from auditor.features import is_category
from auditor.model import STATISTICAL
from auditor.policy import Policy
from auditor.trials import Ground, window_of

__all__ = ["Plan", "build", "extended", "read", "reduced", "write"]

Progress = Callable[[str], None]

SAMPLE_ROWS: Final = 20_000
RESAMPLES: Final = 6
#: Distinct values up to which a column without a role is one of categories.
FEW: Final = 50
#: Fewer trusted rows than this give no threshold worth the name.
MINIMUM_ROWS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to build: the name of the trusted rows, the site key, bounds and detector options.

    `detectors`: those that the settings have not switched off. `origin`: where the rows come from,
    if more is known than their name. `power`: trials to measure power with, 0 for none; a baseline
    that grows or shrinks has as many as before. `workers`: processes for them.
    """

    name: str
    site_key: bytes
    now: dt.datetime
    options: Mapping[str, object]
    sample_rows: int = SAMPLE_ROWS
    resamples: int = RESAMPLES
    detectors: tuple[type[Detector], ...] = DETECTORS
    origin: Origin | None = None
    power: int = 0
    workers: int = 1

    @property
    def seed(self) -> int:
        """Fixed for a site and a name, unknown outside."""
        framed = hashlib.blake2b(self.name.encode(), key=self.site_key[:64], digest_size=4)
        return int.from_bytes(framed.digest(), "little")

    @property
    def source(self) -> Origin:
        """The origin, or that of files: a name and a time."""
        return self.origin or Origin(name=self.name, added_at=utc_text(self.now))


def utc_text(at: dt.datetime) -> str:
    """A time as parts have it."""
    return at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def build(batch: Batch, plan: Plan, progress: Progress | None = None) -> Baseline:
    """A baseline over trusted rows, with calibrated thresholds and its measured clean rate.

    Raises:
        BaselineError: too few rows, or no column that a rule could use.
    """
    say = progress or _silent
    _refuse_few(batch.rows)
    say(f"counting {batch.rows} trusted rows")
    return _finished(*_first(batch, plan, plan.seed), plan, say)


def extended(
    baseline: Baseline, batch: Batch, plan: Plan, progress: Progress | None = None
) -> Baseline:
    """The baseline with the parts of one more batch, whose roles are those of the baseline.

    Raises:
        BaselineError: the batch does not fit in, or a part of that name is there.
    """
    say = progress or _silent
    fitting(batch, baseline.schema)
    say(f"counting {batch.rows} trusted rows")
    drawn = draw(batch, baseline.seed, plan.sample_rows)
    new = cut(batch, drawn, baseline.frame, plan.source, plan.site_key)
    plan = replace(plan, power=plan.power or power.asked(baseline))
    return _finished(baseline.frame, (*baseline.pieces, *new), plan, say)


def reduced(
    baseline: Baseline, pieces: Sequence[Piece], plan: Plan, progress: Progress | None = None
) -> Baseline:
    """The baseline over these parts of it.

    Raises:
        BaselineError: what is left is too little.
    """
    plan = replace(plan, power=plan.power or power.asked(baseline))
    return _finished(baseline.frame, tuple(pieces), plan, progress or _silent)


def _finished(frame: Frame, pieces: Sequence[Piece], plan: Plan, say: Progress) -> Baseline:
    """Thresholds, clean rate and power, from the parts as they are stored and nothing else."""
    _refuse_few(sum(piece.part.rows for piece in pieces if piece.part.role == FIT))
    whole = _assemble(frame, pieces, plan, say)
    if plan.resamples < 1 and plan.power < 1:
        return as_stored(replace(whole, clean=clean(0, 0, 0, 0)))
    say("measuring false alarms on clean batches")
    held = _held(whole, plan)
    rate = measure(
        held,
        windows=plan.resamples,
        seed=whole.seed,
        site_key=plan.site_key,
        options=plan.options,
        detectors=plan.detectors,
    )
    return as_stored(replace(whole, clean=rate, power=_power(held, whole.seed, plan, say)))


def _power(held: Trial, seed: int, plan: Plan, say: Progress) -> dict[str, Any]:
    """From how many rows on attacks are caught, on the same rows as the false alarms."""
    if plan.power < 1:
        return {}
    baseline = held.baseline
    ground = Ground(
        clean=held.rows,
        trusted=baseline.sample,
        roles=baseline.roles,
        window=window_of(len(held.rows)),
        detectors=tuple(d for d in plan.detectors if d.rule.family in STATISTICAL),
        context=Context(
            seed=seed, site_key=plan.site_key, baseline=baseline, settings=plan.options
        ),
        policy=Policy(),
        weights=held.weights,
    )
    return power.measure(ground, plan.power, workers=plan.workers, progress=say)


def _held(whole: Baseline, plan: Plan) -> Trial:
    def trust(pieces: Sequence[Piece]) -> Baseline:
        return _assemble(whole.frame, pieces, plan, _silent)

    def trust_table(table: pa.Table) -> Baseline:
        return _assemble(*_first(TableBatch(table, whole.roles), plan, whole.seed), plan, _silent)

    return trial(whole, MINIMUM_ROWS, trust, trust_table)


def _first(batch: Batch, plan: Plan, seed: int) -> tuple[Frame, tuple[Piece, ...]]:
    """The frame that the first batch fixes, and its parts."""
    if refused := reserved(batch.schema):
        raise BaselineError(refused)
    drawn = draw(batch, seed, plan.sample_rows)
    sample = take_rows(batch, batch.schema.names, drawn.chosen[drawn.main])
    empty = batch.schema.empty_table()
    frame = Frame(
        key_id=key_id(plan.site_key),
        seed=seed,
        roles=batch.roles,
        # Parquet keeps some types as others: parts that come later are compared with those.
        schema=from_parquet("schema", to_parquet(empty)).schema,
        edges=_edges(sample, batch.roles),
    )
    return frame, cut(batch, drawn, frame, plan.source, plan.site_key)


def _assemble(frame: Frame, pieces: Sequence[Piece], plan: Plan, say: Progress) -> Baseline:
    """The sum of the parts, with thresholds."""
    ordered = sorted(pieces, key=lambda piece: piece.part.age)
    names = [piece.part.name for piece in ordered]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BaselineError(f"the baseline has a part {twice[:80]!r} already")
    fit = [piece for piece in ordered if piece.part.role == FIT]
    sample = merged(fit, frame, plan.sample_rows)
    return Baseline(
        digest="",
        created_at=max(piece.part.added_at for piece in ordered),
        key_id=frame.key_id,
        seed=frame.seed,
        roles=frame.roles,
        schema=frame.schema,
        parts=tuple(piece.part for piece in ordered),
        sample=sample,
        keys=pa.concat_tables([piece.content.keys for piece in ordered]),
        edges=frame.edges,
        thresholds=_calibrated(sample, frame, plan, say),
        switched_off=_switched_off(plan),
        contents=tuple(piece.content for piece in ordered),
    )


def _calibrated(
    sample: pa.Table, frame: Frame, plan: Plan, say: Progress
) -> dict[str, Mapping[str, Any]]:
    thresholds = {}
    for detector in plan.detectors:
        calibrate = getattr(detector, "calibrate", None)
        if calibrate is None:
            continue
        say(f"calibrating {detector.rule.id}")
        options = plan.options.get(detector.rule.id) or detector.options()
        try:
            thresholds[detector.rule.id] = calibrate(sample, frame.roles, options, frame.seed)
        except Unavailable as reason:
            say(f"{detector.rule.id} is left out: {reason}")
    return thresholds


def _silent(_: str) -> None:
    """Progress that nobody wants to hear."""


def _refuse_few(rows: int) -> None:
    if rows < MINIMUM_ROWS:
        raise BaselineError(f"{rows} trusted rows are too few; give at least {MINIMUM_ROWS}")


def _switched_off(plan: Plan) -> tuple[str, ...]:
    """Rules that could have been calibrated, were they not switched off."""
    off = [d for d in DETECTORS if d not in plan.detectors and hasattr(d, "calibrate")]
    return tuple(d.rule.id for d in off)


def _edges(sample: pa.Table, roles: Roles) -> Edges:
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
