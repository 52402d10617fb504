"""The two rules of reading, and how a refusal becomes a finding."""

from __future__ import annotations

from typing import Final

from auditor.model import Effect, Family, Finding, Rule, Scalar, Severity
from auditor.readers.limits import plain

UNUSABLE: Final = Rule(
    id="AUD-I001",
    family=Family.INTEGRITY,
    title="A file cannot be used",
    severity=Severity.HIGH,
    effect=Effect.REJECT,
)
CHANGED: Final = Rule(
    id="AUD-I002",
    family=Family.INTEGRITY,
    title="The batch changed while it was read",
    severity=Severity.HIGH,
    effect=Effect.HOLD,
)
RULES: Final[tuple[Rule, ...]] = (UNUSABLE, CHANGED)


def unusable(file: str, code: str, message: str, *, left: int | None = None) -> Finding:
    """AUD-I001 for one file; `left` is the number of files that are read without it, if any are."""
    text = f"{plain(file, 200)}: {message}"
    if left is not None:
        text += f"; the file is set aside, the other {left:,} are read"
    evidence: dict[str, Scalar] = {"code": code, "file": file, "set_aside": left is not None}
    return Finding(rule=UNUSABLE.id, severity=UNUSABLE.severity, message=text, evidence=evidence)


def changed(file: str, what: str) -> Finding:
    """AUD-I002: `file` is not what it was when reading began."""
    return Finding(
        rule=CHANGED.id,
        severity=CHANGED.severity,
        message=f"{plain(file, 200)}: {what}; nothing of the batch is used, send it again",
        evidence={"code": "FILE_CHANGED", "file": file},
    )
