"""The suppressions that the settings name: read, verified, and laid over a batch. Shell.

`audit` takes a list that somebody wrote by hand. A gate takes one that releasers of the trust
policy signed, and nothing else: what cannot be verified ends the command, it is never left out.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from auditor.coded import coded
from auditor.config import Settings, yaml
from auditor.errors import ConfigError, TrustError
from auditor.lifecycle import suppressions
from auditor.lifecycle.suppressions import SCOPES, Listed, Suppression
from auditor.model import Mode, Rule
from auditor.policy import Decided
from auditor.provenance import dsse
from auditor.provenance.codes import CODES
from auditor.provenance.digests import sha256
from auditor.provenance.refused import Refused
from auditor.provenance.strict_json import MAX_BYTES
from auditor.readers import Ingest, read_plain
from auditor.report_records import SuppressionRecord
from auditor.suppressing import Excused
from auditor.trust.policy import TrustPolicy

_NAMES: Final = frozenset({"rule", *SCOPES, "reason", "approver", "expires"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressions:
    """What is suppressed here at a time. `signers`: releasers behind it, none for an audit's list.

    `content`: the bytes of the file, `sha256` their digest.
    """

    listed: Listed
    signers: tuple[str, ...]
    content: bytes
    at: dt.datetime

    @property
    def sha256(self) -> str:
        """Digest of the file."""
        return sha256(self.content)

    @property
    def in_force(self) -> tuple[Suppression, ...]:
        """Those that have not ended."""
        return tuple(one for one in self.listed.entries if self.at < one.expires_on)


def load(
    settings: Settings,
    mode: Mode,
    policy: TrustPolicy | None,
    rules: dict[str, Rule],
    now: dt.datetime,
) -> Suppressions | None:
    """The suppressions of these settings; None where they name none.

    Raises:
        ConfigError: the file cannot be read.
        TrustError: a gate cannot obey it, or nobody may; the code says why.
    """
    path = settings.suppressions
    if path is None:
        return None
    content = read_bytes(path)
    signers: tuple[str, ...] = ()
    try:
        listed = parse(content, path, now)
        suppressions.require_allowed(listed.entries, rules, settings.policy.required)
        if mode != Mode.AUDIT:
            signers = _signed(content, path, policy, now)
    except Refused as refused:
        raise TrustError(f"suppressions: {path}: {refused} {_remedy(refused)}") from refused
    return Suppressions(listed=listed, signers=signers, content=content, at=now)


def _remedy(refused: Refused) -> str:
    """What to do; of codes that other documents have too, what to do about suppressions."""
    if refused.code in ("UNSIGNED", "DECISION_THRESHOLD"):
        return "Releasers of the trust policy sign it with `auditor suppressions sign`."
    return CODES[refused.code].remedy


def _signed(
    content: bytes, path: Path, policy: TrustPolicy | None, now: dt.datetime
) -> tuple[str, ...]:
    if policy is None or not policy.roles.releaser.principals:
        raise TrustError(
            f"suppressions: {path}: a gate obeys what a releaser signed; name releasers in a trust "
            "policy (roles.releaser), or take `suppressions` out of the settings"
        )
    if not is_envelope(content):
        raise Refused("UNSIGNED", "This is the list as it was written by hand.")
    return suppressions.require_signed(content, policy, now)


def parse(content: bytes, path: Path, now: dt.datetime) -> Listed:
    """The list in a file: a signed statement, or what somebody wrote by hand as of now.

    Raises:
        ConfigError: neither.
        Refused: a statement that breaks a rule, SUPPRESSION_TERM.
    """
    if is_envelope(content):
        return suppressions.read(dsse.parse(content).payload)
    now = now.replace(microsecond=0)
    payload = suppressions.build(tuple(_written(content, path)), now)
    return suppressions.read(payload)


def digest_of(settings: Settings) -> str | None:
    """What the suppressions of these settings say, for the policy digest; None without any.

    Raises:
        ConfigError, TrustError: the file cannot be read, or breaks a rule.
    """
    if settings.suppressions is None:
        return None
    path = settings.suppressions
    content = read_bytes(path)
    try:
        if is_envelope(content):
            return suppressions.read(dsse.parse(content).payload).sha256
        return suppressions.digest_of(_written(content, path))
    except Refused as refused:
        raise TrustError(f"suppressions: {path}: {refused}") from refused


def read_bytes(path: Path) -> bytes:
    """The file; raises `ConfigError` where it cannot be read."""
    try:
        return read_plain(path, MAX_BYTES)
    except OSError as error:
        text = f"suppressions: {path}: cannot be read ({error.strerror})"
        raise ConfigError(text) from error


def is_envelope(content: bytes) -> bool:
    """Whether this is a signed statement rather than a list written by hand."""
    return content.lstrip()[:1] == b"{" and b'"payload"' in content


def _written(content: bytes, path: Path) -> Iterator[Suppression]:
    """What is written under `suppressions:` in YAML, one scope each."""
    try:
        said = yaml.read(content.decode("utf-8-sig"), str(path)).value
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text") from error
    entries = said.get("suppressions") if isinstance(said, dict) and len(said) == 1 else None
    if not isinstance(entries, list):
        raise ConfigError(f"{path}: needs `suppressions:` with a list under it, and nothing else")
    for number, entry in enumerate(entries, 1):
        yield _one(entry, f"{path}: suppression {number}")


def _one(entry: Any, where: str) -> Suppression:
    if not isinstance(entry, dict) or not all(isinstance(v, str) for v in entry.values()):
        raise ConfigError(f"{where}: needs texts under {', '.join(sorted(_NAMES))}")
    strangers = sorted(set(map(str, entry)) - _NAMES)
    if strangers:
        raise ConfigError(f"{where}: {strangers[0]!r} is not known here")
    scopes = [scope for scope in SCOPES if scope in entry]
    missing = [name for name in ("rule", "reason", "approver", "expires") if name not in entry]
    if missing or len(scopes) != 1:
        text = f"needs {missing[0]}" if missing else f"needs one of {', '.join(SCOPES)}"
        raise ConfigError(f"{where}: {text}")
    try:
        expires = dt.datetime.strptime(entry["expires"], "%Y-%m-%d").replace(tzinfo=dt.UTC)
    except ValueError as error:
        raise ConfigError(f"{where}: expires has to be a date such as 2026-12-24") from error
    return Suppression(
        rule=entry["rule"],
        scope=scopes[0],
        value=entry[scopes[0]],
        reason=entry["reason"],
        approver=entry["approver"],
        expires_on=expires,
    )


def excused(found: Suppressions, ingest: Ingest) -> tuple[Excused, ...]:
    """The entries in force, as they lie over a batch that could be read."""
    return tuple(_over(one, ingest) for one in found.in_force) if ingest.batch else ()


def _over(one: Suppression, ingest: Ingest) -> Excused:
    batch = ingest.batch
    assert batch is not None
    if one.scope == "column":
        return Excused(one, None)
    rows = np.zeros(batch.rows, dtype=bool)
    if one.scope == "contributor":
        column = batch.roles.contributor
        if column is not None:
            known = coded(batch, column)
            names = [place for place, name in enumerate(known.names) if name == one.value]
            rows = np.isin(known.codes, names)
        return Excused(one, rows)
    for file in ingest.files:
        if file.sha256 == one.value and file.name in batch.files:
            start = batch.offsets[batch.files.index(file.name)]
            rows[start : start + file.rows] = True
    return Excused(one, rows, whole=one.value == batch.digest)


def records(
    found: Suppressions | None, decided: Sequence[Decided]
) -> tuple[SuppressionRecord, ...]:
    """Every entry for the report: what it covers, whether it is in force, how much it excused."""
    if found is None:
        return ()
    return tuple(_record(one, found, decided) for one in found.listed.entries)


def _record(one: Suppression, found: Suppressions, decided: Sequence[Decided]) -> SuppressionRecord:
    own = [
        d.finding
        for d in decided
        if d.finding.rule == one.rule and d.finding.evidence.get("suppressed") == one.words
    ]
    return SuppressionRecord(
        rule=one.rule,
        scope=one.scope,
        value=one.value,
        reason=one.reason,
        approver=one.approver,
        expires=one.expires_on.strftime("%Y-%m-%dT%H:%M:%SZ"),
        signers=found.signers,
        expired=one.expires_on <= found.at,
        findings=len(own),
        rows=sum(finding.rows.num_rows for finding in own if finding.rows is not None),
    )
