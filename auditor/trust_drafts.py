"""The next version of the trust policy as a file: written, signed by one person after another.

Two people hold two keys on two machines, so a draft travels: each adds a signature, and it takes
the place of the version in force once enough of the old root and of its own have signed. Shell.
"""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path
from typing import Final

from auditor.errors import ConfigError, TrustError
from auditor.provenance.dsse import Envelope
from auditor.provenance.refused import Refused
from auditor.signing import Signer, add_signature, unsigned_envelope
from auditor.trust import chain
from auditor.trust.editing import Document, written
from auditor.trust.parsing import parse
from auditor.trust.policy import PAYLOAD_TYPE, TrustPolicy
from auditor.trust_files import PolicyRefused, read
from auditor.workspace.durable import write_durably

_DRAFT: Final = re.compile(r"(?P<stem>.+)\.[1-9][0-9]*\.draft(?P<rest>\.dsse\.json)?")


def opened(path: Path) -> tuple[Envelope, TrustPolicy]:
    """What a policy file says, whoever signed it.

    Raises:
        PolicyRefused: it is no policy. ConfigError: there is no such file.
    """
    content = read(path)
    if content is None:
        raise ConfigError(f"{path}: no such file; `auditor trust init` writes one")
    try:
        envelope = chain.opened_policy(content)
        return envelope, parse(envelope.payload)
    except Refused as refused:
        raise PolicyRefused(path, refused) from refused


def draft_of(current: Path, version: int) -> Path:
    """Where the draft of a version lies: `trust.dsse.json` -> `trust.3.draft.dsse.json`."""
    rest = ".dsse.json" if current.name.endswith(".dsse.json") else ""
    return current.with_name(f"{current.name.removesuffix(rest)}.{version}.draft{rest}")


def base_of(draft: Path) -> Path | None:
    """The file whose next version a draft is; None where the name is none of a draft."""
    match = _DRAFT.fullmatch(draft.name)
    return draft.with_name(f"{match['stem']}{match['rest'] or ''}") if match else None


def write(path: Path, document: Document) -> TrustPolicy:
    """Write an unsigned version; nothing that is there is overwritten.

    Raises:
        PolicyRefused: nobody would accept it. ConfigError: there is a file already.
    """
    try:
        payload = written(document)
    except Refused as refused:
        raise PolicyRefused(path, refused) from refused
    try:
        _create(path, unsigned_envelope(payload, PAYLOAD_TYPE))
    except FileExistsError as error:
        raise ConfigError(f"{path}: is there already; nothing was overwritten") from error
    return parse(payload)


def sign(path: Path, signer: Signer) -> None:
    """Add one signature to a version, if its key is one that the version needs.

    Raises:
        PolicyRefused, ConfigError: see `opened`. KeyRefused: the key cannot be used.
        TrustError: the key is no root key of this version nor of the one before.
    """
    _, policy = opened(path)
    wanted = {keyid for version in _roots(path, policy) for keyid in version.root.keyids}
    signed = add_signature(_bytes(path), signer)
    added = chain.opened_policy(signed).signatures[-1].keyid
    if added not in wanted:
        raise TrustError(f"{path}: {added} is none of its root keys; nothing was signed")
    write_durably(path, signed)


def missing(path: Path) -> dict[str, int]:
    """How many principals still have to sign: of the `old` root and of its `own`."""
    envelope, policy = opened(path)
    names = ("own", "old")
    roots = zip(names, _roots(path, policy), strict=False)
    return {name: chain.missing(envelope, root) for name, root in roots}


def install(current: Path, draft: Path, now: datetime) -> TrustPolicy:
    """Put a draft in force: the version before is kept beside it under its number.

    Raises:
        PolicyRefused: it is not signed as it must be, not the next version, or has expired.
    """
    before, old = opened(current)
    envelope, _ = opened(draft)
    try:
        chain.require_signed(before, old)
        new = chain.following(old, envelope)
        chain.require_in_force(new, envelope, now)
    except Refused as refused:
        raise PolicyRefused(draft, refused) from refused
    kept = current.with_name(chain.numbered(current.name, old.version))
    if read(kept) != _bytes(current):
        write_durably(kept, _bytes(current))
    write_durably(current, _bytes(draft))
    draft.unlink()
    return new


def _roots(path: Path, policy: TrustPolicy) -> list[TrustPolicy]:
    """The versions whose roots must sign: its own and, for a draft, the one in force."""
    base = base_of(path)
    return [policy, *([opened(base)[1]] if base is not None else [])]


def _bytes(path: Path) -> bytes:
    content = read(path)
    if content is None:
        raise ConfigError(f"{path}: no such file")
    return content


def _create(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
