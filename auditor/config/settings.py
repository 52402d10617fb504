"""Every setting, its type, its safe default and what it is for.

The descriptions are read by people: `json_schema()` hands them to editors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from auditor.config.fields import (
    Columns,
    Command,
    Count,
    Digest,
    Function,
    InPath,
    Keys,
    LogName,
    OutPath,
    PostgresUrl,
    Role,
    Share,
    Size,
    Source,
    Variable,
    Variables,
)
from auditor.policy import Policy
from auditor.readers import Limits

# The rules are defined where they are applied; the settings only name them.
_POLICY: Final = Policy()
_LIMITS: Final = Limits()

EffectName = Literal["note", "quarantine", "reject", "hold"]
#: The families of `auditor.power.STAND_INS`.
PowerFamily = Literal["trigger", "label", "contributor", "duplication", "feature"]


class Section(BaseModel):
    """Strict: no unknown setting, no silent conversion, no later change."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        validate_default=True,
        use_attribute_docstrings=True,
    )


class ManifestSettings(Section):
    """Who may vouch for a batch."""

    keys: dict[str, Keys] = Field(default_factory=dict)
    """Source -> public keys that may sign its manifests: paths of .pub files, or hex. Not beside a
    trust policy, which names them itself."""
    threshold: Count = 1
    """How many of a source's keys must have signed."""
    source: Source | None = None
    """The only source whose batches this gate takes. A manifest of another one is refused, whoever
    signed it. None: any source that `keys` names."""
    unsigned: Literal["note", "hold", "reject"] = "hold"
    """What becomes of a batch without a usable signed manifest. note: published without the level
    AUDITOR_PROVENANCE_VERIFIED. `audit` notes it in any case. Of this and the trust policy's own
    `unsigned` the stricter holds."""
    sequence: Literal["strict", "monotonic"] = "strict"
    """How the numbers of a source's batches rise, where no trust policy says it. strict: by one,
    and each manifest names the one before. monotonic: they rise."""
    mutable: bool = False
    """Whether addresses that a batch was collected from may give other bytes than before, where no
    trust policy says it."""
    path: OutPath | None = None
    """The manifest, where it is not beside the batch as <batch>.manifest.dsse.json."""


class TrustSettings(Section):
    """The signed trust policy: whose keys count for what. It takes the place of `manifest.keys`."""

    policy: InPath | None = None
    """The newest version, made by `auditor trust`, with the older ones beside it. One that is not
    signed as its predecessor demands, or has expired, ends the command."""
    sha256: Digest | None = None
    """The digest of version 1, or of any later version, as its owners announced it. From there
    every version is walked to; nothing is trusted because it was seen first."""


class SignatureSettings(Section):
    """What is known to be bad, and who may say so."""

    path: InPath | None = None
    """A signed list of known-bad tokens, domains and file digests, made by `auditor signatures
    create` and `sign`. A list that `keys` did not sign, or that has expired, ends the command."""
    keys: Keys | None = None
    """Public keys that may sign the list: paths of .pub files, or hex."""
    threshold: Count = 1
    """How many of the keys must have signed."""


class DetectorSettings(BaseModel):
    """One rule: whether it runs, and its own options."""

    model_config = ConfigDict(
        extra="allow", frozen=True, strict=True, use_attribute_docstrings=True
    )

    enabled: bool = True
    """Whether this rule runs."""

    @property
    def options(self) -> dict[str, Any]:
        """What is set besides `enabled`, as written."""
        return dict(self.model_extra or {})


class PolicyLimits(Section):
    """Shares of 1 above which more than single rows is set aside."""

    contributor_share: Share = _POLICY.contributor_share
    """A contributor with a larger share of suspicious rows is set aside whole."""
    source_share: Share = _POLICY.source_share
    """A source with a larger share of suspicious rows is set aside whole."""
    batch_share: Share = _POLICY.batch_share
    """A batch with a larger share of rows to set aside is REJECTed. Senders that are set aside
    whole do not count: what the others sent is judged by itself."""
    minimum_group: Count = _POLICY.minimum_group
    """A contributor or source with fewer rows is never set aside whole."""
    contributor_rows: Share = 1.0
    """The largest share of the rows that stay which one contributor may have; more is set aside."""
    contributor_label_rows: Share = 1.0
    """The same of the rows with one label."""
    source_rows: Share = 1.0
    """The largest share of the rows that stay which one source (role `source`) may have."""


