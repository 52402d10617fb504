"""Which groups of rows stand out, against random groups of the same size.

A statistic of a group is held against the same statistic of random groups. Honest groups are no
random ones: what the middle group has too much is taken off (drift), and the variance between the
groups beyond chance, by its median, widens the null; a minority of bad groups cannot raise it. It
is known only as well as the number of groups tells it, hence Student's t.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from auditor.batch import Batch, distinct, texts
from auditor.errors import Unavailable
from auditor.labels.residuals import spread
from auditor.statistics import permutation_tail

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

#: Fewer groups than this do not say how honest ones differ.
ENOUGH: Final = 8
#: Degrees of freedom that a median of squares keeps of those of a mean (efficiency of the MAD).
KEPT: Final = 0.37
#: Random draws behind a tail.
DRAWS: Final = 499


@dataclass(frozen=True, slots=True)
class Grouped:
    """Rows by the name of their group: `names`, and int64[n] positions in it, -1 for none."""

    names: list[str]
    of: Rows

    @property
    def counts(self) -> Rows:
        """Rows of each group: int64[groups]."""
        return np.bincount(self.of[self.of >= 0], minlength=len(self.names))

    def rows(self, group: int) -> Rows:
        """Positions of the rows of a group."""
        return np.flatnonzero(self.of == group)


def group_by(batch: Batch, column: str, rows: Rows, least: int, cut: int | None = None) -> Grouped:
    """The groups of `rows` with at least `least` rows; the other rows belong to none.

    `cut`: only so many leading characters of the text name a group.

    Raises:
        Unavailable: fewer than `ENOUGH` such groups.
    """
    values = texts(batch, column)
    chosen = [values[i] for i in rows.tolist()]
    return grouped([v if v is None else v[:cut] for v in chosen], least)


def grouped(values: list[str | None], least: int) -> Grouped:
    """The same from the name of each row's group."""
    names, codes = distinct(values)
    of = np.array(codes, dtype=np.int64)
    large = np.flatnonzero(np.bincount(of[of >= 0], minlength=len(names)) >= least)
    if len(large) < ENOUGH:
        raise Unavailable(f"needs at least {ENOUGH} groups of {least} rows, has {len(large)}")
    place = np.full(len(names) + 1, -1, dtype=np.int64)
    place[large] = np.arange(len(large))
    return Grouped([names[i] for i in large.tolist()], place[of])


def positions(names: list[str | None], least: int) -> dict[str, Rows]:
    """Positions of each name's rows, ascending, for names with at least `least` of them."""
    known, codes = distinct(names)
    of = np.array(codes, dtype=np.int64)
    order = np.argsort(of, kind="stable")
    ends = np.searchsorted(of[order], np.arange(len(known) + 1))
    rows = {name: order[ends[i] : ends[i + 1]] for i, name in enumerate(known)}
    return {name: places for name, places in rows.items() if len(places) >= least}


def standing_out(values: Floats, counts: Rows, variances: Floats, null: Floats) -> Floats:
    """P(an honest group's value is as large) for each group: float64[g], not corrected.

    `values`: statistics less what random groups have; `variances`: of random groups of that size,
    float64[g]; `null`: standardised statistics of random groups, float64[draws], or a column for
    each group, float64[draws, g].
    """
    from scipy.special import stdtr

    middle = float(np.median(values / counts))
    rest = values - middle * counts
    between = spread(rest, variances, counts, robust=True)
    width = np.sqrt(variances + between * counts.astype(np.float64) ** 2)
    z = rest / np.maximum(width, 1e-300)
    student = 1.0 - stdtr(KEPT * len(values), z)
    columns = np.broadcast_to(null if null.ndim == 2 else null[:, None], (len(null), len(z)))
    drawn = np.array([permutation_tail(float(z[i]), columns[:, i]) for i in range(len(z))])
    found: Floats = np.maximum(student, drawn)
    return found


def sums_standing_out(scores: Floats, groups: Grouped, seed: int) -> Floats:
    """The same for sums of a score a row, float64[n]: the null are permuted rows."""
    inside = groups.of >= 0
    counts, mean = groups.counts, float(scores[inside].mean())
    centred = scores[inside] - mean
    share = counts / inside.sum()
    variances = np.maximum(float(centred.var()) * counts * (1.0 - share), 1e-300)
    sums = np.bincount(groups.of[inside], centred, len(counts)).astype(np.float64)
    rng = np.random.default_rng(seed)
    null = [
        np.bincount(rng.permutation(groups.of[inside]), weights=centred, minlength=len(counts))
        / np.sqrt(variances)
        for _ in range(DRAWS)
    ]
    # A small group has a heavier tail than a large one: each is held against its own size.
    return standing_out(sums, counts, variances, np.array(null))
