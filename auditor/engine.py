"""Runs detectors over a batch. Holds one of the two `except Exception` of the project."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from auditor.batch import Batch
from auditor.context import Context, Detector
from auditor.errors import Unavailable
from auditor.model import Outcome

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A detector ready to scan batches, or the outcome that stands for it where it is not."""

    rule: str
    detector: Detector | None
    instead: Outcome | None = None

    def scan(self, batch: Batch) -> Outcome:
        """What it has to say; one that raises has failed, never passed."""
        if self.instead is not None or self.detector is None:
            return self.instead or Outcome(rule=self.rule, failed="was not loaded")
        detector = self.detector
        return _guarded(self.rule, lambda: _scan(detector, batch))


def load(detector: type[Detector], context: Context) -> Loaded:
    """Load one detector; where it cannot be loaded, the reason stands in its place."""
    rule = detector.rule.id
    loaded: list[Detector] = []

    def attempt() -> Outcome:
        loaded.append(detector.load(context))
        return Outcome(rule=rule)

    instead = _guarded(rule, attempt)
    return Loaded(rule, loaded[0]) if loaded else Loaded(rule, None, instead)


@dataclass(frozen=True, slots=True)
class Judged:
    """A rule's outcome on a batch, the rule as it was loaded, and what both took.

    `loading` and `scanning`: seconds of processor time.
    """

    loaded: Loaded
    outcome: Outcome
    loading: float = 0.0
    scanning: float = 0.0


def judge(
    detectors: Sequence[type[Detector]],
    batch: Batch,
    context: Context,
    progress: Progress | None = None,
) -> Iterator[Judged]:
    """What each detector says, in order, and the detector, ready for another batch."""
    for detector in detectors:
        if progress:
            progress(f"{detector.rule.id} {detector.rule.title}")
        yield _judged(detector, batch, context)


def run(
    detectors: Sequence[type[Detector]],
    batch: Batch,
    context: Context,
    progress: Progress | None = None,
) -> Iterator[Outcome]:
    """One outcome for each detector, in order."""
    return (judged.outcome for judged in judge(detectors, batch, context, progress))


def _judged(detector: type[Detector], batch: Batch, context: Context) -> Judged:
    started, began = time.perf_counter(), time.process_time()
    empty = _empty(detector.rule.id, batch)
    loaded = Loaded(detector.rule.id, None, empty) if empty else load(detector, context)
    ready = time.process_time()
    outcome = replace(loaded.scan(batch), seconds=time.perf_counter() - started)
    return Judged(loaded, outcome, ready - began, time.process_time() - ready)


def _scan(detector: Detector, batch: Batch) -> Outcome:
    return _empty(detector.rule.id, batch) or detector.scan(batch)


def _empty(rule: str, batch: Batch) -> Outcome | None:
    return Outcome(rule=rule, skipped="the batch has no rows") if batch.rows == 0 else None


def _guarded(rule: str, act: Callable[[], Outcome]) -> Outcome:
    try:
        return act()
    except Unavailable as reason:
        return Outcome(rule=rule, skipped=str(reason))
    except ModuleNotFoundError as error:
        text = f"{error.name} is not installed; `pip install 'auditor[audit]'` brings it"
        return Outcome(rule=rule, failed=text)
    except Exception as error:  # noqa: BLE001 - a broken detector must not end the audit as "clean"
        return Outcome(rule=rule, failed=f"{type(error).__name__}: {error}")
