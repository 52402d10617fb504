"""What a rule or a code means, and why a row is suspicious: for people, as plain text."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from auditor.detectors import EVERY
from auditor.errors import ConfigError
from auditor.formats.escape import terminal
from auditor.lifecycle.suppressions import NEVER
from auditor.model import ATTACKS, Effect, Family, Rule
from auditor.provenance.codes import CODES, Code
from auditor.report_records import Report
from auditor.site import all_rules

#: Codes of reading and of the detectors; those of provenance are in `auditor.provenance.codes`.
ROW_CODES: Final[Mapping[str, Code]] = {
    "FILE_FORMAT": Code(
        "The file is not what its name or content says, is cut off, or is encrypted.",
        "Ask the supplier for the file again; set policy.broken_files: set_aside to go on without.",
    ),
    "LIMIT": Code(
        "The file is larger than a limit allows, or took too much memory or time to parse.",
        "If the file is honest, raise the limit that the message names under limits.",
    ),
    "FILE_TYPE": Code(
        "A folder of the batch holds a FIFO, device or socket.",
        "Send plain files only.",
    ),
    "FILE_CHANGED": Code(
        "A file or the listing changed while the batch was read.",
        "Wait until the sender has finished, then audit again.",
    ),
    "COLUMN_MISSING": Code(
        "An expectation is about a column that the batch does not have.",
        "Ask the supplier for the column, or delete the expectation from the suite.",
    ),
    "COLUMN_TYPE": Code(
        "Text stands where the suite expects numbers.",
        "Look at the cells that the finding names; the column was read as text because of them.",
    ),
    "LABEL_MISSING": Code(
        "Rows without a label were not judged by the label rule.",
        "Expect labels in the suite if they must be there.",
    ),
    "LABEL_NEW": Code(
        "Rows carry a label that no trusted row has, perhaps another spelling of one.",
        "Correct the spelling at the source, or add reviewed rows of it to a new baseline.",
    ),
    "LABEL_UNSEEN": Code(
        "Rows carry a label that is too rare to judge.",
        "Review them; add them to a new baseline if they are right.",
    ),
}


def explain_rule(name: str) -> str:
    """A rule by id, or a stable code.

    Raises:
        ConfigError: neither; the nearest name is in the message.
    """
    rules = all_rules()
    codes = {**CODES, **ROW_CODES}
    if name in codes:
        return f"{name}\n\n{codes[name].meaning}\nWhat to do: {codes[name].remedy}\n"
    if name not in rules:
        near = get_close_matches(name, [*rules, *codes], 1)
        hint = f"; did you mean {near[0]}?" if near else "; `auditor rules` lists them"
        raise ConfigError(f"{name}: no such rule or code{hint}")
    return _rule_text(rules[name])


def _rule_text(rule: Rule) -> str:
    lines = [
        f"{rule.id}  {rule.title}",
        f"family {rule.family}, severity {rule.severity}, default effect {rule.effect}",
        "",
    ]
    for detector in EVERY:
        if detector.rule.id == rule.id:
            module = sys.modules[detector.__module__]
            lines += [inspect.cleandoc(module.__doc__ or ""), ""]
    lines += [f"Sees {name}: {ATTACKS[name]}." for name in rule.attacks]
    lines += [f"Reference: {reference}" for reference in rule.references]
    lines.append(_how_to_change(rule))
    return "\n".join(lines) + "\n"


def _how_to_change(rule: Rule) -> str:
    if rule.id == "AUD-P001":
        return "To change what it does: auditor.yaml, manifest.unsigned: note|hold|reject"
    if rule.effect == Effect.HOLD and rule.family == Family.POLICY:
        return "What it does cannot be changed: an audit that broke off is never a clean one."
    strict = rule.family in (Family.INTEGRITY, Family.PROVENANCE)
    effects = "hold|reject" if strict else "note|quarantine|reject|hold"
    change = f"To change what it does: auditor.yaml, policy.effects.{rule.id}: {effects}"
    if rule.family in NEVER:
        return change
    return f"{change}\nTo excuse one batch, contributor or column for a time: auditor suppressions"


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
    table = pq.read_table(
        path, filters=[("file", "=", file), ("row", "=", place)], pre_buffer=False
    )
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
