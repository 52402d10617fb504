"""A batch against itself, where nothing is trusted: some contributors' rows against all others'.

What comes together in the rows of a few contributors and nowhere else is surprising. It may be
poison, or what only these contributors collect: good for an order of suspicion, not for a claim.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from auditor.surprise.claims import Floats, Ints, Layout, Mask, Side
from auditor.surprise.search import mine

#: Parts that contributors fall into by chance. More cost more; with fewer, contributors who attack
#: together hide each other more often.
FOLDS: Final = 8


def left_out(batch: Side, layout: Layout, seed: int) -> Floats:
    """Each row's surprise to the rows of contributors of other parts: float64[n].

    Zero everywhere where fewer than two contributors are known. Rows that nobody is named for
    count as those of one.
    """
    scores = np.zeros(batch.rows)
    if batch.senders is None:
        return scores
    fold = _folds(batch.senders + 1, seed)
    for held in np.unique(fold).tolist():
        inside = fold == held
        if not inside.all():
            (found,) = mine(_part(batch, inside), (_part(batch, ~inside),), layout)
            scores[inside] = found.scores
    return scores


def _folds(contributor: Ints, seed: int) -> Ints:
    """A part for each row: each contributor, in random order, goes where there are fewest rows."""
    rows = np.bincount(contributor)
    fold, sizes = np.zeros(len(rows), dtype=np.int64), np.zeros(FOLDS)
    for at in np.random.default_rng([seed, 8]).permutation(len(rows)).tolist():
        fold[at] = sizes.argmin()
        sizes[fold[at]] += rows[at]
    found: Ints = fold[contributor]
    return found


def _part(batch: Side, rows: Mask) -> Side:
    senders = None if batch.senders is None else batch.senders[rows]
    return Side(batch.codes[:, rows], batch.labels[rows], senders=senders)
