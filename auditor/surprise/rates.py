"""How often items are to be expected: rates of items, their spread, predictive counts."""

from __future__ import annotations

from typing import Final

import numpy as np

from auditor.surprise.claims import SLACK, Floats, Ints, Layout, Side

#: Spread of pair ratios that is always allowed for (squared coefficient of variation).
SPREAD: Final = 0.03
#: A value in fewer trusted rows than this share is one of many; their spread is its prior.
RARE: Final = 0.05


class Rates:
    """What trusted rows, under one weighting, say about items; filled slot by slot, then pairwise.

    `own`, `new`: trusted and new rows by label, the last entry for any label. `rates`, `spreads`:
    for each slot float64[width, labels + 1], posterior mean of an item's rate and its squared
    coefficient of variation. `phi` float64[slots, slots]: the same for ratios of pairs.
    """

    def __init__(self, trusted: Side, batch: Side, layout: Layout) -> None:
        """Rows by label; trusted rows of a label are shifted to the batch's share of it."""
        self.trusted, self.layout = trusted, layout
        self.weights = np.ones(trusted.rows) if trusted.weights is None else trusted.weights
        #: Trusted rows that count together in a weighted sum (Kish 1965).
        self.clump = float(np.sum(self.weights**2) / max(np.sum(self.weights), 1e-9))
        own = np.bincount(trusted.labels, weights=self.weights, minlength=layout.labels)
        new = np.bincount(batch.labels, minlength=layout.labels).astype(float)
        total, rows = max(own.sum(), 1.0), max(new.sum(), 1.0)
        self.own = np.maximum(np.r_[own, total], 0.5)
        self.new = np.r_[new, rows]
        self.shift = (new / rows) / np.maximum(own / total, 0.5 / total)
        self.rates: list[Floats] = []
        self.spreads: list[Floats] = []
        self.phi = np.full((len(layout.slots), len(layout.slots)), SPREAD)

    def count(self, i: int, j: int | None) -> Floats:
        """Trusted rows of each cell, any label last: float64[width, width, labels + 1]."""
        table = self.layout.count(self.trusted, i, j, self.weights)
        every = (table * self.shift).sum(-1, keepdims=True)
        return np.concatenate([table, every], axis=-1)

    def add_slot(self, own: Floats) -> tuple[Floats, Floats]:
        """Learn a slot from `own` [width, labels + 1]; mean and shape of its new counts."""
        size = own / self.clump
        shape, rate = self._prior(size)
        shape, rate = size + shape, self.own / self.clump + rate
        self.rates.append(shape / rate)
        self.spreads.append(1.0 / shape)
        return SLACK * self.new * self.rates[-1], shape

    def _prior(self, counts: Floats) -> tuple[Floats, Floats]:
        """Gamma prior (shape, rate) of each item's rate, from how the other items are spread.

        Where a column has many values, one that no trusted row has is expected as seldom as the
        rare ones are; where it has few, half an event (Jeffreys) is all that is known.
        """
        rows = self.own[-1] / self.clump
        every = counts[1:, -1]
        rare = every < RARE * rows
        shape, rate = np.full(counts.shape, 0.5), np.zeros(counts.shape)
        if rare.sum() >= 10 and every[rare].sum() > 0:
            mean = float(every[rare].mean())
            spread = max(float(every[rare].var()) - mean, 0.05 * mean * mean)
            own = float(np.clip(mean * mean / spread, 0.5, 20.0))
            where = np.r_[False, rare]
            shape[where], rate[where] = own, own * rows / mean
        return shape, rate

    def add_pair(self, i: int, j: int, own: Floats) -> tuple[Floats, Floats]:
        """Rate of each pair under independence, and its spread; both shaped as `own`."""
        expected = self.rates[i][:, None, :] * self.rates[j][None]
        mean = expected * (self.own / self.clump)
        phi = _overdispersion(own[1:, 1:] / self.clump, mean[1:, 1:])
        self.phi[i, j] = self.phi[j, i] = phi
        return expected, self.spreads[i][:, None, :] + self.spreads[j][None] + phi

    def predict(
        self, known: Floats, rate: Floats, spread: Floats, label: Ints
    ) -> tuple[Floats, Floats]:
        """Mean and shape of new counts, from trusted counts and the rate they are shrunk to."""
        prior = 1.0 / spread
        shape = prior + known / self.clump
        exposure = prior / np.maximum(rate, 1e-12) + self.own[label] / self.clump
        return SLACK * self.new[label] * shape / exposure, shape

    def shifted(self, label: int | None) -> Floats:
        """Weights of trusted rows for counts within a label, or over any label: float64[n]."""
        if label is not None:
            return self.weights
        heavy: Floats = self.weights * self.shift[self.trusted.labels]
        return heavy


def _overdispersion(count: Floats, mean: Floats) -> float:
    """Squared coefficient of variation of pair ratios in one table, by moments, at least SPREAD."""
    enough = mean >= 0.5
    if np.count_nonzero(enough) < 4:
        return 1.0
    c, e = count[enough], mean[enough]
    return float(max(SPREAD, np.sum((c - e) ** 2 - e) / np.sum(e**2)))
