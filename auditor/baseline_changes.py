"""What changed between two baselines, as plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from auditor.agreed_columns import kind
from auditor.baseline import Baseline, bin_counts
from auditor.statistics import stability_index

#: A threshold that moved by less than this share of itself has not changed for a reader.
MOVED: Final = 0.01


@dataclass(frozen=True, slots=True)
class ColumnChange:
    """A column of either baseline: its types (None where it is not there), and its PSI.

    `psi`: population stability index of the new sample over the old bins; None where the column is
    not compared.
    """

    column: str
    change: str  # added | removed | retyped | same
    old_type: str | None
    new_type: str | None
    psi: float | None


@dataclass(frozen=True, slots=True)
class LabelChange:
    """Share of the trusted rows with a label, a fraction of 1; None where no row has it."""

    label: str
    old: float | None
    new: float | None


@dataclass(frozen=True, slots=True)
class RoleChange:
    """The columns of a role, where they are not the same ones in the same order."""

    role: str
    old: tuple[str, ...]
    new: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ThresholdChange:
    """The stored numbers of one rule: how many there are, how many moved, and the largest move.

    `largest` is a fraction of the old value, `where` the place of that number. Both are None where
    only one of the baselines has thresholds of the rule.
    """

    rule: str
    change: str  # added | removed | changed
    numbers: int
    moved: int
    largest: float | None = None
    where: str | None = None


@dataclass(frozen=True, slots=True)
class RateChange:
    """A number that was measured on clean batches at the build."""

    name: str
    old: float | None
    new: float | None


@dataclass(frozen=True, slots=True)
class PartChange:
    """A part that only one of them has, or that has another number of rows; 0 where it is not."""

    part: str
    change: str  # added | removed | changed
    old: int
    new: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Everything; `columns` lists all of them, the others only what differs."""

    old_digest: str
    new_digest: str
    old_rows: int
    new_rows: int
    columns: tuple[ColumnChange, ...]
    labels: tuple[LabelChange, ...]
    roles: tuple[RoleChange, ...]
    thresholds: tuple[ThresholdChange, ...]
    clean: tuple[RateChange, ...]
    parts: tuple[PartChange, ...] = ()


def changes(old: Baseline, new: Baseline) -> Changes:
    """From `old` to `new`. Equal baselines have equal digests; the rest is then unchanged."""
    return Changes(
        old_digest=old.digest,
        new_digest=new.digest,
        old_rows=old.rows,
        new_rows=new.rows,
        columns=tuple(_columns(old, new)),
        labels=tuple(_labels(old, new)),
        roles=tuple(_roles(old, new)),
        thresholds=tuple(_thresholds(old.thresholds, new.thresholds)),
        clean=tuple(_clean(old.clean, new.clean)),
        parts=tuple(_parts(old, new)),
    )


def _columns(old: Baseline, new: Baseline) -> Iterator[ColumnChange]:
    for name in dict.fromkeys((*old.schema.names, *new.schema.names)):
        was, now = (
            b.schema.field(name).type if name in b.schema.names else None for b in (old, new)
        )
        if was is None or now is None:
            change = "added" if was is None else "removed"
        else:
            change = "same" if kind(was) == kind(now) else "retyped"
        psi = _psi(old, new, name) if change == "same" else None
        types = [None if type_ is None else str(type_) for type_ in (was, now)]
        yield ColumnChange(name, change, types[0], types[1], psi)


def _parts(old: Baseline, new: Baseline) -> Iterator[PartChange]:
    was, now = ({part.name: part.rows for part in side.parts} for side in (old, new))
    for name in dict.fromkeys((*was, *now)):
        if name not in was or name not in now:
            change = "added" if name in now else "removed"
        elif was[name] != now[name]:
            change = "changed"
        else:
            continue
        yield PartChange(name, change, was.get(name, 0), now.get(name, 0))


def _psi(old: Baseline, new: Baseline, name: str) -> float | None:
    """Samples on both sides: they are drawn by the same rule, the whole histograms are not kept."""
    if name not in old.edges or name not in new.edges:
        return None
    counts = [
        bin_counts(b.sample.column(name).combine_chunks(), old.edges[name]).astype(np.float64)
        for b in (new, old)
    ]
    return round(stability_index(counts[0], counts[1]), 4)


def _labels(old: Baseline, new: Baseline) -> Iterator[LabelChange]:
    for name in sorted({*old.labels, *new.labels}):
        was, now = (b.labels[name] / b.rows if name in b.labels else None for b in (old, new))
        if was != now:
            yield LabelChange(name, was, now)


def _roles(old: Baseline, new: Baseline) -> Iterator[RoleChange]:
    for role in sorted({*old.roles.assigned, *new.roles.assigned}):
        if old.roles.columns(role) != new.roles.columns(role):
            yield RoleChange(role, old.roles.columns(role), new.roles.columns(role))


def _thresholds(
    old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]
) -> Iterator[ThresholdChange]:
    for rule in sorted({*old, *new}):
        was, now = (dict(_numbers(side.get(rule, {}))) for side in (old, new))
        if rule not in old or rule not in new:
            count = len(was) + len(now)
            yield ThresholdChange(rule, "added" if rule in new else "removed", count, count)
        elif changed := _moves(was, now):
            where = max(changed, key=lambda place: changed[place])
            yield ThresholdChange(
                rule, "changed", len({*was, *now}), len(changed), changed[where], where
            )


def _moves(was: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    """Place -> move as a fraction of the old number; 1 for a number that came, went or left 0."""
    moves = {}
    for place in {*was, *now}:
        if place not in was or place not in now:
            moves[place] = 1.0
            continue
        size = abs(was[place])
        step = abs(now[place] - was[place])
        moves[place] = round(step / size if size else float(step > 0), 4)
    return {place: moves[place] for place in sorted(moves) if moves[place] > MOVED}


def _numbers(value: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a nested value, by its place, such as `references.0.quantiles.3`."""
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int | float):
        yield place, float(value)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _numbers(inner, f"{place}.{name}".lstrip("."))
    elif isinstance(value, list | tuple):
        for at, inner in enumerate(value):
            yield from _numbers(inner, f"{place}.{at}".lstrip("."))


def _clean(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[RateChange]:
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield RateChange(name, old.get(name), new.get(name))
