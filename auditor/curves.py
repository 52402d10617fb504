"""What many planted attacks came to: one line a trial, and for each attack a curve of rates."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from auditor.statistics import wilson

#: The name of trials in which nothing was planted.
CLEAN: Final = "clean"
ACCEPTED: Final = "ACCEPT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One trial: what was wanted, and what the gate made of it.

    `rows`: poison rows that were asked for (0: a clean batch), `poison` those that were planted.
    `recall`: share of them ranked above 99 % of the honest rows, None where nothing was planted.
    `unavailable`: why the attack could not be planted. `failed`: rules that broke; such a trial
    says nothing about what they see. `seconds`: processor time of the audit.
    """

    attack: str
    rows: int
    seed: int
    verdict: str = ""
    poison: int = 0
    honest: int = 0
    poison_aside: int = 0
    honest_aside: int = 0
    recall: float | None = None
    unavailable: str = ""
    failed: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def counts(self) -> bool:
        """Whether it says something: planted, and no rule broke."""
        return not self.unavailable and not self.failed

    @property
    def stopped(self) -> bool:
        """Any verdict but ACCEPT."""
        return self.counts and self.verdict != ACCEPTED

    @property
    def caught(self) -> bool:
        """Stopped, and some of the poison does not reach training. A chance alarm is no catch."""
        return self.stopped and self.poison_aside > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """`hits` of `trials`, with Wilson's 95 % interval."""

    hits: int
    trials: int

    @property
    def value(self) -> float:
        """The observed rate, NaN where there was no trial."""
        return self.hits / self.trials if self.trials else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """From, to; 0 to 1 where there was no trial."""
        return wilson(self.hits, self.trials)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """All trials of one attack with one number of poison rows.

    `poison` and `honest` count rows over all trials. Their intervals take rows as independent,
    which rows of one batch are not: they are at best that narrow. `recall` is the mean.
    """

    rows: int
    stopped: Rate
    poison: Rate
    honest: Rate
    recall: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One attack, by number of poison rows, ascending."""

    attack: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All that was measured.

    `left_out`: attack -> why it could not be planted in these rows. `broken`: what rules said that
    failed. `clean`: batches and rows set aside where nothing was planted.
    """

    clean_batches: Rate
    clean_rows: Rate
    curves: tuple[Curve, ...]
    left_out: Mapping[str, str]
    broken: tuple[str, ...]
    trials: int
    seconds: float


def summary(tried: Sequence[Tried]) -> Summary:
    """Rates over all trials, attacks in the order in which they came."""
    groups: dict[str, dict[int, list[Tried]]] = defaultdict(lambda: defaultdict(list))
    for one in tried:
        if one.counts:
            groups[one.attack][one.rows].append(one)
    clean = [one for one in tried if one.attack == CLEAN and one.counts]
    names = [name for name in dict.fromkeys(one.attack for one in tried) if name != CLEAN]
    return Summary(
        clean_batches=_stopped(clean),
        clean_rows=_rate((one.honest_aside, one.honest) for one in clean),
        curves=tuple(_curve(name, groups[name]) for name in names if name in groups),
        left_out={name: reason for name in names if (reason := _left_out(name, tried))},
        broken=tuple(dict.fromkeys(said for one in tried for said in one.failed)),
        trials=sum(one.counts for one in tried),
        seconds=sum(one.seconds for one in tried),
    )


def _left_out(attack: str, tried: Sequence[Tried]) -> str:
    """Why an attack could not be planted at all; nothing where it could, if only once."""
    reasons = [one.unavailable for one in tried if one.attack == attack]
    return reasons[0] if all(reasons) else ""


def _curve(attack: str, by_rows: Mapping[int, Sequence[Tried]]) -> Curve:
    points = (_point(rows, by_rows[rows]) for rows in sorted(by_rows))
    return Curve(attack=attack, points=tuple(points))


def _point(rows: int, found: Sequence[Tried]) -> Point:
    recalls = [one.recall for one in found if one.recall is not None]
    return Point(
        rows=rows,
        stopped=_stopped(found),
        poison=_rate((one.poison_aside, one.poison) for one in found),
        honest=_rate((one.honest_aside, one.honest) for one in found),
        recall=sum(recalls) / len(recalls) if recalls else None,
    )


def _stopped(found: Sequence[Tried]) -> Rate:
    return Rate(hits=sum(one.stopped for one in found), trials=len(found))


def _rate(pairs: Iterable[tuple[int, int]]) -> Rate:
    counted = list(pairs)
    return Rate(hits=sum(hit for hit, _ in counted), trials=sum(all_ for _, all_ in counted))
