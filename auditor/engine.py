"""Runs detectors over a batch. Holds one of the two `except Exception` of the project."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from auditor.batch import Batch
from auditor.context import Context, Detector
from auditor.errors import Unavailable
from auditor.model import Outcome

Progress = Callable[[str], None]


def run(
    detectors: Sequence[type[Detector]],
    batch: Batch,
    context: Context,
    progress: Progress | None = None,
) -> Iterator[Outcome]:
    """One outcome for each detector, in order; a detector that raises has failed, never passed."""
    for detector in detectors:
        if progress:
            progress(f"{detector.rule.id} {detector.rule.title}")
        started = time.perf_counter()
        outcome = _scan(detector, batch, context)
        yield _timed(outcome, time.perf_counter() - started)


def _scan(detector: type[Detector], batch: Batch, context: Context) -> Outcome:
    rule = detector.rule.id
    try:
        if batch.rows == 0:
            raise Unavailable("the batch has no rows")
        return detector.load(context).scan(batch)
    except Unavailable as reason:
        return Outcome(rule=rule, skipped=str(reason))
    except ModuleNotFoundError as error:
        text = f"{error.name} is not installed; `pip install 'auditor[audit]'` brings it"
        return Outcome(rule=rule, failed=text)
    except Exception as error:  # noqa: BLE001 - a broken detector must not end the audit as "clean"
        return Outcome(rule=rule, failed=f"{type(error).__name__}: {error}")


def _timed(outcome: Outcome, seconds: float) -> Outcome:
    return Outcome(
        rule=outcome.rule,
        findings=outcome.findings,
        ranking=outcome.ranking,
        skipped=outcome.skipped,
        failed=outcome.failed,
        seconds=seconds,
    )
