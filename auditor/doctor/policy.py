"""The trust policy: is it in force, and for how long will it and its keys be?"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from auditor.doctor.diagnosis import Diagnosis, Health
from auditor.errors import LedgerError, TrustError
from auditor.ledger import Ledger
from auditor.provenance.codes import CODES
from auditor.provenance.refused import KeyRefused
from auditor.trust import thresholds
from auditor.trust.policy import TrustPolicy
from auditor.trust_files import Pinned, seen_in

if TYPE_CHECKING:
    from auditor.config import Settings

#: Days in which several people can be found to sign the next version.
SOON: Final = dt.timedelta(days=14)


def trust_policy_here(pinned: Pinned, ledger: Ledger, now: dt.datetime) -> Diagnosis:
    """Judge the policy as the next run would find it; nothing is logged."""
    name, wanted = "trust policy", f"in force for {SOON.days} days and longer"
    try:
        policy = pinned.load(now, seen_in(ledger))
    except (TrustError, LedgerError) as error:
        mend = "put the files of the owners of the root keys in place: `auditor trust verify`"
        return Diagnosis(
            name=name, health=Health.BROKEN, found=str(error), wanted=wanted, mend=mend
        )
    ending = list(_ending(policy, now))
    found = f"version {policy.version}, {'; '.join(ending) or f'until {policy.expires:%Y-%m-%d}'}"
    if not ending:
        return Diagnosis(name=name, health=Health.OK, found=found, wanted=wanted)
    mend = f"make the next version with `auditor trust update {pinned.path}`"
    return Diagnosis(name=name, health=Health.NOTE, found=found, wanted=wanted, mend=mend)


def gate_role_here(
    pinned: Pinned, ledger: Ledger, settings: Settings, now: dt.datetime
) -> Iterator[Diagnosis]:
    """Whether the policy lets this gate sign; nothing where no policy is in force."""
    from auditor.gate_role import why_not

    try:
        policy = pinned.load(now, seen_in(ledger))
    except (TrustError, LedgerError):
        return  # said by `trust_policy_here`
    health, mend = Health.BROKEN, CODES["GATE_ROLE"].remedy
    try:
        refused = why_not(policy, settings, now)
    except KeyRefused as error:
        found, mend = f"{error.code}: {error.message}", CODES[error.code].remedy
    else:
        found = f"GATE_ROLE: {refused}"
        if refused is None:
            found = "may sign" if policy.roles.gate.keyids else "the trust policy names none"
            health, mend = Health.OK, ""
    wanted = "a key and a verifier of roles.gate"
    yield Diagnosis(name="gate", health=health, found=found, wanted=wanted, mend=mend)


def log_key_here(pinned: Pinned, ledger: Ledger, now: dt.datetime) -> Iterator[Diagnosis]:
    """Whether training jobs believe this log's proofs; nothing where the policy names no log."""
    try:
        policy = pinned.load(now, seen_in(ledger))
        believed = policy.roles.ledger
        own = str(ledger.key.public()) if believed and ledger.key.exists() else ""
    except (TrustError, LedgerError):
        return  # the policy: said by `trust_policy_here`; the key: the next run ends with it
    if not believed:
        return
    found = f"{own} is in roles.ledger" if own else f"{ledger.key.path}: no key yet"
    health, mend = Health.OK, ""
    if own not in believed:
        found = f"{own} is not in roles.ledger" if own else found
        health = Health.BROKEN
        mend = (
            "no training job believes its proofs: set ledger.key and ledger.origin to those of the "
            "trust policy, or add the key with `auditor trust update`"
        )
    wanted = "a key and an origin of roles.ledger"
    yield Diagnosis(name="ledger key", health=health, found=found, wanted=wanted, mend=mend)


def _ending(policy: TrustPolicy, now: dt.datetime) -> Iterator[str]:
    """What will soon be over: the version, and keys that still count."""
    if policy.expires - now < SOON:
        yield f"expires on {policy.expires:%Y-%m-%d}"
    for key in policy.keys.values():
        good = thresholds.standing(key, now) == thresholds.GOOD
        if good and key.not_after - now < SOON:
            yield f"a key of {key.principal} expires on {key.not_after:%Y-%m-%d}"
