"""Bytes -> `TrustPolicy`, or a refusal: a policy is taken whole or not at all.

What contradicts itself is refused on load, not when it is needed: a weak key, one key under two
names, a threshold that nobody could meet, a role that names a key which is not there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from auditor.provenance import strict_json
from auditor.provenance.digests import is_sha256, sha256
from auditor.provenance.fields import Fields
from auditor.provenance.manifest import SOURCE
from auditor.provenance.refused import Refused, printable
from auditor.trust.key_entries import keys_of
from auditor.trust.policy import (
    POLICY_TYPE,
    RELEASES,
    Gate,
    NamedPolicy,
    Releaser,
    Role,
    Roles,
    Source,
    SourceLimits,
    TrustedKey,
    TrustPolicy,
    Witness,
)
from auditor.trust.soundness import require_sound
from auditor.trust.strictness import choice, known, names, positive

_SOURCE_FIELDS: Final = (
    *("keyids", "threshold", "suppliers", "contributors", "licenses", "methods", "uri_prefixes"),
    *("schema", "sequence", "max_age", "limits", "row_provenance", "trust", "mutable"),
)
_LIMITS: Final = ("files", "bytes", "rows", "decoded_bytes")
_AGE: Final = re.compile(r"P(?:([1-9][0-9]{0,3})D|T([1-9][0-9]{0,3})H)", re.ASCII)
_PREFIX: Final = re.compile(r"https?://[a-z0-9.-]+(?::[0-9]{1,5})?/(?:[!-~]*/)?", re.ASCII)
_VKEY: Final = re.compile(r"[!-*,-~]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]+={0,2}")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_QUORUM: Final = {"none": 0, "1": 1, "2": 2}


def parse(payload: bytes) -> TrustPolicy:
    """Read one version of the policy, whoever signed it.

    Raises:
        Refused: with the code of the first rule that is broken.
    """
    document = Fields.of(strict_json.loads(payload), "policy")
    if (found := document.text("_type")) != POLICY_TYPE:
        raise Refused("PREDICATE_TYPE", f'_type is "{printable(found)}", not {POLICY_TYPE}.')
    known(
        document,
        *("_type", "version", "expires", "root", "keys", "sources", "delegations", "roles"),
        *("policies", "unsigned"),
    )
    keys = keys_of(document.section("keys"))
    policy = TrustPolicy(
        version=positive(document, "version"),
        expires=document.time("expires"),
        root=_role(document.section("root"), keys),
        keys=keys,
        sources=_sources(document.section("sources"), keys),
        delegations=_delegations(document.optional_section("delegations"), keys),
        roles=_roles(document.section("roles"), keys),
        policies=_policies(document.optional_section("policies")),
        unsigned=choice(document, "unsigned", ("note", "hold", "reject")),
        sha256=sha256(payload),
    )
    require_sound(policy)
    return policy


def _role(fields: Fields, keys: Mapping[str, TrustedKey]) -> Role:
    known(fields, "keyids", "threshold")
    return Role(keyids=_keyids(fields, keys), threshold=positive(fields, "threshold"))


def _keyids(fields: Fields, keys: Mapping[str, TrustedKey]) -> tuple[str, ...]:
    listed = names(fields, "keyids")
    for keyid in listed:
        if keyid not in keys:
            text = f'{fields.where} names the key "{printable(keyid)}", which is not under keys.'
            raise Refused("POLICY_KEY_UNKNOWN", text)
    return listed


def _sources(fields: Fields, keys: Mapping[str, TrustedKey]) -> dict[str, Source]:
    found = {}
    for name in fields.values:
        _require_source(name, name)
        entry = fields.section(name)
        known(entry, *_SOURCE_FIELDS)
        found[name] = _source(entry, name, keys)
    return found


def _delegations(fields: Fields | None, keys: Mapping[str, TrustedKey]) -> dict[str, Source]:
    found = {}
    for pattern in fields.values if fields else ():
        assert fields is not None
        if not pattern.endswith("/*"):
            text = f'The delegation "{printable(pattern)}" must end in "/*".'
            raise Refused("FIELD_VALUE", text)
        _require_source(pattern.removesuffix("/*"), pattern)
        entry = fields.section(pattern)
        known(entry, *_SOURCE_FIELDS, "terminating")
        found[pattern] = _source(entry, pattern, keys, delegation=pattern)
    return found


def _require_source(name: str, shown: str) -> None:
    if not SOURCE.fullmatch(name):
        raise Refused("FIELD_VALUE", f'"{printable(shown)}" is not the name of a source.')
    if f"{name}/".startswith(RELEASES):
        raise Refused("FIELD_VALUE", f'"{printable(shown)}": releases are signed by the gate.')


def _source(
    entry: Fields, name: str, keys: Mapping[str, TrustedKey], delegation: str | None = None
) -> Source:
    delegated = delegation is not None
    return Source(
        name=name,
        keyids=_keyids(entry, keys),
        threshold=positive(entry, "threshold"),
        suppliers=_set(entry, "suppliers"),
        contributors=_set(entry, "contributors"),
        licenses=_set(entry, "licenses"),
        methods=_set(entry, "methods"),
        uri_prefixes=_prefixes(entry),
        schema=_fingerprints(entry),
        sequence=choice(entry, "sequence", ("strict", "monotonic"), "strict"),
        max_age=_age(entry),
        limits=_limits(entry.optional_section("limits")),
        row_provenance=choice(entry, "row_provenance", ("optional", "required"), "optional"),
        trust=choice(entry, "trust", ("baseline", "known", "new"), "new"),
        mutable=_flag(entry, "mutable", default=False),
        delegation=delegation,
        terminating=_flag(entry, "terminating", default=True) if delegated else True,
    )


def _set(entry: Fields, name: str) -> frozenset[str] | None:
    return frozenset(names(entry, name)) if entry.has(name) else None


def _flag(entry: Fields, name: str, *, default: bool) -> bool:
    value = entry.values.get(name, default)
    if not isinstance(value, bool):
        raise Refused("FIELD_TYPE", f"{entry.where}.{name} must be true or false.")
    return value


def _prefixes(entry: Fields) -> tuple[str, ...] | None:
    if not entry.has("uri_prefixes"):
        return None
    listed = names(entry, "uri_prefixes")
    for prefix in listed:
        # Without the last slash "https://x" would also allow "https://x.evil/".
        if not _PREFIX.fullmatch(prefix):
            text = f'"{printable(prefix)}" is not an http(s) prefix that ends in "/".'
            raise Refused("FIELD_VALUE", text)
    return listed


def _fingerprints(entry: Fields) -> frozenset[str] | None:
    found = _set(entry, "schema")
    if found is not None and not all(map(is_sha256, found)):
        raise Refused("DIGEST_ALGORITHM", f"{entry.where}.schema needs sha256 in lowercase hex.")
    return found


def _age(entry: Fields) -> timedelta | None:
    text = entry.optional_text("max_age")
    if text is None:
        return None
    match = _AGE.fullmatch(text)
    if match is None:
        text = f'{entry.where}.max_age is "{printable(text)}", not such as P7D or PT12H.'
        raise Refused("FIELD_VALUE", text)
    return timedelta(days=int(match[1] or 0), hours=int(match[2] or 0))


def _limits(fields: Fields | None) -> SourceLimits:
    if fields is None:
        return SourceLimits()
    known(fields, *_LIMITS)
    return SourceLimits(**{name: positive(fields, name) for name in _LIMITS if fields.has(name)})


def _roles(fields: Fields, keys: Mapping[str, TrustedKey]) -> Roles:
    known(fields, "gate", "releaser", "ledger", "status", "witness")
    gate, releaser = fields.optional_section("gate"), fields.optional_section("releaser")
    ledger, status = fields.optional_section("ledger"), fields.optional_section("status")
    witness = fields.optional_section("witness")
    return Roles(
        gate=_gate(gate, keys) if gate else Gate(),
        releaser=_releaser(releaser) if releaser else Releaser(),
        ledger=_vkeys(ledger, "vkeys") if ledger else (),
        status=_role(status, keys) if status else Role(),
        witness=_witness(witness) if witness else Witness(),
    )


def _gate(fields: Fields, keys: Mapping[str, TrustedKey]) -> Gate:
    known(fields, "keyids", "threshold", "verifiers")
    return Gate(
        keyids=_keyids(fields, keys),
        threshold=positive(fields, "threshold"),
        verifiers=names(fields, "verifiers"),
    )


def _releaser(fields: Fields) -> Releaser:
    known(fields, "principals", "threshold")
    return Releaser(principals=names(fields, "principals"), threshold=positive(fields, "threshold"))


def _vkeys(fields: Fields, *others: str) -> tuple[str, ...]:
    known(fields, *others)
    listed = names(fields, "vkeys")
    for vkey in listed:
        if not _VKEY.fullmatch(vkey):
            raise Refused("FIELD_VALUE", f'"{printable(vkey)}" is not a vkey: name+hash+key.')
    return listed


def _witness(fields: Fields) -> Witness:
    vkeys = _vkeys(fields, "vkeys", "quorum")
    quorum = _QUORUM[choice(fields, "quorum", tuple(_QUORUM))]
    if quorum > len(vkeys):
        text = f"A quorum of {quorum} of {len(vkeys)} witnesses can never be met."
        raise Refused("POLICY_THRESHOLD", text)
    return Witness(vkeys=vkeys, quorum=quorum)


def _policies(fields: Fields | None) -> dict[str, NamedPolicy]:
    found = {}
    for name in fields.values if fields else ():
        assert fields is not None
        if not _NAME.fullmatch(name):
            raise Refused("FIELD_VALUE", f'"{printable(name)}" is not the name of a policy.')
        entry = fields.section(name)
        known(entry, "version", "digest")
        version = positive(entry, "version")
        found[name] = NamedPolicy(version=version, sha256=entry.digest("digest"))
    return found
