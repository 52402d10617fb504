"""What a rule or a code means, and why a row is suspicious: for people, as plain text."""

from __future__ import annotations

import inspect
import sys
from difflib import get_close_matches
from pathlib import Path

import pyarrow.parquet as pq

from auditor.detectors import DETECTORS
from auditor.errors import ConfigError
from auditor.formats.escape import terminal
from auditor.model import ATTACKS, Report, Rule
from auditor.pipeline import all_rules
from auditor.provenance.codes import CODES


def explain_rule(name: str) -> str:
    """A rule by id, or a stable code.

    Raises:
        ConfigError: neither; the nearest name is in the message.
    """
    rules = all_rules()
    if name in CODES:
        return f"{name}\n\n{CODES[name].meaning}\nWhat to do: {CODES[name].remedy}\n"
    if name not in rules:
        near = get_close_matches(name, [*rules, *CODES], 1)
        hint = f"; did you mean {near[0]}?" if near else "; `auditor rules` lists them"
        raise ConfigError(f"{name}: no such rule or code{hint}")
    return _rule_text(rules[name])


def _rule_text(rule: Rule) -> str:
    lines = [
        f"{rule.id}  {rule.title}",
        f"family {rule.family}, severity {rule.severity}, default effect {rule.effect}",
        "",
    ]
    for detector in DETECTORS:
        if detector.rule.id == rule.id:
            module = sys.modules[detector.__module__]
            lines += [inspect.cleandoc(module.__doc__ or ""), ""]
    lines += [f"Sees {name}: {ATTACKS[name]}." for name in rule.attacks]
    lines += [f"Reference: {reference}" for reference in rule.references]
    lines.append(
        "To change what it does: auditor.yaml, "
        f"policy.effects.{rule.id}: note|quarantine|reject|hold"
    )
    return "\n".join(lines) + "\n"


def explain_row(report: Report, folder: Path, row: int) -> str:
    """Every finding of a run that names a row of the batch (0-based, over all files).

    Raises:
        ConfigError: the batch has no such row, or the run has no findings file.
    """
    if not 0 <= row < report.rows_in:
        raise ConfigError(f"row {row}: the batch has rows 0 to {report.rows_in - 1}")
    file, place = _locate(report, row)
    path = folder / "findings.parquet"
    if not path.is_file():
        raise ConfigError(f"{folder.name}: this run could not read the batch; see its report")
    table = pq.read_table(path, filters=[("file", "=", file), ("row", "=", place)])
    lines = [f"row {row}: {terminal(file)}, row {place} in it"]
    known = {finding.id: finding for finding in report.findings}
    for hit in table.to_pylist():
        finding = known[hit["finding"]]
        lines += [
            "",
            f"{finding.rule} {finding.title} -> {finding.effect} ({terminal(finding.reason)})",
            f"  {terminal(finding.message, 400)}",
            f"  suspicion {hit['suspicion']:.3f}",
        ]
        for sample in finding.samples:
            if sample.row == row:
                lines.append(f"  {terminal(_values(dict(sample.values)), 400)}")
                lines += [
                    f"  nearest trusted: {terminal(_values(dict(near)), 400)}"
                    for near in sample.neighbours
                ]
    if not table.num_rows:
        lines.append("no rule has a finding about it")
    return "\n".join(lines) + "\n"


def _locate(report: Report, row: int) -> tuple[str, int]:
    for file in report.files:
        if row < file.rows:
            return file.name, row
        row -= file.rows
    raise ConfigError("the report's files hold fewer rows than the batch")


def _values(values: dict[str, object]) -> str:
    return "  ".join(f"{name}={value}" for name, value in values.items())
