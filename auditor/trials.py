"""Many drills on one ground: attacks planted in windows of clean rows, audited one by one.

One code path for `auditor redteam` and for the power that a baseline stores.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from types import MappingProxyType
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.batch import Roles, TableBatch
from auditor.context import Context, Detector
from auditor.curves import CLEAN, Tried
from auditor.drill import Gate, Mask
from auditor.engine import load
from auditor.errors import Unavailable
from auditor.policy import RULES as POLICY_RULES
from auditor.policy import Policy
from auditor.redteam import OMISSIONS, VARIANTS, Attack

Given = TypeVar("Given")
Found = TypeVar("Found")

#: Rows of a window at most: the cost of a trial has a bound whatever the data.
MOST_ROWS: Final = 5_000
#: What an attack may stumble over in rows that nobody thought of: said, and the others go on.
BROKEN: Final = (ValueError, TypeError, LookupError, ArithmeticError, NotImplementedError)
#: Every attack on one table by name, those that leave rows out last.
ATTACKS: Final[Mapping[str, Attack]] = MappingProxyType({**VARIANTS, **OMISSIONS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where attacks are planted, and what judges them; plain values, so that processes share it.

    `clean`: rows in order of time that windows of `window` rows are drawn from, all alike or by
    `weights` float64[rows]. `trusted`: what an attacker may know besides. `context` holds the
    baseline.
    """

    clean: pa.Table
    trusted: pa.Table
    roles: Roles
    window: int
    detectors: tuple[type[Detector], ...]
    context: Context
    policy: Policy
    weights: npt.NDArray[np.float64] | None = None

    def gate(self) -> Gate:
        """The rules, loaded. Takes seconds: once for each process."""
        rules = {rule.id: rule for rule in (*(d.rule for d in self.detectors), *POLICY_RULES)}
        loaded = tuple(load(detector, self.context) for detector in self.detectors)
        return Gate(loaded, rules, self.policy)


@dataclass(frozen=True, slots=True)
class Trial:
    """One attack (or `curves.CLEAN`) with `rows` poison rows in the window of `seed`."""

    attack: str
    rows: int
    seed: int


def window_of(rows: int, share: float = 0.5) -> int:
    """How many of `rows` clean rows a window has: a share, so that windows differ; bounded."""
    return min(MOST_ROWS, max(1, int(share * rows)))


def window(ground: Ground, seed: int) -> pa.Table:
    """The clean rows of a seed, in order of time."""
    rng = np.random.default_rng([seed, 41])
    wanted = min(ground.window, ground.clean.num_rows)
    share = None if ground.weights is None else ground.weights / ground.weights.sum()
    chosen = np.sort(rng.choice(ground.clean.num_rows, wanted, replace=False, p=share))
    return ground.clean.take(pa.array(chosen))


def attempt(ground: Ground, gate: Gate, trial: Trial) -> Tried:
    """Plant, audit, compare."""
    table = window(ground, trial.seed)
    mask: Mask = np.zeros(table.num_rows, dtype=bool)
    if trial.attack != CLEAN:
        try:
            planted = ATTACKS[trial.attack](
                table, ground.roles, rows=trial.rows, seed=trial.seed, trusted=ground.trusted
            )
        except Unavailable as reason:
            return _left_out(trial, str(reason))
        except BROKEN as error:
            return _left_out(trial, f"broke on these rows: {type(error).__name__}: {error}")
        table, mask = planted.table, planted.mask.to_numpy(zero_copy_only=False)
        if trial.attack in VARIANTS and not mask.any():
            return _left_out(trial, "no row of these could be made poison")
    return _scored(gate, TableBatch(table, ground.roles), mask, trial)


def _left_out(trial: Trial, reason: str) -> Tried:
    return Tried(attack=trial.attack, rows=trial.rows, seed=trial.seed, unavailable=reason)


def _scored(gate: Gate, batch: TableBatch, mask: Mask, trial: Trial) -> Tried:
    started = time.process_time()
    score = gate.score(batch, mask)
    return Tried(
        attack=trial.attack,
        rows=trial.rows,
        seed=trial.seed,
        verdict=score.verdict.value,
        poison=score.poison,
        honest=score.honest,
        poison_aside=score.poison_quarantined,
        honest_aside=score.honest_quarantined,
        recall=None if math.isnan(score.recall) else score.recall,
        failed=score.failed,
        seconds=time.process_time() - started,
    )


Work = Callable[[Ground, Gate, Given], Found]


def spread(
    ground: Ground, work: Work[Given, Found], given: Sequence[Given], workers: int = 1
) -> Generator[Found, None, None]:
    """`work(ground, gate, one)` for each of `given`, in order, over `workers` processes.

    `work` is a function of a module. With one worker everything happens in this process. Closing
    the iterator drops what has not begun.
    """
    if workers <= 1 or len(given) <= 1:
        gate = ground.gate()
        yield from (work(ground, gate, one) for one in given)
        return
    # Started afresh: a forked child would share locks of threads that it does not have.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _prepare, (ground,))
    try:
        yield from pool.map(_work, [work] * len(given), given)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_prepared: list[tuple[Ground, Gate]] = []


def _prepare(ground: Ground) -> None:
    """In a worker: one thread each, Ctrl-C is for the parent to act on, rules loaded once."""
    import signal

    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pa.set_cpu_count(1)
    threadpool_limits(limits=1)
    _prepared.append((ground, ground.gate()))


def _work(work: Work[Any, Found], given: Any) -> Found:
    ground, gate = _prepared[0]
    return work(ground, gate, given)
