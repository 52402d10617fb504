"""`auditor redteam`: what this configuration would catch on this data. Shell.

Clean rows of the caller are cut in two by time (or a baseline is given), attacks are planted in
windows of the later part, and the gate is scored. Nothing is published, the input is not changed.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from auditor.config import Settings
from auditor.curves import CLEAN, Summary, Tried, summary
from auditor.errors import ConfigError
from auditor.grounds import ground_of
from auditor.labels.chance import Predictable, predictable
from auditor.trial_file import TrialFile
from auditor.trials import ATTACKS, Ground, Trial, attempt, spread

Progress = Callable[[str], None]

COUNTS: Final = (10, 20, 50, 100, 250)
SEEDS: Final = 2
#: Clean windows that are audited for each seed of the attacks, and at least.
CLEAN_WINDOWS: Final = 20
#: What `--quick` plants, and how many rows.
QUICK: Final = ("random-flip", "backdoor", "clean-label", "sybil", "near-copy", "perturbation")
QUICK_COUNTS: Final = (20, 100)
QUICK_CLEAN: Final = 6
WORKERS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to try. `rates`: shares of a window, besides `counts`; no `attacks`: all."""

    attacks: tuple[str, ...] = ()
    counts: tuple[int, ...] = COUNTS
    rates: tuple[float, ...] = ()
    seeds: int = SEEDS
    clean: int = CLEAN_WINDOWS
    workers: int = WORKERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What came out. `complete`: nothing that was wanted is missing. `label`: can it be told?"""

    name: str
    out: Path
    baseline: str
    trusted_rows: int
    clean_rows: int
    window: int
    skipped_counts: tuple[int, ...]
    complete: bool
    label: Predictable | None
    contributors: bool
    summary: Summary


def measure(
    paths: list[str],
    settings: Settings,
    wanted: Wanted,
    *,
    out: Path | None = None,
    progress: Progress | None = None,
) -> Measured:
    """Try everything that is wanted, or as much as there is time for until Ctrl-C.

    What an earlier call left in `out` is not tried again.

    Raises:
        ConfigError: an unknown attack, or `out` belongs to other data or settings.
        BatchError: the data cannot be read; BaselineError: the baseline cannot be used.
    """
    attacks = _known(wanted.attacks)
    say = progress or (lambda _: None)
    staging = Path(tempfile.mkdtemp(prefix="auditor-redteam-"))
    try:
        ground, pinned = ground_of(paths, settings, staging, say)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    sizes = _sizes(wanted, ground.window)
    fitting = [size for size in sizes if 2 * size <= ground.window]
    folder = out or settings.outputs.runs.parent / "redteam" / pinned[:12]
    file = TrialFile(folder / "trials.jsonl", pinned)
    plan = _plan(attacks, fitting, wanted)
    say("asking whether the label can be predicted at all")
    label = predictable(ground.trusted, ground.roles, ground.context.seed)
    complete = _try_all(ground, plan, file, wanted.workers, say)
    baseline = ground.context.baseline
    return Measured(
        name=settings.name if settings.name != "batch" else Path(paths[0]).name or paths[0],
        out=folder,
        baseline=str(settings.baseline) if settings.baseline else "the earlier rows of the data",
        trusted_rows=baseline.rows if baseline else 0,
        clean_rows=ground.clean.num_rows,
        window=ground.window,
        skipped_counts=tuple(size for size in sizes if size not in fitting),
        complete=complete,
        label=label,
        contributors=ground.roles.contributor is not None,
        summary=summary(_of(plan, file.tried)),
    )


def _sizes(wanted: Wanted, window: int) -> list[int]:
    """Numbers of poison rows, ascending; shares are those of a window."""
    return sorted({*wanted.counts, *(max(1, round(rate * window)) for rate in wanted.rates)})


def _of(plan: Sequence[Trial], tried: Sequence[Tried]) -> list[Tried]:
    """What the plan asked for, in the order in which attacks are listed."""
    asked = {(trial.attack, trial.rows, trial.seed) for trial in plan}
    place = {name: at for at, name in enumerate((CLEAN, *ATTACKS))}
    found = [one for one in tried if (one.attack, one.rows, one.seed) in asked]
    return sorted(found, key=lambda one: (place[one.attack], one.rows, one.seed))


def _known(attacks: Sequence[str]) -> tuple[str, ...]:
    unknown = [name for name in attacks if name not in ATTACKS]
    if unknown:
        raise ConfigError(f"no attack {unknown[0]!r}; there are {', '.join(ATTACKS)}")
    return tuple(dict.fromkeys(attacks)) or tuple(ATTACKS)


def _plan(attacks: Sequence[str], sizes: Sequence[int], wanted: Wanted) -> list[Trial]:
    """Seed by seed, so that after Ctrl-C every attack was tried as often as any other."""
    clean = [Trial(CLEAN, 0, seed) for seed in range(max(wanted.clean, wanted.seeds))]
    planted = [
        Trial(attack, size, seed)
        for seed in range(wanted.seeds)
        for attack in attacks
        for size in sizes
    ]
    return clean + planted


def _try_all(
    ground: Ground, plan: Sequence[Trial], file: TrialFile, workers: int, say: Progress
) -> bool:
    """Try what the file does not hold yet; False where it was interrupted."""
    known = {(one.attack, one.rows, one.seed) for one in file.tried}
    left = [trial for trial in plan if (trial.attack, trial.rows, trial.seed) not in known]
    if len(left) < len(plan):
        say(f"{len(plan) - len(left)} of {len(plan)} trials are there already")
    if not left:
        return True
    say("loading the rules")
    started = time.monotonic()
    try:
        with closing(spread(ground, attempt, left, workers)) as results:
            for done, tried in enumerate(results, 1):
                file.add(tried)
                say(_so_far(tried, done, len(left), time.monotonic() - started))
    except KeyboardInterrupt:
        say("interrupted; what was measured is kept")
        return False
    return True


def _so_far(tried: Tried, done: int, total: int, seconds: float) -> str:
    """Rules are loaded in that time too, so the first guesses are too long."""
    left = seconds / done * (total - done)
    guess = f"about {left / 60:.0f} min left" if left >= 90 else f"about {left:.0f} s left"
    return f"{done} of {total} trials, {guess}: {tried.attack} {tried.rows or ''}".rstrip()
