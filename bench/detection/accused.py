"""Whom the findings name: contributors who sent poison, honest ones, and those who were framed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from auditor.batch import TableBatch
from auditor.drill import quarantined
from auditor.model import Effect
from auditor.policy import Decision, contributors_of, senders_of
from auditor.redteam.planting import Planted

Mask = npt.NDArray[np.bool_]

#: Framing says in its description whose rows it copied, or whose name it used.
_VICTIM: Final = re.compile(r"(?:rows of|under the name) '([^']+)'")


def accused(
    batch: TableBatch, decision: Decision, mask: Mask, planted: Planted | None
) -> dict[str, Any]:
    """Plain values: `senders` of poison (rows, poison rows of each), who is `named` by which rules.

    With framing also `framed`: the victim's honest rows, and how many of them are set aside. A
    victim whose name was used is no sender of poison.
    """
    victim = _victim(planted)
    found: dict[str, Any] = {"senders": _senders(batch, mask, victim), "named": _named(decision)}
    if victim is not None:
        found["framed"] = _framed(batch, decision, mask, victim)
    return found


def _named(decision: Decision) -> dict[str, list[str]]:
    """Contributors whom a finding with an effect names as one, with the rules that do."""
    named: dict[str, set[str]] = {}
    for decided in decision.decided:
        name = decided.finding.evidence.get("contributor")
        if decided.effect != Effect.NOTE and name:
            named.setdefault(str(name), set()).add(decided.finding.rule)
    return {name: sorted(rules) for name, rules in sorted(named.items())}


def _senders(batch: TableBatch, mask: Mask, victim: str | None) -> dict[str, tuple[int, int]]:
    """Rows and poison rows of each contributor who sent poison."""
    codes = contributors_of(batch)
    if codes is None:
        return {}
    names = next(s.names for s in senders_of(batch) if s.role == "contributor")
    rows = np.bincount(codes[codes >= 0], minlength=len(names))
    poison = np.bincount(codes[mask & (codes >= 0)], minlength=len(names))
    return {
        str(names[code]): (int(rows[code]), int(poison[code]))
        for code in np.flatnonzero(poison).tolist()
        if names[code] != victim
    }


def _victim(planted: Planted | None) -> str | None:
    if planted is None or planted.attack != "framing":
        return None
    found = _VICTIM.search(planted.description)
    if found is None:
        raise ValueError(f"nobody is framed in: {planted.description}")
    return found[1]


def _framed(batch: TableBatch, decision: Decision, mask: Mask, victim: str) -> Mapping[str, Any]:
    column = batch.table.column(str(batch.roles.contributor)).to_pylist()
    theirs = np.array([sender == victim for sender in column], dtype=bool) & ~mask
    rules: dict[str, int] = {}
    for finding in decision.having(Effect.QUARANTINE):
        if finding.rows is not None:
            hit = int(theirs[finding.rows.column("row").to_numpy()].sum())
            rules[finding.rule] = rules.get(finding.rule, 0) + hit
    return {
        "victim": victim,
        "rows": int(theirs.sum()),
        "aside": int((theirs & quarantined(decision, batch.rows)).sum()),
        "rules": {rule: hit for rule, hit in sorted(rules.items()) if hit},
    }
