"""The sample weights of a run: whether the loss is known, and which rows count nothing. Shell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from auditor.config import Settings
from auditor.model import Mode, Outcome
from auditor.readers import Ingest, Source
from auditor.run import Decided, Run
from auditor.sample_weight import without_field
from auditor.trimmed_loss import Weights, released, unknown, weigh


def unmet(run: Run, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """Why the batch must be held: weights are asked for, and no loss is known to take them from.

    An audit with rules of its own choice (`--profile quick`) is asked for less.
    """
    chosen = run.job.mode == Mode.AUDIT and run.job.detectors is not None
    if chosen or not run.job.settings.outputs.sample_weight:
        return ()
    reason = unknown(outcomes, _calibrated(run))
    return (reason,) if reason else ()


def weights_of(run: Run, decided: Decided) -> Weights | None:
    """The weights of the rows of a batch that is published; None where nobody asks for them.

    Raises:
        ValueError: no loss is known; such a batch is held.
    """
    share, batch = run.job.settings.outputs.sample_weight, decided.screened.ingest.batch
    if not share or batch is None:
        return None
    if run.job.release is not None:
        return released(batch.rows, share)
    aside = np.zeros(batch.rows, dtype=bool)
    aside[decided.rows.rows] = True
    found = weigh(decided.screened.outcomes, _calibrated(run), share, aside)
    if found is None:
        raise ValueError("rows without a known loss cannot be weighed")
    return found


def _calibrated(run: Run) -> frozenset[str]:
    """Rules that hold the batch against trusted rows."""
    baseline = run.trusted.baseline
    kept = baseline.thresholds if baseline is not None else {}
    return frozenset(rule for rule, stored in kept.items() if stored)


def as_supplied(ingested: Ingest, sources: Sequence[Source], settings: Settings) -> Ingest:
    """What was read; of files that all were published here, without the column that the gate added.

    From anywhere else the column is refused by its name.
    """
    batch, published = ingested.batch, settings.outputs.publish_to.resolve()
    ours = all(source.path.resolve().is_relative_to(published) for source in sources)
    if batch is None or not sources or not ours:
        return ingested
    return replace(ingested, batch=replace(batch, schema=without_field(batch.schema)))
