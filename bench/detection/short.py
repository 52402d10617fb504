"""The short form: two small sets, three attacks, one seed, and the lines that must hold.

The same rows and seed each time: a change of these numbers is a change of the rules. The lines
leave room for other versions of NumPy and scikit-learn, not for a rule that went blind. It says
nothing about how often clean batches are stopped: that takes many of them (`--clean`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

Record = Mapping[str, Any]

SETS: Final = ("breast_cancer", "digits")
SEED: Final = 2
#: For each attack at 5 %, means over the sets: recall at 1 % false positives, at least; share of
#: poison rows set aside, at least; share of honest rows set aside, at most.
LINES: Final[Mapping[str, tuple[float, float, float]]] = {
    "random-flip": (0.9, 0.9, 0.03),
    "near-copy": (0.9, 0.85, 0.03),
    "backdoor": (0.95, 0.95, 0.03),
}
#: The settings of the command that the short form fixes; the others stay as given.
SHORT: Final[Mapping[str, Any]] = {
    "folder": "",
    "sets": SETS,
    "seeds": 1,
    "first_seed": SEED,
    "rates": (0.05,),
    "counts": (),
    "conditions": ("different",),
    "attacks": tuple(LINES),
    "no_baseline": False,
    "clean": 1,
}


def fallen(records: Sequence[Record]) -> list[str]:
    """What does not hold, one line each; nothing if all is well."""
    found = [
        f"{r['set']}: clean batch {r['verdict']}, {r['honest_quarantined']} rows set aside"
        for r in records
        if r["attack"] == "clean" and r["verdict"] != "ACCEPT"
    ]
    found += [f"{r['set']}, {r['attack']}: {why}" for r in records for why in r.get("failed", ())]
    for attack, (recall, poison, honest) in LINES.items():
        mine = [r for r in records if r["attack"] == attack and "unavailable" not in r]
        if {r["set"] for r in mine} != set(SETS):
            found.append(f"{attack}: not measured on all of {', '.join(SETS)}")
            continue
        found += _below(f"{attack}: recall", [r["recall"] for r in mine], recall)
        aside = [r["poison_quarantined"] / r["poison"] for r in mine]
        found += _below(f"{attack}: poison rows set aside", aside, poison)
        lost = float(np.mean([r["honest_quarantined"] / r["honest"] for r in mine]))
        if lost > honest:
            found.append(
                f"{attack}: honest rows set aside {lost:.1%}, over the line of {honest:.1%}"
            )
    return found


def _below(what: str, values: Sequence[float], line: float) -> list[str]:
    """NaN is below every line."""
    mean = float(np.mean(values))
    return [] if mean >= line else [f"{what} {mean:.2f}, under the line of {line:.2f}"]
