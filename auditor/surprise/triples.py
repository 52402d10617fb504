"""Pairs with a third item: what no two of the three items explain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from auditor.surprise.claims import (
    LEAST,
    SLACK,
    Conjunction,
    Floats,
    Ints,
    Mask,
    Side,
    negative_binomial_tails,
)
from auditor.surprise.rates import Rates

#: The third item has to be in this share of the pair's rows.
SHARE: Final = 0.2
#: Uncorrected tail above which a triple is not kept.
KEEP: Final = 1e-3


@dataclass(frozen=True)
class _Third:
    """Candidates for the third item: slot and code int64[k], counts of trusted rows float64[k]."""

    slot: Ints
    code: Ints
    new: Floats
    with_first: Floats
    with_second: Floats
    with_both: Floats


def triples(pairs: Sequence[Conjunction], batch: Side, rates: Rates) -> Iterator[Conjunction]:
    """Every pair extended by each item that is common among its rows."""
    seen: set[tuple[int | None, bytes]] = set()
    for pair in pairs:
        rows = batch.where(pair.items, pair.label)
        key = (pair.label, np.packbits(rows).tobytes())
        if key not in seen:  # the same rows by other names: the first pair speaks for them
            seen.add(key)
            yield from _extend(pair, rows, batch, rates)


def _extend(pair: Conjunction, rows: Mask, batch: Side, rates: Rates) -> Iterator[Conjunction]:
    third = _candidates(pair, rows, batch, rates)
    if not len(third.slot):
        return
    label = rates.layout.labels if pair.label is None else pair.label
    rate, spread = _expected(pair, third, label, rates)
    y = np.full(len(third.slot), label)
    mean, shape = rates.predict(third.with_both, rate, spread, y)
    tails = negative_binomial_tails(third.new, mean, shape)
    for h in np.flatnonzero(tails < KEEP).tolist():
        yield replace(
            pair,
            items=tuple(sorted((*pair.items, (int(third.slot[h]), int(third.code[h]))))),
            observed=int(third.new[h]),
            expected=float(mean[h] / SLACK),
            trusted=float(third.with_both[h]),
            tail=float(tails[h]),
        )


def _candidates(pair: Conjunction, rows: Mask, batch: Side, rates: Rates) -> _Third:
    layout = rates.layout
    start = np.r_[0, np.cumsum(layout.widths)]
    slot = np.repeat(np.arange(len(layout.slots)), layout.widths)
    code = np.arange(start[-1]) - start[slot]

    def counted(side: Side, which: Mask, weights: Floats | None) -> Floats:
        places = (side.codes[:, which] + start[:-1, None]).ravel()
        heavy = None if weights is None else np.tile(weights[which], len(layout.slots))
        return np.bincount(places, weights=heavy, minlength=int(start[-1])).astype(float)

    names = np.array([name for name, _ in layout.slots], dtype=object)[slot]
    taken = {layout.slots[s][0] for s, _ in pair.items}
    new = counted(batch, rows, None)
    hot = (new >= max(LEAST, SHARE * pair.observed)) & (code > 0) & ~np.isin(names, list(taken))
    weights = rates.shifted(pair.label)
    first, second = (rates.trusted.where([item], pair.label) for item in pair.items)
    one, two, both = (
        counted(rates.trusted, which, weights)[hot] for which in (first, second, first & second)
    )
    return _Third(slot[hot], code[hot], new[hot], one, two, both)


def _expected(pair: Conjunction, third: _Third, label: int, rates: Rates) -> tuple[Floats, Floats]:
    """The largest rate that any two of the items explain, and its spread: both float64[k].

    Two by two independent, or the third bound to one of the pair only (a chain).
    """
    (i, a), (j, b) = pair.items
    places = list(zip(third.slot.tolist(), third.code.tolist(), strict=True))
    c = np.array([rates.rates[s][code, label] for s, code in places])
    loose = np.array([rates.spreads[s][code, label] for s, code in places])
    ra, rb = rates.rates[i][a, label], rates.rates[j][b, label]
    sa, sb = rates.spreads[i][a, label], rates.spreads[j][b, label]
    ij, il, jl = rates.phi[i, j], rates.phi[i, third.slot], rates.phi[j, third.slot]
    y = np.full(len(c), label)

    def rate_of(known: Floats, rate: Floats, spread: Floats) -> Floats:
        mean, _ = rates.predict(known, rate, spread, y)
        found: Floats = mean / (SLACK * rates.new[label])
        return found

    ab = rate_of(
        np.full(len(c), pair.trusted), np.full(len(c), ra * rb), np.full(len(c), ij + sa + sb)
    )
    ac = rate_of(third.with_first, ra * c, il + sa + loose)
    bc = rate_of(third.with_second, rb * c, jl + sb + loose)
    rate = np.max([ab * c, ac * rb, bc * ra, ab * ac / ra, ab * bc / rb, ac * bc / c], axis=0)
    return rate, ij + il + jl + sa + sb + loose
