"""Reading an attestation: a SLSA Verification Summary with our extension, as typed values.

`attestation` writes them. Who signed is another question; see `auditor.verify`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from auditor.provenance import entries, statement
from auditor.provenance.attestation import EXTENSION, PREDICATE_TYPE
from auditor.provenance.digests import subject_digest
from auditor.provenance.entries import FileEntry
from auditor.provenance.fields import Fields
from auditor.provenance.paths import hive_keys, require_distinct, require_safe
from auditor.provenance.refused import Refused, printable
from auditor.sample_weight import COLUMN, SampleWeight


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Counts of the batch: what came in, what was published, what was set aside."""

    came: int
    out: int
    quarantined: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What an attestation says. `sha256` is its subject's: of the files, or of a refused input.

    `inputs` and `manifests` are digests of what was audited (of a release, of its parent as well),
    `released_under` those of the decisions behind a release; `policy` is the name of the gate's
    settings, `mode` is `enforce` for a gate that publishes. `weights`: what the files carry.
    """

    name: str
    sha256: str
    verifier: str
    resource: str
    policy: str
    policy_sha256: str
    policy_version: int
    passed: bool
    levels: frozenset[str]
    mode: str
    kind: str
    verified_at: datetime
    valid_until: datetime
    rows: Rows
    files: tuple[FileEntry, ...]
    inputs: tuple[str, ...]
    manifests: tuple[str, ...]
    released_under: tuple[str, ...]
    set_sha256: str | None
    ledger_origin: str | None
    weights: SampleWeight | None


def read(payload: bytes) -> Summary:
    """The summary in a payload, in its right form but not held against itself yet.

    Raises:
        Refused: PREDICATE_TYPE, SUBJECT_COUNT, a JSON code or a FIELD code.
    """
    said = statement.read(payload, PREDICATE_TYPE)
    predicate, extension = said.predicate, said.predicate.section(EXTENSION)
    name, digest = said.subject()
    policy, ledger = predicate.section("policy"), extension.optional_section("ledger")
    return Summary(
        name=name,
        sha256=digest,
        verifier=predicate.section("verifier").text("id"),
        resource=predicate.text("resourceUri"),
        policy=policy.text("uri").removeprefix("policy:"),
        policy_sha256=policy.digest("digest"),
        policy_version=extension.count("policyVersion"),
        passed=predicate.text("verificationResult") == "PASSED",
        levels=frozenset(predicate.texts("verifiedLevels")),
        mode=extension.text("mode"),
        kind=extension.text("kind"),
        verified_at=predicate.time("timeVerified"),
        valid_until=extension.time("validUntil"),
        rows=_rows(extension.section("rows")),
        files=tuple(map(entries.read, extension.section("outputs").sections("files"))),
        inputs=tuple(one.digest("digest") for one in extension.sections("inputs")),
        manifests=tuple(one.digest("digest") for one in predicate.sections("inputAttestations")),
        released_under=_digests(extension, "releasedUnder"),
        set_sha256=extension.digest("setDigest") if extension.has("setDigest") else None,
        ledger_origin=ledger.text("origin") if ledger else None,
        weights=_weights(extension.optional_section("sampleWeight")),
    )


def require_outputs(summary: Summary) -> None:
    """Hold the list of published files against names, rows and the subject's digest.

    Raises:
        Refused: FILES_EMPTY, PATH_UNSAFE, ROWS or SUBJECT_DIGEST.
    """
    if not summary.files:
        raise Refused("FILES_EMPTY", "The attestation lists no files.")
    for file in summary.files:
        # Folders of the gate's own making: it declares no partitions apart from their names.
        require_safe(file.name, hive_keys(file.name))
    require_distinct(file.name for file in summary.files)
    rows, listed = summary.rows, sum(file.rows for file in summary.files)
    if rows.came != rows.out + rows.quarantined:
        text = f"{rows.came} rows came, {rows.out} went out, {rows.quarantined} were set aside."
        raise Refused("ROWS", text)
    if listed != rows.out:
        raise Refused("ROWS", f"The files add up to {listed} rows, not {rows.out}.")
    if subject_digest(summary.files) != summary.sha256 or summary.name != summary.resource:
        name = printable(summary.name)
        raise Refused("SUBJECT_DIGEST", f'The subject "{name}" is not the listed files.')


def _digests(fields: Fields, name: str) -> tuple[str, ...]:
    listed = fields.sections(name) if fields.has(name) else ()
    return tuple(Fields({"digest": dict(one.values)}, one.where).digest("digest") for one in listed)


def _weights(fields: Fields | None) -> SampleWeight | None:
    if fields is None:
        return None
    if fields.text("column") != COLUMN:
        raise Refused("FIELD_TYPE", f"{fields.where}.column must be {COLUMN}.")
    try:
        share = float(fields.text("share"))
    except ValueError as error:
        raise Refused("FIELD_TYPE", f"{fields.where}.share must be a number in text.") from error
    rule = fields.optional_text("rule") or ""
    return SampleWeight(share=share, rule=rule, rows=fields.count("zero"))


def _rows(fields: Fields) -> Rows:
    return Rows(
        came=fields.count("in"), out=fields.count("out"), quarantined=fields.count("quarantined")
    )
