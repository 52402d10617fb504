"""The nouns: Rule, Severity, Effect, Finding, Outcome, Verdict.

Plain frozen values without behaviour beyond what keeps them consistent. Rows are columns of an
Arrow table, never one object each; a row is its 0-based position in the batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import pyarrow as pa

Scalar = str | int | float | bool | None

#: Columns of `Finding.rows`: position in the batch and how bad it looks (1 = worst).
ROWS: Final = pa.schema([("row", pa.int64()), ("suspicion", pa.float32())])
#: Columns of `Outcome.ranking`: position in the batch and its tail probability on clean data.
RANKING: Final = pa.schema([("row", pa.int64()), ("tail", pa.float64())])

#: Attacks by their names in the literature -> what is done to the data. A rule names those it is
#: built to see; the report lists the others as not covered.
ATTACKS: Final[Mapping[str, str]] = {
    "label-flip": "labels changed at random",
    "targeted-flip": "labels of one class or subpopulation changed to another class",
    "boundary-flip": "labels changed near the decision boundary",
    "injection": "rows of new or Sybil contributors with the wrong label",
    "exact-copy": "existing rows repeated to raise their weight",
    "conflicting-copy": "existing rows repeated with another label",
    "near-copy": "existing rows repeated with small changes",
    "backdoor": "a rare combination of values paired with the attacker's label",
    "clean-label": "a trigger placed only on rows that already carry the target label",
    "collision": "rows moved close to a target row of another class, labels unchanged",
    "perturbation": "values shifted, scaled or replaced by noise",
    "out-of-range": "values outside what the column can hold",
    "out-of-distribution": "usual values in combinations that do not belong together",
    "concentrated": "a few strong points repeated inside the normal range",
    "regression": "targets pushed to the bounds",
    "bias": "the label rate of a group changed while the totals stay",
    "low-and-slow": "a little poison in each of many batches",
    "reputation-farming": "good rows for many batches, then poison",
    "baseline-poisoning": "poison sent early, to be trusted later",
    "gate-evasion": "a trigger spread over contributors and labels, with cover rows",
    "framing": "rows sent so that honest contributors look guilty",
    "denial": "so much junk that the batch is refused",
    "omission": "rows of a class or group left out",
    "replay": "rows or batches sent a second time",
    "tampering": "files changed, added, removed or renamed after they were declared",
    "forgery": "a batch from someone who may not speak for the source",
    "schema-smuggling": "columns or types that were not agreed",
}


class Severity(StrEnum):
    """How much harm a true finding would mean."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Family(StrEnum):
    """Rules that share one error budget (STATISTICAL), or whose claims are certain (the others)."""

    INTEGRITY = "integrity"
    PROVENANCE = "provenance"
    QUALITY = "quality"
    DUPLICATION = "duplication"
    LABEL = "label"
    FEATURE = "feature"
    TRIGGER = "trigger"
    CONTRIBUTOR = "contributor"
    INFLUENCE = "influence"
    DRIFT = "drift"
    POLICY = "policy"


#: Families whose findings carry a p-value and split the batch's error budget.
STATISTICAL: Final = frozenset(
    {
        Family.DUPLICATION,
        Family.LABEL,
        Family.FEATURE,
        Family.TRIGGER,
        Family.CONTRIBUTOR,
        Family.INFLUENCE,
    }
)


class Effect(StrEnum):
    """What the policy does with a finding of a rule."""

    NOTE = "note"
    QUARANTINE = "quarantine"
    REJECT = "reject"
    HOLD = "hold"


class Verdict(StrEnum):
    """What happens to the batch.

    ACCEPT: every row is published. QUARANTINE: some rows are set aside, the rest is published.
    REJECT: nothing is published; the batch is not what it claims to be, or too much of it is bad.
    HOLD: the audit is incomplete, nothing is published; the same bytes may be audited again.
    """

    ACCEPT = "ACCEPT"
    QUARANTINE = "QUARANTINE"
    REJECT = "REJECT"
    HOLD = "HOLD"


