"""The short form fails where it should, and for nothing else."""

from __future__ import annotations

import math
from typing import Any

import pytest

from bench.detection.short import LINES, SETS, fallen


def _records() -> list[dict[str, Any]]:
    """Exactly on every line."""
    found = []
    for name in SETS:
        clean = {"set": name, "attack": "clean", "verdict": "ACCEPT", "honest_quarantined": 0}
        found.append({**clean, "failed": []})
        for attack, (recall, poison, honest) in LINES.items():
            found.append(
                {
                    "set": name,
                    "attack": attack,
                    "recall": recall,
                    "poison": 1000,
                    "poison_quarantined": 1000 * poison,
                    "honest": 1000,
                    "honest_quarantined": 1000 * honest,
                    "failed": [],
                }
            )
    return found


def test_on_the_lines_is_not_under_them() -> None:
    assert fallen(_records()) == []


@pytest.mark.parametrize(
    ("attack", "changed", "said"),
    [
        ("clean", {"verdict": "QUARANTINE", "honest_quarantined": 3}, "QUARANTINE, 3 rows"),
        ("backdoor", {"recall": 0.5}, "recall"),
        ("backdoor", {"recall": math.nan}, "recall nan"),
        ("near-copy", {"poison_quarantined": 0}, "poison rows set aside"),
        ("random-flip", {"honest_quarantined": 900}, "honest rows set aside"),
        ("random-flip", {"failed": ["AUD-C001: broke"]}, "AUD-C001: broke"),
        ("backdoor", {"unavailable": "no numbers"}, "not measured on all"),
    ],
)
def test_what_falls_is_said(attack: str, changed: dict[str, Any], said: str) -> None:
    records = _records()
    next(r for r in records if r["attack"] == attack).update(changed)
    (line,) = fallen(records)
    assert said in line


def test_nothing_measured_is_not_well() -> None:
    assert len(fallen([])) == len(LINES)
