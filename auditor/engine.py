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


def run(
    detectors: Sequence[type[Detector]],
    batch: Batch,
    context: Context,
    progress: Progress | None = None,
) -> Iterator[Outcome]:
    """One outcome for each detector, in order."""
    for detector in detectors:
        if progress:
            progress(f"{detector.rule.id} {detector.rule.title}")
        started = time.perf_counter()
        outcome = _empty(detector.rule.id, batch) or load(detector, context).scan(batch)
        yield replace(outcome, seconds=time.perf_counter() - started)


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
