"""What `auditor trust` was asked for, as values: keys, sources, edits of the document."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditor.provenance.keys import PublicKey
    from auditor.trust.editing import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The changes that `update` has options for."""

    now: dt.datetime
    revoke: str | None
    compromised: str | None
    since: str | None
    approve: str | None


def edited(source: Path | None, payload: bytes, asked: Asked) -> Document:
    """The document of `source`, else of the payload, with the changes.

    Raises:
        ConfigError, TrustError: the file is no policy, or there is nothing to change like this.
    """
    from auditor.provenance.refused import Refused
    from auditor.provenance.times import parse_time
    from auditor.trust import editing
    from auditor.trust_files import PolicyRefused

    document = _document(payload if source is None else _bytes(source))
    try:
        if asked.revoke is not None:
            document = editing.ended(document, asked.revoke, "revoked_at", asked.now)
        if asked.compromised is not None and asked.since is not None:
            at = parse_time(asked.since)
            document = editing.ended(document, asked.compromised, "compromised_since", at)
    except Refused as refused:
        raise PolicyRefused(source or Path("update"), refused) from refused
    if asked.approve is None:
        return document
    return editing.approved(document, *_approval(asked.approve))


def _approval(text: str) -> tuple[str, int, str]:
    from auditor.errors import ConfigError

    name, _, rest = text.rpartition("=")
    version, _, digest = rest.partition(":")
    if not name or not version.isascii() or not version.isdigit() or not digest:
        raise ConfigError(f"--approve {text}: give NAME=VERSION:DIGEST")
    return name, int(version), digest


def public(text: str) -> tuple[str, PublicKey]:
    """PRINCIPAL=FILE.pub; raises `ConfigError` or `KeyRefused`."""
    from auditor.errors import ConfigError
    from auditor.provenance.keys import public_key

    principal, _, path = text.partition("=")
    if not principal or not path:
        raise ConfigError(f"--public {text}: give PRINCIPAL=FILE.pub")
    return principal, public_key(_bytes(Path(path)))


def sources(texts: list[str]) -> dict[str, list[str]]:
    """SOURCE=PRINCIPAL of each; raises `ConfigError`."""
    from auditor.errors import ConfigError

    found: dict[str, list[str]] = {}
    for text in texts:
        name, _, principal = text.partition("=")
        if not name or not principal:
            raise ConfigError(f"--source {text}: give SOURCE=PRINCIPAL")
        found.setdefault(name, []).append(principal)
    return found


def ledger(text: str) -> str:
    """ORIGIN=FILE.pub as a verifier key; raises `ConfigError` or `KeyRefused`."""
    from auditor.errors import ConfigError
    from auditor.transparency.note import VerifierKey, parse_vkey
    from auditor.transparency.refused import LogRefused

    origin, _, path = text.partition("=")
    if not origin or not path:
        raise ConfigError(f"--ledger {text}: give ORIGIN=FILE.pub")
    _, key = public(text)
    if key.kind != "ed25519":
        raise ConfigError(f"--ledger {text}: a log's key is Ed25519")
    try:
        return str(parse_vkey(str(VerifierKey(origin, key.raw))))
    except LogRefused as refused:
        raise ConfigError(f"--ledger {text}: {refused}") from refused


def _document(payload: bytes) -> Document:
    from auditor.errors import ConfigError
    from auditor.provenance import strict_json
    from auditor.provenance.refused import Refused

    try:
        document = strict_json.loads(payload)
    except Refused as refused:
        raise ConfigError(f"--from: {refused}") from refused
    if not isinstance(document, dict) or not isinstance(document.get("keys"), dict):
        raise ConfigError("--from: not a trust policy; start from `auditor trust show --json`")
    return document


def indented(payload: bytes) -> str:
    """JSON to edit; only ASCII, so that no character hides."""
    import json

    return json.dumps(json.loads(payload), indent=2, ensure_ascii=True)


def _bytes(path: Path) -> bytes:
    from auditor.errors import ConfigError

    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
