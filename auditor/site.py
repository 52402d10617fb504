"""What this site consists of: its rules, folders, trusted inputs and versions. Shell."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from auditor import baseline_files, suites
from auditor.agreed_columns import RULES as COLUMN_RULES
from auditor.baseline import Baseline, key_id
from auditor.config import Settings
from auditor.config.settings import SignatureSettings
from auditor.detectors import EVERY
from auditor.errors import (
    BaselineError,
    ConfigError,
    TrustError,
)
from auditor.known_files import RULES as FILE_RULES
from auditor.model import (
    Effect,
    Family,
    Rule,
    Severity,
)
from auditor.policy import RULES as POLICY_RULES
from auditor.provenance.keys import PublicKey, public_key
from auditor.provenance.refused import Refused
from auditor.provenance.rules import RULES as PROVENANCE_RULES
from auditor.provenance.signatures import verify
from auditor.provenance.strict_json import MAX_BYTES
from auditor.readers import RULES as READER_RULES
from auditor.readers import read_plain
from auditor.resubmitted import RULES as RESUBMITTED_RULES
from auditor.site_suppressions import Suppressions
from auditor.texts.signature_list import SignatureList
from auditor.trust.policy import TrustPolicy
from auditor.workspace import Workspace

INCOMPLETE: Final = Rule(
    id="AUD-G002",
    family=Family.POLICY,
    title="The audit could not be completed",
    severity=Severity.HIGH,
    effect=Effect.HOLD,
)


def all_rules() -> dict[str, Rule]:
    """Every rule by id: readers, provenance, detectors, policy."""
    detectors = [detector.rule for detector in EVERY]
    received = [*READER_RULES, *COLUMN_RULES, *FILE_RULES, *PROVENANCE_RULES]
    every = [*received, *detectors, *RESUBMITTED_RULES, *POLICY_RULES, INCOMPLETE]
    if len({rule.id for rule in every}) != len(every):
        raise ValueError("two rules have one id")
    return {rule.id: rule for rule in every}


def utc_now() -> dt.datetime:
    """The machine's clock, with its zone."""
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """What the site trusts, loaded before the run. Errors are set-up.

    `keys` are those of the settings, used where there is no trust policy.
    """

    baseline: Baseline | None
    expectations: Sequence[Mapping[str, Any]] | None
    keys: Mapping[str, Sequence[PublicKey]]
    site_key: bytes
    signatures: SignatureList | None = None
    policy: TrustPolicy | None = None
    suppressions: Suppressions | None = None


def workspace(settings: Settings) -> Workspace:
    """The three roots, ledger and site key that the settings name."""
    outputs = settings.outputs
    if settings.flows.inbox is not None:
        _refuse_below(outputs.quarantine_to, settings.flows.inbox)
    return Workspace(
        runs=outputs.runs,
        publish_to=outputs.publish_to,
        quarantine_to=outputs.quarantine_to,
        ledger=outputs.ledger,
        site_key=outputs.site_key,
    )


def _refuse_below(quarantine: Path, inbox: Path) -> None:
    """Rows that were set aside must not come back as a new batch."""
    if quarantine.resolve().is_relative_to(inbox.resolve()):
        raise ConfigError(
            f"outputs.quarantine_to ({quarantine}) lies in flows.inbox ({inbox}); "
            "what is set aside there would be read again"
        )


def load_trusted(settings: Settings, site_key: bytes, now: dt.datetime | None = None) -> Trusted:
    """Read baseline, suite, keys, list; a mistake in them is ours and ends before a run begins.

    `now` decides whether the signature list is in force; default: the machine's clock.
    """
    baseline = baseline_files.read(settings.baseline) if settings.baseline else None
    if baseline is not None and baseline.key_id != key_id(site_key):
        raise BaselineError(
            f"{settings.baseline}: was built with another site key; "
            "restore that key, or build the baseline again here"
        )
    suite = suites.load(settings.expectations) if settings.expectations else None
    keys = {
        source: tuple(_read_key(entry) for entry in entries)
        for source, entries in settings.manifest.keys.items()
    }
    return Trusted(
        baseline=baseline,
        expectations=suite,
        keys=keys,
        site_key=site_key,
        signatures=_signatures(settings.signatures, now or utc_now()),
    )


def _signatures(settings: SignatureSettings, now: dt.datetime) -> SignatureList | None:
    """The signed list, verified: one that nobody vouches for is worse than none."""
    if settings.path is None:
        return None
    if not settings.keys:
        raise ConfigError("signatures.path needs signatures.keys: who may sign the list")
    keys = tuple(_read_key(entry, "signatures.keys") for entry in settings.keys)
    try:
        envelope = read_plain(settings.path, MAX_BYTES)
        return verify(envelope, keys=keys, threshold=settings.threshold, now=now)
    except OSError as error:
        text = f"signatures.path: {settings.path}: cannot be read ({error.strerror})"
        raise ConfigError(text) from error
    except Refused as refused:
        raise TrustError(
            f"signatures.path: {settings.path}: {refused} Make the list with `auditor signatures "
            "create`, and sign it with a key that signatures.keys names"
        ) from refused


def _read_key(entry: str, setting: str = "manifest.keys") -> PublicKey:
    """A key in hex, or the path of a file that holds one."""
    if "/" not in entry and not entry.endswith((".pub", ".pem")):
        return public_key(entry.encode())
    try:
        return public_key(Path(entry).read_bytes())
    except OSError as error:
        raise ConfigError(f"{setting}: {entry}: cannot be read ({error.strerror})") from error


def own_version() -> str:
    """The installed version of auditor."""
    return version_of("auditor")


def version_of(package: str) -> str:
    """The installed version of a package, or that there is none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "0+unknown" if package == "auditor" else "not installed"
