"""Files that the signed list of known-bad digests names. A certain claim, readable or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from auditor.model import Effect, Family, Finding, Outcome, Rule, Severity
from auditor.report_records import FileRecord
from auditor.texts.signature_list import SignatureList

KNOWN_FILE: Final = Rule(
    id="AUD-I004",
    family=Family.INTEGRITY,
    title="A known-bad file",
    severity=Severity.CRITICAL,
    effect=Effect.REJECT,
)
RULES: Final = (KNOWN_FILE,)
#: Files that are named; the rest is counted.
NAMED: Final = 20
#: Characters of a file's name in a message.
NAME: Final = 200


def compare(files: Sequence[FileRecord], listed: SignatureList | None) -> Outcome:
    """The rule's outcome; skipped without a list."""
    if listed is None:
        return Outcome(rule=KNOWN_FILE.id, skipped="no signature list")
    known = [file for file in files if file.sha256 in listed.files]
    found = [_finding(file, listed) for file in known[:NAMED]]
    if len(known) > NAMED:
        found.append(_rest(len(known) - NAMED))
    return Outcome(rule=KNOWN_FILE.id, findings=tuple(found))


def _finding(file: FileRecord, listed: SignatureList) -> Finding:
    name = ascii(file.name[:NAME])
    return Finding(
        rule=KNOWN_FILE.id,
        severity=KNOWN_FILE.severity,
        message=f"{name}: its digest is on the list of known-bad files",
        evidence={
            "code": "KNOWN_BAD_FILE",
            "file": file.name,
            "sha256": file.sha256,
            "list": listed.name,
            "version": listed.version,
        },
    )


def _rest(files: int) -> Finding:
    return Finding(
        rule=KNOWN_FILE.id,
        severity=KNOWN_FILE.severity,
        message=f"and {files} more known-bad files",
        evidence={"code": "KNOWN_BAD_FILE", "files": files},
    )
