"""Whether any training job would believe what this gate signs, by the trust policy in force."""

from __future__ import annotations

import datetime as dt
from typing import Final

from auditor.config import Settings
from auditor.site_signer import signer_of
from auditor.trust.policy import TrustPolicy
from auditor.trust.thresholds import standing

#: No DSSE envelope signs these bytes: what an envelope signs begins with "DSSEv1".
_WHO: Final = b"auditor: whose key is this?\n"


def why_not(policy: TrustPolicy, settings: Settings, now: dt.datetime) -> str | None:
    """Why the policy does not let this gate sign; None where it does.

    A policy that names no gate leaves open who it is. The key answers by signing a line that is no
    attestation: only the process that reads it knows its id.

    Raises:
        KeyRefused: the key cannot be used.
    """
    role = policy.roles.gate
    if not role.keyids:
        return None
    if settings.signing.verifier not in role.verifiers:
        return f"it signs as {settings.signing.verifier}"
    signer = signer_of(settings)
    if signer is None:
        return "it has neither signing.key nor signing.command"
    keyid = signer.sign(_WHO).keyid
    if keyid not in role.keyids or keyid not in policy.keys:
        return f"its key is {keyid}"
    if ended := standing(policy.keys[keyid], now):
        return f"its key {keyid} does not count ({ended})"
    return None
