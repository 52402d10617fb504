"""Ours minus the best peer, pair by pair: `python -m bench.detection.paired RECORDS.jsonl`.

A pair is one data set at one seed. The best peer is chosen for each pair with the answer known,
which no user could do: it is the hardest thing to compare with.
"""

from __future__ import annotations

import json
import math
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Record = Mapping[str, Any]
Floats = npt.NDArray[np.float64]

#: "Beats or ties": the lower bound of the difference is at least this.
TIE: Final = -0.02
LEVEL: Final = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """Recall of ours and of each pair's best peer, float64[pairs]; how many pairs had no peer."""

    ours: Floats
    best: Floats
    left_out: int

    @property
    def bound(self) -> float:
        """The lower bound of the mean difference."""
        return lower_bound(self.ours - self.best)

    @property
    def verdict(self) -> str:
        """`yes`, `not shown`, or `unknown` where fewer than two pairs give no bound."""
        if math.isnan(self.bound):
            return "unknown"
        return "yes" if self.bound >= TIE else "not shown"


def paired(records: Sequence[Record]) -> Paired:
    """The pairs of one attack at one size. A failed peer is no peer; without any, no pair."""
    found = [(r["recall"], _best(r)) for r in records]
    kept = [pair for pair in found if not any(map(math.isnan, pair))]
    ours, best = np.array(kept, dtype=np.float64).reshape(-1, 2).T
    return Paired(ours=ours, best=best, left_out=len(found) - len(kept))


def lower_bound(differences: Floats) -> float:
    """One-sided 95 % lower bound of the mean, by Student's t; NaN for fewer than two.

    The pairs of one data set resemble each other. The spread between data sets is in the bound,
    so it is a cautious one for these data sets; it says nothing about others.
    """
    from scipy.special import stdtrit

    count = len(differences)
    if count < 2:
        return math.nan
    error = float(differences.std(ddof=1)) / math.sqrt(count)
    return float(differences.mean() - stdtrit(count - 1, LEVEL) * error)


def print_paired(records: Sequence[Record]) -> None:
    """One line an attack and size, for each condition; nothing where no peer ran."""
    groups: dict[str, dict[tuple[float, str], list[Record]]] = defaultdict(dict)
    for r in records:
        if r.get("peers") and "unavailable" not in r:
            groups[r["condition"]].setdefault((r["size"], r["attack"]), []).append(r)
    for condition, attacks in groups.items():
        print(f"\n## {condition}: ours minus the best peer of each pair, recall at 1 %")
        print(
            f"{'attack':26} {'size':>6} {'pairs':>5} {'no peer':>7} {'ours':>6} {'best':>6} "
            f"{'diff':>6} {'bound':>6}  beats or ties (bound >= {TIE})"
        )
        for (size, attack), found in sorted(attacks.items(), key=lambda item: item[0][0]):
            print(_line(attack, size, paired(found)))


def _line(attack: str, size: float, found: Paired) -> str:
    means = [
        float(values.mean()) if len(values) else math.nan
        for values in (found.ours, found.best, found.ours - found.best)
    ]
    return (
        f"{attack:26} {size:>6g} {len(found.ours):>5} {found.left_out:>7} {means[0]:>6.2f} "
        f"{means[1]:>6.2f} {means[2]:>+6.2f} {found.bound:>+6.2f}  {found.verdict}"
    )


def _best(record: Record) -> float:
    """The best recall among the peers that did not fail; NaN without one."""
    recalls = [peer["recall"] for peer in record["peers"].values()]
    return max((r for r in recalls if not math.isnan(r)), default=math.nan)


def main() -> None:
    """Read the records that `python -m bench.detection --out` wrote, and print the table."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m bench.detection.paired RECORDS.jsonl")
    print_paired([json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()])


if __name__ == "__main__":
    main()
