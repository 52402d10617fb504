"""Who signed, whether their word counted at that time, and whether enough of them did.

A threshold counts people, then public keys; never key ids and never signatures. So one key used
twice, one key under two names, or two keys of one person are one voice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final

from auditor.provenance import dsse
from auditor.provenance.dsse import Envelope
from auditor.provenance.refused import Refused
from auditor.provenance.times import SKEW, format_time
from auditor.trust.policy import TrustedKey

#: The standing of a key whose signature counts.
GOOD: Final = ""


def standing(key: TrustedKey, at: datetime) -> str:
    """Why a signature of this key does not count at a time; empty if it does.

    `at` is the time of the ledger entry, or now for what is not in the ledger yet: never a time
    that the signed document claims. Codes: KEY_REVOKED, KEY_NOT_YET_VALID, KEY_EXPIRED.
    """
    for ended in (key.revoked_at, key.compromised_since):
        if ended is not None and at >= ended:
            return "KEY_REVOKED"
    if at + SKEW < key.not_before:
        return "KEY_NOT_YET_VALID"
    return "KEY_EXPIRED" if at - SKEW >= key.not_after else GOOD


def signers(envelope: Envelope, keys: Iterable[TrustedKey]) -> tuple[TrustedKey, ...]:
    """Those of `keys` that signed exactly these bytes, whatever their standing, by key id."""
    offered = {key.public: key for key in keys}
    found = frozenset(dsse.signers(envelope, tuple(offered)))
    return tuple(sorted((k for p, k in offered.items() if p.keyid in found), key=_by_id))


def voices(keys: Collection[TrustedKey]) -> int:
    """How many votes these keys are: as many as people, and never more than public keys."""
    return min(len({key.principal for key in keys}), len({key.public for key in keys}))


def require(
    envelope: Envelope, keys: Iterable[TrustedKey], threshold: int, at: datetime
) -> tuple[TrustedKey, ...]:
    """The keys in good standing that signed, if they are `threshold` principals.

    Raises:
        Refused: UNSIGNED; KEY_REVOKED, KEY_EXPIRED or KEY_NOT_YET_VALID where it fails for that
            alone; else SIGNATURE_THRESHOLD.
        ValueError: for a threshold below 1, which would accept anything.
    """
    if threshold < 1:
        raise ValueError(f"a threshold must be at least 1, not {threshold}")
    if not envelope.signatures:
        raise Refused("UNSIGNED", "The envelope has no signatures.")
    signed = signers(envelope, keys)
    good = tuple(key for key in signed if standing(key, at) == GOOD)
    if voices(good) >= threshold:
        return good
    if voices(signed) >= threshold:
        raise _fallen(next(key for key in signed if key not in good), at)
    text = f"{voices(good)} of {threshold} required principals signed."
    raise Refused("SIGNATURE_THRESHOLD", text)


def _fallen(key: TrustedKey, at: datetime) -> Refused:
    text = f"The key {key.keyid} of {key.principal} signed; it does not count"
    return Refused(standing(key, at), f"{text} at {format_time(at)}.")


def _by_id(key: TrustedKey) -> str:
    return key.keyid
