"""Marks findings as suppressed, as far as they are about what people excused. Pure.

A finding about rows is split: what is excused stays in the report and is noted, the rest counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditor.lifecycle.suppressions import Suppression
from auditor.model import Finding, Outcome

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Excused:
    """An entry in force, and the rows of the batch it is about: bool[rows].

    `whole`: it is about the batch as such, so that it also excuses findings that name no row. For a
    column `rows` is None: it excuses findings about that column, whatever rows they name.
    """

    entry: Suppression
    rows: Mask | None
    whole: bool = False

    def part_of(self, finding: Finding) -> Mask | bool:
        """What of a finding it excuses: bool[lines of its rows], or all or nothing of it."""
        if finding.rule != self.entry.rule:
            return False
        if self.rows is None:
            named = finding.evidence.get("column") or finding.evidence.get("columns")
            return named == self.entry.value
        if finding.rows is None or self.whole:
            return self.whole
        found: Mask = self.rows[finding.rows.column("row").to_numpy()]
        return found


def suppressed(outcomes: Sequence[Outcome], excused: Sequence[Excused]) -> tuple[Outcome, ...]:
    """The same outcomes; what is excused is marked so, and the policy only notes it."""
    return tuple(_outcome(outcome, excused) for outcome in outcomes)


def _outcome(outcome: Outcome, excused: Sequence[Excused]) -> Outcome:
    findings: Sequence[Finding] = outcome.findings
    for one in excused:
        if one.entry.rule == outcome.rule:
            findings = [part for finding in findings for part in _parts(finding, one)]
    return replace(outcome, findings=tuple(findings))


def _parts(finding: Finding, one: Excused) -> Iterator[Finding]:
    if "suppressed" in finding.evidence:
        yield finding
        return
    part = one.part_of(finding)
    marked = replace(finding, evidence={**finding.evidence, "suppressed": one.entry.words})
    if isinstance(part, bool) or finding.rows is None:
        yield marked if np.all(part) else finding
        return
    for piece, mask in ((marked, part), (finding, ~part)):
        if mask.any():
            yield replace(piece, rows=finding.rows.filter(pa.array(mask)))
