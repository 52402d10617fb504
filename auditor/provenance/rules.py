"""The rules of provenance, and how their findings are worded.

AUD-P001, "nobody vouches": there is no manifest, or one without a signature. The site decides what
that means (`unsigned: note | hold | reject`). AUD-P002, "not what was declared": everything else, a
bad signature included. A forged promise is worse than none, and must not be excused by a setting
that lets unsigned batches in. AUD-P003 and AUD-P004 hold a verified batch against earlier ones of
its source: what contradicts them is refused, what may only have to wait is held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from auditor.model import Effect, Family, Finding, Rule, Scalar, Severity
from auditor.provenance.codes import CODES
from auditor.provenance.refused import Refused, printable

NOBODY_VOUCHES: Final = Rule(
    id="AUD-P001",
    family=Family.PROVENANCE,
    title="No usable signed manifest",
    severity=Severity.HIGH,
    effect=Effect.HOLD,
    attacks=("forgery",),
    references=(
        "https://github.com/in-toto/attestation",
        "https://github.com/secure-systems-lab/dsse",
    ),
)
NOT_AS_DECLARED: Final = Rule(
    id="AUD-P002",
    family=Family.PROVENANCE,
    title="The batch does not match its manifest",
    severity=Severity.CRITICAL,
    effect=Effect.REJECT,
    attacks=("forgery", "tampering", "schema-smuggling"),
    references=("https://github.com/in-toto/attestation", "https://slsa.dev/spec/v1.0/threats"),
)
CONTRADICTION: Final = Rule(
    id="AUD-P003",
    family=Family.PROVENANCE,
    title="The batch contradicts earlier ones of its source",
    severity=Severity.CRITICAL,
    effect=Effect.REJECT,
    attacks=("replay", "forgery"),
    references=("https://theupdateframework.github.io/specification/latest/",),
)
NOT_NOW: Final = Rule(
    id="AUD-P004",
    family=Family.PROVENANCE,
    title="The batch was decided before, or it is not its turn",
    severity=Severity.HIGH,
    effect=Effect.HOLD,
    attacks=("replay", "omission"),
    references=(
        "https://theupdateframework.github.io/specification/latest/",
        "Carlini et al. 2024, Poisoning Web-Scale Training Datasets is Practical",
    ),
)
RULES: Final = (NOBODY_VOUCHES, NOT_AS_DECLARED, CONTRADICTION, NOT_NOW)

#: Codes of the other rules; every other code is AUD-P002.
_RULE_OF: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(("NO_MANIFEST", "UNSIGNED"), NOBODY_VOUCHES),
    **dict.fromkeys(("BATCH_EQUIVOCATION", "SEQUENCE_BACK", "CHAIN"), CONTRADICTION),
    **dict.fromkeys(("REPLAY", "SEQUENCE_GAP", "CLOCK_ROLLBACK", "URI_DIGEST_CHANGED"), NOT_NOW),
}
#: Findings of one code that are listed one by one; the rest is counted. A batch of 10,000 missing
#: files must not become 10,000 paragraphs.
LISTED: Final = 20


@dataclass(frozen=True, slots=True)
class Claim:
    """One mismatch: its code, a sentence, and evidence. Text in it may be hostile."""

    code: str
    message: str
    evidence: Mapping[str, Scalar] = field(default_factory=dict)

    @classmethod
    def of(cls, refused: Refused) -> Claim:
        """The claim that a refusal makes."""
        return cls(refused.code, refused.message)


def findings(claims: Iterable[Claim]) -> tuple[Finding, ...]:
    """Claims as findings, at most `LISTED` of a code and one that counts the rest."""
    seen: dict[str, int] = {}
    found: list[Finding] = []
    for claim in claims:
        seen[claim.code] = seen.get(claim.code, 0) + 1
        if seen[claim.code] <= LISTED:
            found.append(_finding(claim))
    return (*found, *_rest(seen))


def _rest(seen: Mapping[str, int]) -> Iterator[Finding]:
    for code, count in seen.items():
        if count > LISTED:
            more = count - LISTED
            yield _finding(Claim(code, f"The same holds {more} more times.", {"more": more}))


def _finding(claim: Claim) -> Finding:
    rule = _RULE_OF.get(claim.code, NOT_AS_DECLARED)
    shown = {name: _shown(value) for name, value in claim.evidence.items()}
    return Finding(
        rule=rule.id,
        severity=rule.severity,
        message=f"{printable(claim.message, 500)} {CODES[claim.code].remedy}",
        evidence={"code": claim.code, **shown},
    )


def _shown(value: Scalar) -> Scalar:
    return printable(value, 200) if isinstance(value, str) else value
