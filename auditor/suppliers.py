"""Who supplied the rows of a claim: the contributors without whom nothing is surprising. Pure.

A claim about a group of rows names honest ones too: those that were copied, or that hold the same
values by nature. Whoever can put rows beside them could have them set aside. So it is asked which
contributors the claim needs. Where the rest is surprising without them too, it is everybody's, and
about all rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from auditor.statistics import binomial_tail

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Rows less likely than this are surprising. The claim as a whole stands by then.
SURPRISING: Final = 0.05
#: Contributors that are left out at most, one by one.
MOST: Final = 32


def standing_out(senders: Codes, every: Codes, tails: Callable[[Floats, Floats], Floats]) -> Mask:
    """The rows of contributors whose own rows are surprising: bool[n].

    All rows if there is no such contributor, or if the rest is surprising too.

    `senders` int64[n] and `every` int64[rows]: who sent the rows of the group, and all rows of the
    batch, -1 where nobody says. `tails`: how unlikely these counts of rows are by chance from
    contributors who send these shares of the batch, both float64[k].
    """
    names, place, count = np.unique(senders, return_inverse=True, return_counts=True)
    share = np.bincount(every + 1, minlength=1)[names + 1] / len(every)
    own = tails(count.astype(np.float64), share)
    found = (own * len(names) <= SURPRISING) & (names >= 0)
    rest = np.array([count[~found].sum()], dtype=np.float64)
    if not found.any() or tails(rest, 1.0 - share[found].sum(keepdims=True))[0] <= SURPRISING:
        return np.ones(len(senders), dtype=bool)
    taken: Mask = found[place]
    return taken


def supplied(senders: Codes, part: Codes, every: Codes, tail: Callable[[Mask], float]) -> Mask:
    """The rows of contributors who repeat themselves, most first, until the rest is usual: bool[n].

    All rows if the rest is not, without `MOST` of them: it takes too many, or contributors who do
    not repeat themselves and cannot be told apart. So it is where those who were left out send much
    the same share of the group as of the batch.

    `senders` int64[n] and `every` int64[rows]: who sent the rows of the group, and all rows of the
    batch, -1 where nobody says. `part` int64[n], >= 0: parts of the group in which a sender who is
    there twice repeats itself. `tail`: how unlikely the rows of a mask bool[n] are by chance.
    """
    rest = np.ones(len(senders), dtype=bool)
    for sender in _by_repeats(senders, part)[:MOST]:
        rest &= senders != sender
        if tail(rest) > SURPRISING:
            break
    else:
        return np.ones(len(senders), dtype=bool)
    usual = float(np.isin(every, senders[~rest]).mean())
    if binomial_tail(int(np.sum(~rest)), len(rest), usual) > SURPRISING:
        return np.ones(len(senders), dtype=bool)
    return ~rest


def _by_repeats(senders: Codes, part: Codes) -> list[int]:
    """Senders with more rows than parts of the group, most repeats first."""
    known = senders >= 0
    if not known.any():
        return []
    places = np.unique(np.stack([senders[known], part[known]]), axis=1)[0]
    count = int(senders.max()) + 1
    repeats = np.bincount(senders[known], minlength=count) - np.bincount(places, minlength=count)
    order = np.argsort(-repeats, kind="stable")
    found: list[int] = order[repeats[order] > 0].tolist()
    return found