class Mode(StrEnum):
    """How the run was started: `audit` and `gate` as the commands; `observe` blocks nothing."""

    AUDIT = "audit"
    GATE = "gate"
    OBSERVE = "observe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What is looked for.

    `effect` is the default that a policy may override. `needs`: roles without which it cannot run.
    `row_local`: a row scores the same alone
    or in a crowd. `order_free`: the row order of the batch does not matter. Both are meant against
    a baseline. `minimum_rows`: below that the detector says so instead of guessing.
    `needs_earlier`: without an earlier batch it is skipped, so that no baseline makes it required.
    """

    id: str
    family: Family
    title: str
    severity: Severity
    effect: Effect
    attacks: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    row_local: bool = False
    order_free: bool = True
    minimum_rows: int = 0
    needs: tuple[str, ...] = ()
    needs_earlier: bool = False

    def __post_init__(self) -> None:
        """Refuse an attack name that is not in `ATTACKS`, so that coverage cannot be misspelt."""
        unknown = set(self.attacks) - set(ATTACKS)
        if unknown:
            raise ValueError(f"{self.id}: unknown attacks {sorted(unknown)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One claim about a set of rows, or about the whole batch (`rows=None`).

    `p_value` is already corrected for the groups that the rule itself compared; None means the
    claim is certain. `calibrated=False`: no baseline gave the clean rate, so the policy only
    notes it. `rows` has the schema `ROWS`.
    """

    rule: str
    severity: Severity
    message: str
    p_value: float | None = None
    evidence: Mapping[str, Scalar] = field(default_factory=dict)
    rows: pa.Table | None = None
    calibrated: bool = True

    def __post_init__(self) -> None:
        """Refuse row tables of another shape, where the mistake is made."""
        if self.rows is not None and self.rows.schema != ROWS:
            raise ValueError(
                f"{self.rule}: rows must have the schema {ROWS}, not {self.rows.schema}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Numbers about one subject (a contributor) that add up over batches: `values` float[k].

    `name` says what was measured, to the rule that proposed it. `batches`: how many were added.
    """

    subject: str
    name: str
    values: tuple[float, ...]
    batches: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Rows of which a rule wants to know, in later batches, how often they are published.

    `rows` int64: positions; those that are set aside are not counted. `exposure`: among how many
    chances they were counted, in the rule's own unit.
    """

    name: str
    rows: pa.Array
    exposure: float


#: What a rule proposes to remember of a batch. Kept only once the batch is published.
Update = Evidence | Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a detector has to say: ran, skipped (with the reason) or failed (with the error).

    `updates`: what later batches should be judged with; a batch that is rejected or held, and an
    audit that publishes nothing, change nothing.
    """

    rule: str
    findings: tuple[Finding, ...] = ()
    ranking: pa.Table | None = None
    updates: tuple[Update, ...] = ()
    skipped: str | None = None
    failed: str | None = None
    seconds: float = 0.0

    @property
    def status(self) -> str:
        """`ran`, `skipped` or `failed`."""
        return "failed" if self.failed else "skipped" if self.skipped else "ran"


def row_table(rows: Any, suspicion: Any) -> pa.Table:
    """`Finding.rows` from positions (int64[n]) and suspicions (float[n], or one for all)."""
    positions = pa.array(rows, pa.int64())
    if isinstance(suspicion, float):
        suspicion = [suspicion] * len(positions)
    return pa.table([positions, pa.array(suspicion, pa.float32())], schema=ROWS)


def ranking_table(rows: Any, tail: Any) -> pa.Table:
    """`Outcome.ranking` from positions (int64[n]) and tail probabilities (float[n])."""
    return pa.table([pa.array(rows, pa.int64()), pa.array(tail, pa.float64())], schema=RANKING)
