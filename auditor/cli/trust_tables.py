"""A trust policy as lines for a person who is about to sign it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from auditor.provenance.times import format_time
from auditor.trust import thresholds
from auditor.trust.policy import Role, Source, TrustPolicy


def lines(policy: TrustPolicy, now: dt.datetime) -> Iterator[str]:
    """Everything that the policy says; text in it may be hostile."""
    yield f"version {policy.version}, expires {format_time(policy.expires)}"
    yield f"digest {policy.sha256}"
    yield f"root: {_needs(policy, policy.root)}"
    for key in policy.keys.values():
        standing = thresholds.standing(key, now) or "good"
        since = key.compromised_since
        also = f", compromised since {format_time(since)}" if since else ""
        yield f"key {key.keyid}  {key.public.kind}  {key.principal}  {standing}{also}"
    for name, source in {**policy.sources, **policy.delegations}.items():
        yield f"source {name}: {_needs(policy, source)}{_terms(source)}"
    gate, releaser = policy.roles.gate, policy.roles.releaser
    yield f"gate: {_needs(policy, gate)} as {', '.join(gate.verifiers) or 'nobody'}"
    yield f"status: {_needs(policy, policy.roles.status)}"
    yield f"releasers: {releaser.threshold} of {', '.join(releaser.principals) or 'nobody'}"
    yield f"ledger: {', '.join(policy.roles.ledger) or 'none named'}"
    yield f"witnesses: {policy.roles.witness.quorum} of {len(policy.roles.witness.vkeys)}"
    for name, named in policy.policies.items():
        yield f"settings {name}: version {named.version}, digest {named.sha256}"
    yield f"unsigned batches: {policy.unsigned}"


def _needs(policy: TrustPolicy, role: Role) -> str:
    people = ", ".join(sorted(policy.principals(role))) or "nobody"
    return f"{role.threshold} of {people}"


def _terms(source: Source) -> str:
    """The restrictions that are set."""
    allowed = {
        "suppliers": source.suppliers,
        "contributors": source.contributors,
        "licences": source.licenses,
        "methods": source.methods,
        "addresses": source.uri_prefixes,
        "schemas": source.schema,
    }
    said = [
        f"{name} {' '.join(sorted(v)) or 'none'}" for name, v in allowed.items() if v is not None
    ]
    limits = source.limits
    bounds = {"files": limits.files, "bytes": limits.bytes, "rows": limits.rows}
    said += [f"at most {most} {name}" for name, most in bounds.items() if most is not None]
    said += [f"no older than {source.max_age}"] if source.max_age is not None else []
    return "".join(f"; {one}" for one in [*said, f"sequence {source.sequence}"])