class PolicySettings(Section):
    """How findings become a verdict."""

    alpha: float = Field(default=_POLICY.alpha, gt=0, le=0.5, allow_inf_nan=False)
    """Accepted probability that a clean batch is not accepted, over all statistical rules."""
    effects: dict[str, EffectName] = Field(default_factory=dict)
    """Rule id -> what a finding of it does, where it differs from the rule's own effect."""
    required: tuple[str, ...] = ()
    """Rules that must have run, besides those that a baseline or a suite of expectations implies.
    If one did not, the verdict is HOLD."""
    limits: PolicyLimits = Field(default_factory=PolicyLimits)
    """Shares above which senders, or the batch, are judged as a whole."""
    power: dict[PowerFamily, Count] = Field(default_factory=dict)
    """Family -> number of poison rows from which its attacks must have been caught when the
    baseline was built. HOLD where the measured power does not reach that, or is unknown."""
    broken_files: Literal["reject", "set_aside"] = "reject"
    """What one file that cannot be used does: reject the batch, or be set aside by name."""


class GateSettings(Section):
    """How the verdict becomes an exit code."""

    fail_on: Literal["quarantine", "reject"] = "quarantine"
    """reject: a QUARANTINE verdict exits with 0, since its clean rows are published."""


class LimitSettings(Section):
    """Upper bounds for one batch; a batch above one of them is refused with code LIMIT."""

    files: Count = _LIMITS.files
    """Number of files."""
    bytes: Size = _LIMITS.bytes
    """Size of all files as received."""
    rows: Count = _LIMITS.rows
    """Rows of all files."""
    columns: Count = _LIMITS.columns
    """Columns of a file."""
    decoded_bytes: Size = _LIMITS.decoded_bytes
    """Size of all rows in memory, or of the text after decompression."""
    expansion: Count = _LIMITS.expansion
    """Decoded bytes for each received byte of a file, above a floor of 256 MiB."""
    memory: Size = _LIMITS.memory
    """Address space of the parsing process."""
    cpu_seconds: Count = _LIMITS.cpu_seconds
    """Processor time of the parsing process."""
    seconds: Count = _LIMITS.seconds
    """Wall time of the parsing process."""
    cell_bytes: Size = _LIMITS.cell_bytes
    """Size of one text cell."""

    def as_limits(self) -> Limits:
        """The same as the readers take them."""
        return Limits(**self.model_dump())


class OutputSettings(Section):
    """Where results go. The first three folders must not lie in one another."""

    runs: OutPath = Path(".auditor/runs")
    """Evidence of each run: reports, findings, attestation."""
    publish_to: OutPath = Path(".auditor/published")
    """Accepted rows; what a training job reads."""
    quarantine_to: OutPath = Path(".auditor/quarantine")
    """Rows set aside; only the owner may enter."""
    ledger: OutPath = Path(".auditor/ledger.db")
    """The append-only log of what was decided. A local file system: it needs locks that work."""
    site_key: OutPath = Path(".auditor/site.key")
    """The site's secret for keyed hashes, made at first use."""
    samples: bool = True
    """Whether reports show values of suspicious rows."""
    sample_weight: float = Field(default=0.0, ge=0, le=0.2, allow_inf_nan=False)
    """Share of a batch's rows, those whose labels the model of trusted rows expects least, that
    get weight 0 in the column `_auditor_weight` of published files; the others get 1. Rows that are
    set aside count as trimmed. 0: no such column. HOLD where no loss is known."""


class QuarantineSettings(Section):
    """How long rows that were set aside wait for people, and how long they are kept after that."""

    undecided_days: float = Field(default=30.0, ge=0, le=3650, allow_inf_nan=False)
    """Days after which a set that nobody decided about expires. It stays out: silence never
    releases."""
    retention_days: float = Field(default=90.0, ge=0, le=3650, allow_inf_nan=False)
    """Days after which `quarantine purge --due` deletes the rows of an expired set. The ledger and
    the decisions stay."""


class LedgerSettings(Section):
    """Where the log of decisions is, and as whom it signs its checkpoints."""

    url: PostgresUrl | None = None
    """A PostgreSQL database in place of the file `outputs.ledger`, for gates on several hosts:
    "postgresql://user@host:port/database", no password in it. Needs the extra `postgres`."""
    password_env: Variable | None = None
    """The environment variable that holds the database user's password; never the password."""
    origin: LogName = "auditor.local/ledger"
    """The log's name, in every checkpoint. Give each log one of its own; it cannot be changed once
    a checkpoint was signed."""
    key: OutPath | None = None
    """The log's private key (PEM, mode 0600), made at first use. None: `outputs.ledger` with
    ".key" behind it."""


