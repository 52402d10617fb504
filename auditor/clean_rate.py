"""How often clean rows raise a false alarm: windows of trusted rows against the other ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.baseline import CONTROL, Baseline, Piece, label_counts
from auditor.baseline_sampling import row_weights
from auditor.batch import Batch, TableBatch
from auditor.context import Context, Detector
from auditor.engine import run
from auditor.model import STATISTICAL, Effect, Outcome, Verdict
from auditor.policy import Policy, decide
from auditor.statistics import wilson

Floats = npt.NDArray[np.float64]

WINDOW_ROWS: Final = 2_000

#: Makes a baseline of some parts, or of rows of a sample; it raises `BaselineError` for too few.
Trust = Callable[[Sequence[Piece]], Baseline]
TrustTable = Callable[[pa.Table], Baseline]


@dataclass(frozen=True, slots=True)
class Trial:
    """Rows that are taken for clean batches, and what they are held against.

    `weights` float64[rows]: trusted rows that each row stands for.
    """

    rows: pa.Table
    weights: Floats
    baseline: Baseline


def trial(whole: Baseline, minimum: int, trust: Trust, trust_table: TrustTable) -> Trial:
    """The controls, else the newest batch, against the rest; of one batch its last third.

    `whole` is the baseline over all parts. A batch of fewer than `minimum` rows, or that would
    leave fewer, is too small for either side.
    """
    control = [piece for piece in whole.pieces if piece.part.role == CONTROL]
    early, late = newest_apart(whole)
    if control or min(_rows(early), _rows(late)) >= minimum:
        return Trial(*pool(late, whole), trust(early))
    sample = whole.sample
    third = 2 * len(sample) // 3
    weights = row_weights(sample, whole.labels, whole.roles)
    return Trial(sample.slice(third), weights[third:], trust_table(sample.slice(0, third)))


def newest_apart(whole: Baseline) -> tuple[list[Piece], list[Piece]]:
    """The parts that are left without the controls, and those; without controls the newest batch's.

    Of a baseline of one batch nothing is left.
    """
    pieces = whole.pieces
    fit = [piece for piece in pieces if piece.part.role != CONTROL]
    if len(fit) < len(pieces):
        return fit, [piece for piece in pieces if piece.part.role == CONTROL]
    newest = max(piece.part.age[:2] for piece in fit)
    late = [piece for piece in fit if piece.part.age[:2] == newest]
    return [piece for piece in fit if piece.part.age[:2] != newest], late


def measure(
    held: Trial, *, windows: int, seed: int, site_key: bytes,
    options: Mapping[str, object], detectors: Sequence[type[Detector]],
) -> dict[str, Any]:  # fmt: skip
    """Verdicts at the default policy over seeded windows of the trial's rows."""
    rng = np.random.default_rng(seed)
    context = Context(seed=seed, site_key=site_key, baseline=held.baseline, settings=options)
    alarms = quarantined = rows = 0
    size = min(WINDOW_ROWS, max(1, len(held.rows) // 2))
    for number in range(windows):
        share = held.weights / held.weights.sum()
        wanted = np.sort(rng.choice(len(held.rows), size, replace=False, p=share))
        table = held.rows.take(pa.array(wanted))
        window = TableBatch(table, held.baseline.roles, f"{number:064d}")
        verdict, aside = _default_verdict(window, context, detectors)
        alarms += verdict != Verdict.ACCEPT
        quarantined += aside
        rows += window.rows
    return clean(windows, alarms, rows, quarantined)


def clean(batches: int, alarms: int, rows: int, quarantined: int) -> dict[str, Any]:
    """What a baseline stores of it, with the Wilson interval of the share of rows."""
    low, high = wilson(quarantined, rows)
    return {
        "batches": batches,
        "batches_not_accepted": alarms,
        "rows": rows,
        "rows_quarantined": quarantined,
        "row_rate_low": low,
        "row_rate_high": high,
    }


def pool(pieces: Sequence[Piece], whole: Baseline) -> tuple[pa.Table, Floats]:
    """The samples of some parts, and the rows that each line of them stands for."""
    samples = [piece.content.sample() for piece in sorted(pieces, key=lambda p: p.part.age)]
    table = pa.concat_tables(samples).select(whole.schema.names).combine_chunks()
    counts = label_counts(piece.part for piece in pieces)
    return table, row_weights(table, counts, whole.roles)


def _rows(pieces: Sequence[Piece]) -> int:
    return sum(piece.part.rows for piece in pieces)


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
