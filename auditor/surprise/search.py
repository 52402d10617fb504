"""The search itself: single items, pairs, triples; then one conjunction a cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from auditor.surprise.claims import (
    LEAST,
    SLACK,
    Conjunction,
    Floats,
    Item,
    Layout,
    Mined,
    Side,
    negative_binomial_tails,
    with_any,
)
from auditor.surprise.clumps import CLUMP_ROWS, ORDINARY, Cell, Clumps, Senders
from auditor.surprise.rates import Rates
from auditor.surprise.triples import triples

#: Pairs that are extended to triples, and pairs that are kept.
BEAM: Final = 150
KEPT: Final = 1_500
#: Uncorrected tail above which an item or pair is not kept; above DULL it is an ordinary one.
KEEP: Final = 1e-2
DULL: Final = 0.1
#: A trusted pair this unlikely under independence (corrected) is a clump.
CLUMP_LEVEL: Final = 0.01
#: Natural clumps this rare need no look at who sent the rows.
NEVER: Final = 1e-8
#: Conjunctions that rows are ranked by, the most surprising ones.
RANKED: Final = 600
#: Causes that are reported at most, and the corrected p-value they need.
CAUSES: Final = 25
CLAIM: Final = 0.05
#: The uncorrected tail only breaks ties: its -log10 counts this much, up to FAR.
TIE, FAR = 0.02, 25.0


def mine(batch: Side, trusted: Sequence[Side], layout: Layout) -> tuple[Mined, ...]:
    """All surprising conjunctions of one to three items, for each weighting of trusted rows.

    The new rows are counted once for all weightings.
    """
    searches = [Search(side, batch, layout) for side in trusted]
    for slot in range(len(layout.slots)):
        new = with_any(layout.count(batch, slot, None))[:, 0]
        for search in searches:
            search.single(slot, new)
    for i, j in layout.pairs():
        new = with_any(layout.count(batch, i, j))
        for search in searches:
            search.pair(i, j, new)
    return tuple(search.finish() for search in searches)


class Search:
    """One weighting of trusted rows: what it finds, pair by pair."""

    def __init__(self, trusted: Side, batch: Side, layout: Layout) -> None:
        """Nothing found yet."""
        self.batch, self.layout = batch, layout
        self.rates = Rates(trusted, batch, layout)
        self.single_tests, self.pair_tests, self.triple_tests = layout.tests
        self.singles: list[Conjunction] = []
        self.pairs: list[Conjunction] = []
        self.ordinary: list[tuple[tuple[Item, ...], int | None]] = []
        self.cells: list[Cell] = []
        #: Ordinary cells that are kept of a pair of slots.
        self.sampled = 3 + ORDINARY // max(1, sum(1 for _ in layout.pairs()))

    def single(self, slot: int, new: Floats) -> None:
        """Look at the items of one slot: `new` float64[width, labels + 1]."""
        own = self.rates.count(slot, None)[:, 0]
        mean, shape = self.rates.add_slot(own)
        tails = negative_binomial_tails(new, mean, shape)
        hot = np.argwhere((new >= LEAST) & (tails < KEEP))
        self.singles += [
            self._hit(((slot, a),), y, new[a, y], own[a, y], mean[a, y], tails[a, y])
            for a, y in hot.tolist()
            if a > 0
        ]

    def pair(self, i: int, j: int, new: Floats) -> None:
        """Look at the pairs of items of two slots: `new` float64[width, width, labels + 1]."""
        own = self.rates.count(i, j)
        expected, spread = self.rates.add_pair(i, j, own)
        self._keep_clumps(i, j, own, expected, spread)
        more = new > SLACK * own * (self.rates.new / self.rates.own)
        a, b, y = _real((new >= LEAST) & more)
        if not len(a):
            return
        observed, known = new[a, b, y], own[a, b, y]
        mean, shape = self.rates.predict(known, expected[a, b, y], spread[a, b, y], y)
        tails = negative_binomial_tails(observed, mean, shape)
        dull = np.flatnonzero(tails > DULL)
        for h in dull[:: max(1, len(dull) // self.sampled)].tolist():
            items = ((i, int(a[h])), (j, int(b[h])))
            self.ordinary.append((items, self._label(int(y[h]))))
        for h in np.flatnonzero(tails < KEEP).tolist():
            items = ((i, int(a[h])), (j, int(b[h])))
            self.pairs.append(self._hit(items, int(y[h]), observed[h], known[h], mean[h], tails[h]))
        if len(self.pairs) > 4 * KEPT:
            self.pairs = sorted(self.pairs, key=lambda hit: hit.tail)[:KEPT]

    def _keep_clumps(self, i: int, j: int, own: Floats, expected: Floats, spread: Floats) -> None:
        """Trusted cells (of one label each) that independence does not explain."""
        rates, labels = self.rates, self.layout.labels
        count = own[..., :labels] / rates.clump
        mean = (expected * rates.own / rates.clump)[..., :labels]
        a, b, y = _real((count >= CLUMP_ROWS) & (count > 2.0 * mean))
        if not len(a):
            return
        tails = negative_binomial_tails(count[a, b, y], mean[a, b, y], 1.0 / spread[a, b, y])
        for h in np.flatnonzero(tails * self.pair_tests < CLUMP_LEVEL).tolist():
            self.cells.append((float(tails[h]), ((i, int(a[h])), (j, int(b[h]))), int(y[h])))

    def finish(self) -> Mined:
        """Extend the best pairs, correct all tails, and name each cause once."""
        clumps = Clumps.of(self.cells, self.rates.trusted)
        senders = Senders.of(self.ordinary, self.batch)
        best = sorted(self.pairs, key=lambda hit: hit.tail)[:KEPT]
        found = [(hit, self.single_tests) for hit in self.singles]
        found += [(hit, self.pair_tests) for hit in best]
        more = sorted(triples(best[:BEAM], self.batch, self.rates), key=lambda hit: hit.tail)
        found += [(hit, self.triple_tests) for hit in more[:KEPT]]
        claims = [self._claim(hit, tests, clumps, senders) for hit, tests in found]
        claims.sort(key=lambda hit: (hit.p_value, hit.tail, hit.items))
        return Mined(_causes(claims, self.batch), _scores(claims, self.batch))

    def _claim(self, hit: Conjunction, tests: int, clumps: Clumps, senders: Senders) -> Conjunction:
        """With its p-value: unlikely by chance, and unlikely to be a natural clump either."""
        chance = hit.tail * tests
        if chance >= 1.0:
            return hit
        known, ratio = hit.trusted / self.rates.clump, self._ratio(hit)
        natural = clumps.missed(hit.observed, known, ratio)
        if natural > NEVER and chance < CLAIM:  # else the answer is known without
            few = senders.chance(hit)
            if few is not None:
                natural = clumps.as_rare(hit.observed, known, ratio, few)
        return replace(hit, p_value=min(1.0, chance + natural))

    def _ratio(self, hit: Conjunction) -> float:
        """New rows for each trusted one of a clump like this, were there one.

        As many as its label has, or as the place of its rows has if that is more: what drift makes
        more frequent it does to natural clumps too. The harmonic mean of density ratios at new
        rows is the ratio of both densities over all of them.
        """
        new, own = self.rates.new, self.rates.own
        label = self.layout.labels if hit.label is None else hit.label
        if self.batch.ratios is None:
            return float(new[label] / own[label])
        place = self.batch.ratios[self.batch.holding(hit.items, hit.label)]
        return float(max(new[label] / own[label], new[-1] / own[-1] / np.mean(1.0 / place)))

    def _hit(
        self, items: tuple[Item, ...], label: int, observed: float, known: float, mean: float,
        tail: float,
    ) -> Conjunction:  # fmt: skip
        return Conjunction(
            items=items,
            label=self._label(label),
            observed=int(observed),
            expected=float(mean / SLACK),
            trusted=float(known),
            tail=float(tail),
        )

    def _label(self, code: int) -> int | None:
        return None if code == self.layout.labels else code


def _real(hot: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of true cells, without those of "none of these" (code 0) on either side."""
    a, b, y = np.nonzero(hot)
    real = (a > 0) & (b > 0)
    return a[real], b[real], y[real]


def _scores(claims: Sequence[Conjunction], batch: Side) -> Floats:
    """Each row's worst conjunction, on a scale of -log10 of its p-value: float64[n]."""
    scores = np.zeros(batch.rows)
    for hit in claims[:RANKED]:
        close = min(-np.log10(max(hit.tail, 1e-300)), FAR)
        worth = TIE * close - np.log10(max(hit.p_value, 1e-300))
        rows = batch.holding(hit.items, hit.label)
        scores[rows] = np.maximum(scores[rows], worth)
    return scores


def _causes(claims: Sequence[Conjunction], batch: Side) -> tuple[Conjunction, ...]:
    """One conjunction a cause: rows that a better one names do not count again."""
    free = np.ones(batch.rows, dtype=bool)
    kept: list[Conjunction] = []
    for hit in claims:
        if hit.p_value > CLAIM or len(kept) >= CAUSES:
            break
        rows = batch.where(hit.items, hit.label)
        if int(np.sum(rows & free)) >= max(LEAST, 0.5 * hit.observed):
            free &= ~rows
            kept.append(hit)
    return tuple(kept)
