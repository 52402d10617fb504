"""What must hold between the parts of a policy, so that each part means what it says."""

from __future__ import annotations

from auditor.provenance.refused import Refused, printable
from auditor.trust.policy import Role, TrustPolicy


def require_sound(policy: TrustPolicy) -> None:
    """Refuse thresholds that nobody could meet, and people who are machines.

    Raises:
        Refused: POLICY_THRESHOLD or POLICY_ROBOT.
    """
    _require_reachable(policy, policy.root, "root")
    for name, source in {**policy.sources, **policy.delegations}.items():
        _require_reachable(policy, source, name)
    # Roles without keys are not given to anybody yet.
    for name, role in (("gate", policy.roles.gate), ("status", policy.roles.status)):
        if role.keyids:
            _require_reachable(policy, role, name)
    _require_people(policy)


def _require_reachable(policy: TrustPolicy, role: Role, name: str) -> None:
    owners = len(policy.principals(role))
    if owners < role.threshold:
        text = f'"{printable(name)}" needs {role.threshold} principals, its keys have {owners}.'
        raise Refused("POLICY_THRESHOLD", text)


def _require_people(policy: TrustPolicy) -> None:
    """Releasers are people with a key: no service signs for them (SLSA threat B1)."""
    releaser, gate, status = policy.roles.releaser, policy.roles.gate, policy.roles.status
    if releaser.principals and len(releaser.principals) < releaser.threshold:
        text = f"{releaser.threshold} releasers are needed, {len(releaser.principals)} are named."
        raise Refused("POLICY_THRESHOLD", text)
    services = policy.principals(gate) | policy.principals(status)
    for name in releaser.principals:
        if name in services:
            text = f'The releaser "{printable(name)}" holds a key of the gate or the status role.'
            raise Refused("POLICY_ROBOT", text)
        if not policy.keys_of([name]):
            raise Refused("POLICY_KEY_UNKNOWN", f'The releaser "{printable(name)}" has no key.')