class SigningSettings(Section):
    """What the attestation is signed with."""

    key: InPath | None = None
    """The private key (PEM, mode 0600). Without it and `command` attestations are unsigned, and say
    so."""
    passphrase_env: Variable | None = None
    """The environment variable that holds the key's passphrase; never the passphrase itself."""
    verifier: str = Field(default="https://auditor.example/gate/local", min_length=1)
    """The URI of this gate; training jobs name the gates they trust by it."""
    command: Command | None = None
    """In place of `key`, a program that signs (KMS, hardware token): its absolute path and its
    arguments, which go into reports, so no secrets. It gets the message on standard input and
    writes the signature to standard output: Ed25519, or ECDSA P-256 with SHA-256 in DER."""
    public: InPath | None = None
    """The public key (.pub) that what `command` signs must verify with."""
    environment: Variables = ()
    """Names of the environment variables that `command` sees, besides PATH and HOME."""

    @property
    def signs(self) -> bool:
        """Whether anything is signed."""
        return self.key is not None or self.command is not None


class FlowSettings(Section):
    """What the scheduled flows watch and start."""

    inbox: InPath | None = None
    """The folder that batches arrive in."""
    settle_seconds: Count = 60
    """An unsigned batch is complete once its listing has not changed for so long."""
    training: Function | None = None
    """Called with the published path and its digest after the gate, as "module:function"."""


class PromotionSettings(Section):
    """How accepted batches become part of the baseline."""

    allow: Literal["never", "reviewed", "automatic"] = "reviewed"
    """never: nothing is added. reviewed: by `baseline promote RUN`, with a name and a reason.
    automatic: also by `baseline promote --due`, which a schedule runs and nobody reviews."""
    cooling_off_days: float = Field(default=7.0, ge=0, le=3650, allow_inf_nan=False)
    """Days between the verdict and the promotion: what was poisoned is often known by then."""


class Settings(Section):
    """The settings of auditor.yaml."""

    name: str = Field(default="batch", min_length=1, max_length=200)
    """The data set's name, used in reports and attestations."""
    roles: dict[Role, Columns] = Field(default_factory=dict)
    """Role -> its column or columns (label, id, contributor, timestamp, feature, ...). Roles that
    are not set are inferred, and the report says how."""
    baseline: InPath | None = None
    """What was trusted before, made by `auditor baseline build`."""
    promotion: PromotionSettings = Field(default_factory=PromotionSettings)
    """How accepted batches become part of the baseline."""
    expectations: InPath | None = None
    """A suite of expectations (JSON), made by `auditor init`."""
    manifest: ManifestSettings = Field(default_factory=ManifestSettings)
    """Who may vouch for a batch."""
    trust: TrustSettings = Field(default_factory=TrustSettings)
    """The signed trust policy: whose keys count for what."""
    signatures: SignatureSettings = Field(default_factory=SignatureSettings)
    """What is known to be bad, and who may say so."""
    suppressions: InPath | None = None
    """What people have said is no attack. For `audit` a list in YAML (.auditorignore.yaml); for a
    gate what `auditor suppressions sign` made of it, signed by releasers of the trust policy."""
    detectors: dict[str, DetectorSettings] = Field(default_factory=dict)
    """Rule id -> whether it runs, and its own options."""
    profile: Literal["standard", "deep"] = "standard"
    """Which rules run. deep: also those that fit many models, for groups of rows and for classes
    (minutes). They get a share of the error budget of their own."""
    self_measurement: Literal["on", "off"] = "on"
    """on: with a baseline each audit plants rows in copies of the batch that are never written, and
    reports how many its rules saw. HOLD where rows that cannot be overlooked were missed twice.
    Takes up to a fifth of the rules' processor time on top."""
    policy: PolicySettings = Field(default_factory=PolicySettings)
    """How findings become a verdict."""
    gate: GateSettings = Field(default_factory=GateSettings)
    """How the verdict becomes an exit code."""
    limits: LimitSettings = Field(default_factory=LimitSettings)
    """Upper bounds for one batch."""
    outputs: OutputSettings = Field(default_factory=OutputSettings)
    """Where results go."""
    quarantine: QuarantineSettings = Field(default_factory=QuarantineSettings)
    """How long rows that were set aside wait for people, and how long they are kept after that."""
    ledger: LedgerSettings = Field(default_factory=LedgerSettings)
    """Where the log of decisions is, and as whom it signs."""
    signing: SigningSettings = Field(default_factory=SigningSettings)
    """What the attestation is signed with."""
    flows: FlowSettings = Field(default_factory=FlowSettings)
    """What the scheduled flows watch and start."""

    def enabled(self, rule: str) -> bool:
        """Whether a rule runs: yes, unless it is switched off under `detectors`."""
        return rule not in self.detectors or self.detectors[rule].enabled
