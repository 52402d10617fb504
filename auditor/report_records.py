"""The records of a report: plain values only, so that `report.json` is a direct image of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from auditor.model import Scalar
from auditor.sample_weight import SampleWeight


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """One input file as it was received. `sha256` is lowercase hex, `size` is in bytes."""

    name: str
    sha256: str
    size: int
    rows: int
    format: str
    notes: tuple[str, ...] = ()
    refused: str | None = None  # the code, where this file was set aside


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleRecord:
    """Which columns play a role, and why we think so."""

    role: str
    columns: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRecord:
    """What became of one rule in this run."""

    id: str
    title: str
    family: str
    status: str  # ran | skipped | failed
    reason: str
    effect: str
    required: bool
    findings: int
    seconds: float
    attacks: tuple[str, ...] = ()  # names from ATTACKS that the rule is built to see
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A few rows of a finding for a person to judge. `values` holds hostile text as it came."""

    row: int
    file: str
    file_row: int
    id: str
    suspicion: float
    values: Mapping[str, Scalar]
    neighbours: tuple[Mapping[str, Scalar], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingRecord:
    """A finding as decided: `effect` is what the policy made of it, `reason` why."""

    id: str
    rule: str
    title: str
    family: str
    severity: str
    effect: str
    reason: str
    message: str
    p_value: float | None
    rows: int | None
    evidence: Mapping[str, Scalar]
    samples: tuple[Sample, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContributorRecord:
    """One bar of the plot "suspicion by contributor"."""

    contributor: str
    rows: int
    quarantined: int
    mean_suspicion: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareRecord:
    """Share of a label in the batch and in the baseline (None without one); fractions of 1."""

    label: str
    batch: float
    baseline: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRecord:
    """Population stability index of one column against the baseline (natural logarithm)."""

    column: str
    psi: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MapPoint:
    """One row on the 2-D map (first two principal components of the encoded features)."""

    x: float
    y: float
    quarantined: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRecord:
    """Rows and quarantined rows in one interval of the timestamp role."""

    start: str
    rows: int
    quarantined: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerRecord:
    """From how many poison rows on an attack was caught when the baseline was built.

    `rows` is None where no number that was tried sufficed. `caught` of `trials` with that number
    (else with the last one tried), `low` to `high` their 95 % interval. `reason`: why the attack
    could not be planted.
    """

    attack: str
    family: str
    rows: int | None
    caught: int
    trials: int
    low: float
    high: float
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryRecord:
    """Rows (or a column) that were planted in a shadow copy, and how many of them were named.

    `low` to `high`: 95 % interval of the recall; rows of one canary share their fate, so it is
    too narrow. `sure`: rules that work cannot overlook it. `seeds`: with how many it was planted;
    `missed`: it was sure, and no seed showed it. `reason`: why nothing was planted.
    """

    family: str
    canary: str
    planted: int
    found: int
    low: float
    high: float
    sure: bool
    seeds: int
    missed: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlRecord:
    """The newest trusted rows against the older ones: what is set aside is a false alarm.

    `low` to `high`: 95 % interval of its share. `families`: those whose rules judged.
    `reason`: why there is no control.
    """

    part: str = ""
    rows: int = 0
    set_aside: int = 0
    low: float = 0.0
    high: float = 1.0
    families: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfMeasurement:
    """What the audit found out about itself. `said`: in one sentence, or why it was not measured.

    `rows`: of a shadow copy. `seconds`: of processor time, a `share` of the audit's.
    """

    said: str = "not measured."
    canaries: tuple[CanaryRecord, ...] = ()
    control: ControlRecord = ControlRecord()
    rows: int = 0
    seconds: float = 0.0
    share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SuppressionRecord:
    """Findings of a rule that people said are no attack, within a scope, up to a time.

    `signers`: releasers who signed it, none where an audit read it from a file. `expired`: it has
    ended and excuses nothing. `findings`, `rows`: what it excused in this run.
    """

    rule: str
    scope: str
    value: str
    reason: str
    approver: str
    expires: str
    signers: tuple[str, ...]
    expired: bool
    findings: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Charts:
    """Bounded aggregates behind the plots; empty tuples where the role or baseline is missing."""

    contributors: tuple[ContributorRecord, ...] = ()
    labels: tuple[ShareRecord, ...] = ()
    drift: tuple[DriftRecord, ...] = ()
    time: tuple[TimeRecord, ...] = ()
    map: tuple[MapPoint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything a run found and decided; `report.json` is its image, other formats are views.

    Times are UTC `YYYY-MM-DDTHH:MM:SSZ`; digests lowercase hex sha256; counts are integers.
    `power` and `false_alarms` are sentences: what was measured, or that nothing was.
    """

    schema_version: int
    run: str
    auditor: str
    created_at: str
    mode: str
    verdict: str
    reasons: tuple[str, ...]
    next_steps: tuple[str, ...]
    batch_name: str
    batch_digest: str
    batch_kind: str
    files: tuple[FileRecord, ...]
    columns: tuple[tuple[str, str], ...]  # (name, arrow type)
    roles: tuple[RoleRecord, ...]
    rows_in: int
    rows_published: int
    rows_quarantined: int
    set_digest: str | None
    published_digest: str | None
    rules: tuple[RuleRecord, ...]
    findings: tuple[FindingRecord, ...]
    power: str
    false_alarms: str
    not_covered: tuple[str, ...]  # attack names from ATTACKS that no rule looked for
    provenance: Mapping[str, Scalar]
    baseline: Mapping[str, Scalar] | None
    charts: Charts
    reproduce: Mapping[str, Scalar]  # digests, seed, versions, sandbox
    settings: Mapping[str, object]  # every setting in force, defaults included
    seconds: float
    not_judged: tuple[str, ...] = ()  # looked for, but without a baseline nothing could be judged
    power_by_attack: tuple[PowerRecord, ...] = ()  # what stands behind `power`; empty where unknown
    self_measurement: SelfMeasurement = SelfMeasurement()
    suppressions: tuple[SuppressionRecord, ...] = ()  # all that were listed, also those that ended
    sample_weight: SampleWeight | None = None  # of the published files, where they carry weights
