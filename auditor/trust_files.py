"""The trust policy of this site: read from its files, held against the ledger, and logged there.

The newest version that was in force is kept in the ledger, not in a file beside the policy: whoever
puts an old policy back would put back the old note with it. Shell, light.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from auditor.errors import TrustError
from auditor.ledger import NONE_YET, Conflict, Entry, Ledger, Via
from auditor.model import Scalar
from auditor.provenance.codes import CODES
from auditor.provenance.digests import sha256
from auditor.provenance.refused import Refused
from auditor.provenance.strict_json import MAX_BYTES
from auditor.provenance.times import format_time
from auditor.readers import read_plain
from auditor.trust import chain
from auditor.trust.chain import Seen
from auditor.trust.policy import PAYLOAD_TYPE, TrustedKey, TrustPolicy

#: What `policy.changed` events are about: the policy of this site, in all its versions.
SUBJECT: Final = sha256(PAYLOAD_TYPE.encode())


class PolicyRefused(TrustError):
    """The trust policy cannot be used; carries a stable `code` and says what to do."""

    def __init__(self, path: Path, refused: Refused) -> None:
        """Path in front, remedy behind."""
        super().__init__(f"{path}: {refused} {CODES[refused.code].remedy}")
        self.code = refused.code


@dataclass(frozen=True, slots=True)
class Pinned:
    """Where the newest version lies, and the digest of the version that is known out of band."""

    path: Path
    sha256: str

    def load(self, now: datetime, seen: Seen | None = None) -> TrustPolicy:
        """The policy in force.

        Raises:
            PolicyRefused: what is there is not signed as it must be, too old or contradictory.
            TrustError: a file cannot be read.
        """
        try:
            return chain.resolve(self._read, self.path.name, pin=self.sha256, now=now, seen=seen)
        except Refused as refused:
            raise PolicyRefused(self.path, refused) from refused

    def _read(self, name: str) -> bytes | None:
        return read(self.path.with_name(name))


def read(path: Path) -> bytes | None:
    """A policy file's bytes, None where there is none; raises `TrustError` for what is no file."""
    try:
        return read_plain(path, MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TrustError(f"{path}: the trust policy cannot be read ({error.strerror})") from error


def in_force(pinned: Pinned, ledger: Ledger, *, at: datetime, via: Via) -> TrustPolicy:
    """The policy in force here; a version that is new to the ledger is logged before it is used.

    Writes `policy.changed` for a new version and `key.revoked` for every key that it revokes.

    Raises:
        PolicyRefused, TrustError: see `Pinned.load`; POLICY_ROLLBACK for a version older than one
            the ledger knows.
        LedgerError: the ledger cannot be read or written.
    """
    while True:
        head = _newest(ledger)
        seen = _seen(head) if head else None
        policy = pinned.load(at, seen)
        if seen is not None and policy.version == seen.version:
            # Keys were logged with it, unless that process was killed in between.
            _log_revoked(policy, ledger, at, via)
            return policy
        try:
            ledger.append(
                "policy.changed",
                at=at,
                via=via,
                subject=SUBJECT,
                refs=[policy.sha256],
                detail={"version": policy.version, "expires": format_time(policy.expires)},
                expect=head.idx if head else NONE_YET,
            )
        except Conflict:  # another process was faster; look again at what it wrote
            continue
        _log_revoked(policy, ledger, at, via)
        return policy


def seen_in(ledger: Ledger) -> Seen | None:
    """The newest version that was in force here, None where there was none."""
    newest = _newest(ledger)
    return _seen(newest) if newest else None


def _newest(ledger: Ledger) -> Entry | None:
    found = ledger.find(subject=SUBJECT, event="policy.changed")
    return found[-1] if found else None


def _seen(entry: Entry) -> Seen:
    version, refs = entry.event.detail.get("version"), entry.event.refs
    if not isinstance(version, int) or len(refs) != 1:
        raise TrustError(
            f"ledger entry {entry.idx}: policy.changed without a version; find out who wrote it"
        )
    return Seen(version, refs[0])


def _log_revoked(policy: TrustPolicy, ledger: Ledger, at: datetime, via: Via) -> None:
    for key in _revoked(policy):
        detail, head = _ends(key), ledger.head_of(key.keyid)
        said = ledger.find(subject=key.keyid, event="key.revoked")
        if said and said[-1].event.detail == detail:
            continue
        with contextlib.suppress(Conflict):  # another process has just said the same
            ledger.append(
                "key.revoked",
                at=at,
                via=via,
                subject=key.keyid,
                refs=[policy.sha256],
                detail=detail,
                expect=head,
            )


def _revoked(policy: TrustPolicy) -> Iterator[TrustedKey]:
    for key in policy.keys.values():
        if key.revoked_at is not None or key.compromised_since is not None:
            yield key


def _ends(key: TrustedKey) -> dict[str, Scalar]:
    ends = {"revoked_at": key.revoked_at, "compromised_since": key.compromised_since}
    return {name: format_time(at) for name, at in ends.items() if at is not None}
