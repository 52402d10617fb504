"""Which contributors carry other labels than their rows lead to expect.

Every contributor with enough rows is a group of its own. The others, and those that no trusted row
came from, are groups together as well: many small contributors may be one sender.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from auditor.batch import distinct
from auditor.errors import Unavailable
from auditor.labels.model import Classes, Codes, Scores
from auditor.labels.residuals import WRONG_SHARES, Groups, judge_groups, wrong_share
from auditor.statistics import holm

#: Share of the error for the pools of contributors; the rest is for single ones.
POOLS: Final = 0.1
#: Corrected p-value up to which a contributor is named by itself and leaves the pool of new ones.
NAMED: Final = 0.05

Allowances = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Judged:
    """Rows with a label that can be judged: position, class code, softened probabilities.

    `fitted`: rows behind the model.
    """

    classes: Classes
    rows: Codes
    codes: Codes
    chances: Scores
    fitted: int

    def take(self, places: Codes) -> Judged:
        """Some of the rows, in the given order."""
        return Judged(
            self.classes, self.rows[places], self.codes[places], self.chances[places], self.fitted
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """One contributor or pool: its places in `Judged`, p-value, suspected label (-1: any)."""

    name: str
    members: int
    places: Codes
    p_value: float
    target: int


@dataclass(frozen=True, slots=True)
class Expected:
    """What honest contributors do: `spreads`, one a contrast, and who is `known`.

    Without a baseline both are None: the batch alone says how contributors differ, nobody is new.
    """

    spreads: Sequence[float] | None = None
    known: frozenset[str] | None = None


def judge_senders(
    judged: Judged, senders: Sequence[str | None], expected: Expected, *, minimum: int
) -> list[Claim]:
    """Single contributors, corrected by Holm; then the new ones and the small ones, as pools.

    `senders`: who sent each row of `judged`. `minimum`: rows that a single contributor needs.
    """
    order, groups, names = by_sender(senders, judged.codes)
    pairs = list(zip(names, np.split(order, groups.starts[1:]), strict=True))
    claims, allowed = _single(judged, [p for p in pairs if len(p[1]) >= minimum], expected.spreads)
    named = {claim.name for claim in claims if claim.p_value <= NAMED}
    known = frozenset(names) if expected.known is None else expected.known
    pools = {
        "contributors without trusted rows": [
            part for name, part in pairs if name not in known and name not in named
        ],
        "contributors with few rows": [part for _, part in pairs if len(part) < minimum],
    }
    return claims + [
        _pool(judged, name, parts, allowed, POOLS / len(pools))
        for name, parts in pools.items()
        if len(parts) > 1
    ]


def _single(
    judged: Judged, pairs: Sequence[tuple[str, Codes]], spreads: Sequence[float] | None
) -> tuple[list[Claim], Allowances]:
    """Each contributor's claim, and the shift and spread that were allowed a contrast."""
    if not pairs:
        contrasts = len(judged.classes.names) + len(WRONG_SHARES)
        return [], [(0.0, between) for between in spreads or [0.0] * contrasts]
    rows = judged.take(np.concatenate([part for _, part in pairs]))
    groups = Groups.sorted(np.repeat(np.arange(len(pairs)), [len(part) for _, part in pairs]))
    tested = judge_groups(
        rows.chances, rows.codes, groups, fitted=rows.fitted, spreads=spreads or ()
    )
    adjusted = holm([min(1.0, p / (1.0 - POOLS)) for p in tested.p_values.tolist()])
    values = zip(pairs, adjusted, tested.targets.tolist(), strict=True)
    return [Claim(n, 1, part, p, t) for (n, part), p, t in values], tested.allowances


def _pool(
    judged: Judged,
    name: str,
    members: Sequence[Codes],
    allowed: Allowances,
    budget: float,
) -> Claim:
    """Several contributors as one group; `budget` is its share of the error."""
    places = np.concatenate(members)
    rows = judged.take(places)
    tested = judge_groups(
        rows.chances,
        rows.codes,
        Groups.sorted(np.zeros(len(places), dtype=np.int64)),
        fitted=rows.fitted,
        allowances=allowed,
        widths=np.array([float(sum(len(m) ** 2 for m in members))]),
    )
    p = min(1.0, float(tested.p_values[0]) / budget)
    return Claim(name, len(members), places, p, int(tested.targets[0]))


def suspicion(judged: Judged, claim: Claim) -> tuple[float, Scores]:
    """Estimated share of wrong labels among the rows of a claim, and each one's probability."""
    rows = judged.take(claim.places)
    return wrong_share(_ratios(rows, claim.target))


def _ratios(rows: Judged, target: int) -> Scores:
    """P(label | wrong) / P(label | honest) of each row: float64[n]."""
    own = rows.chances[np.arange(len(rows.codes)), rows.codes]
    if target >= 0:
        return np.where(rows.codes == target, 1.0 / own, 0.0)
    ratios: Scores = (1.0 - own) / (rows.chances.shape[1] - 1) / own
    return ratios


def direction(rows: Judged, posterior: Scores) -> tuple[str, str]:
    """The label that the wrong rows carry most, and the one that was expected of those rows."""
    names = rows.classes.names
    carried = int(np.bincount(rows.codes, weights=posterior, minlength=len(names)).argmax())
    mine = rows.codes == carried
    likely = posterior[mine] @ rows.chances[mine]
    likely[carried] = -1.0
    return names[carried], names[int(likely.argmax())]


def by_sender(senders: Sequence[str | None], codes: Codes) -> tuple[Codes, Groups, list[str]]:
    """Places of judged rows by contributor, their groups, and the names of the groups.

    Rows that name no contributor are one group, "(missing)".

    Raises:
        Unavailable: no row has a class code.
    """
    names, numbers = distinct(senders)
    places = np.flatnonzero(codes >= 0)
    number = np.array(numbers, dtype=np.int64)[places]
    order = np.argsort(number, kind="stable")
    if not len(order):
        raise Unavailable("no row has a label that can be judged")
    groups = Groups.sorted(number[order])
    found = number[order][groups.starts].tolist()
    return places[order], groups, ["(missing)" if i < 0 else names[i] for i in found]
