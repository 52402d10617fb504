"""The next version of a policy as a JSON document: made from a few facts, changed, numbered.

What comes out is only a draft. It is read by `parsing.parse` like any other before it is written,
so nothing is signed that nobody would accept.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auditor.provenance import strict_json
from auditor.provenance.keys import PublicKey
from auditor.provenance.refused import Refused, printable
from auditor.provenance.times import format_time
from auditor.trust.parsing import parse
from auditor.trust.policy import POLICY_TYPE, TrustPolicy

Document = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What a first policy is made of. People are named by principal; `keys` says what they hold.

    `sources` maps a source to the principals who may sign for it, any one of them. `ledger` holds
    verifier keys (`name+hash+key`).
    """

    keys: Sequence[tuple[str, PublicKey]]
    root: Sequence[str]
    root_threshold: int
    sources: Mapping[str, Sequence[str]]
    gate: Sequence[str] = ()
    verifiers: Sequence[str] = ()
    status: Sequence[str] = ()
    releasers: Sequence[str] = ()
    ledger: Sequence[str] = ()
    unsigned: str = "hold"


def first(said: Beginning, *, now: datetime, expires: datetime, keys_until: datetime) -> Document:
    """Version 1.

    Raises:
        Refused: POLICY_KEY_UNKNOWN for a person without a key, POLICY_KEY_TWICE for a key with two
            owners; see `written` for the rest.
    """
    held = _Held(said.keys)
    return {
        "_type": POLICY_TYPE,
        "version": 1,
        "expires": format_time(expires),
        "root": {"keyids": held.keyids(said.root), "threshold": said.root_threshold},
        "keys": {key.keyid: entry(who, key, now, keys_until) for who, key in said.keys},
        "sources": {
            name: {"keyids": held.keyids(owners), "threshold": 1}
            for name, owners in said.sources.items()
        },
        "delegations": {},
        "roles": {
            "gate": {
                "keyids": held.keyids(said.gate),
                "threshold": 1,
                "verifiers": list(said.verifiers),
            },
            "releaser": {"principals": list(said.releasers), "threshold": 2},
            "ledger": {"vkeys": list(said.ledger)},
            "status": {"keyids": held.keyids(said.status), "threshold": 1},
            "witness": {"vkeys": [], "quorum": "none"},
        },
        "policies": {},
        "unsigned": said.unsigned,
    }


def entry(principal: str, key: PublicKey, begins: datetime, ends: datetime) -> Document:
    """A key as it stands under `keys`."""
    return {
        "keytype": key.kind,
        "public": key.raw.hex(),
        "principal": principal,
        "not_before": format_time(begins),
        "not_after": format_time(ends),
        "revoked_at": None,
        "compromised_since": None,
    }


def successor(document: Document, old: TrustPolicy, *, expires: datetime) -> Document:
    """The same as the version after `old`."""
    changed = copy.deepcopy(document)
    changed["version"] = old.version + 1
    changed["expires"] = format_time(expires)
    return changed


def ended(document: Document, keyid: str, field: str, at: datetime) -> Document:
    """The same with `revoked_at` or `compromised_since` of a key set.

    Raises:
        Refused: POLICY_KEY_UNKNOWN.
    """
    changed = copy.deepcopy(document)
    if keyid not in changed["keys"]:
        raise Refused("POLICY_KEY_UNKNOWN", f'There is no key "{printable(keyid)}".')
    changed["keys"][keyid][field] = format_time(at)
    return changed


def approved(document: Document, name: str, version: int, digest: str) -> Document:
    """The same with settings approved: their name, version and policy digest."""
    changed = copy.deepcopy(document)
    changed.setdefault("policies", {})[name] = {"version": version, "digest": {"sha256": digest}}
    return changed


def written(document: Document) -> bytes:
    """The canonical payload (RFC 8785), ready to be signed.

    Raises:
        Refused: what a reader would refuse, with the same code.
    """
    payload = strict_json.canonical(document)
    parse(payload)
    return payload


class _Held:
    """Who holds which keys."""

    def __init__(self, keys: Iterable[tuple[str, PublicKey]]) -> None:
        self._keyids: dict[str, list[str]] = {}
        owners: dict[str, str] = {}
        for who, key in keys:
            if key.keyid in owners:
                names = f'"{printable(owners[key.keyid])}" and "{printable(who)}"'
                raise Refused("POLICY_KEY_TWICE", f"{names} were given the same key.")
            owners[key.keyid] = who
            self._keyids.setdefault(who, []).append(key.keyid)

    def keyids(self, principals: Iterable[str]) -> list[str]:
        missing = [who for who in principals if who not in self._keyids]
        if missing:
            raise Refused("POLICY_KEY_UNKNOWN", f'No key was given for "{printable(missing[0])}".')
        return [keyid for who in principals for keyid in self._keyids[who]]
