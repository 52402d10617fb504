"""The `keys` of a policy: each key once, under its own name, strong enough to mean something."""

from __future__ import annotations

import re
from typing import Final

from auditor.provenance.fields import Fields
from auditor.provenance.keys import KINDS, PublicKey, public_key
from auditor.provenance.refused import KeyRefused, Refused, printable
from auditor.trust.policy import TrustedKey
from auditor.trust.strictness import known

_FIELDS: Final = (
    *("keytype", "public", "principal", "not_before", "not_after"),
    *("revoked_at", "compromised_since"),
)
#: As the ledger takes it.
PRINCIPAL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@/+-]{0,127}")
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})+")


def keys_of(fields: Fields) -> dict[str, TrustedKey]:
    """Every key by its id.

    Raises:
        Refused: POLICY_KEY_TYPE, POLICY_WEAK_KEY, POLICY_KEY_TWICE, POLICY_KEYID, KEY_FORMAT or a
            FIELD code.
    """
    found = {keyid: _key(fields.section(keyid), keyid) for keyid in fields.values}
    _require_distinct(found)
    for keyid, key in found.items():
        if keyid != key.public.keyid:
            text = f'The key "{printable(keyid)}" has the id {key.public.keyid}.'
            raise Refused("POLICY_KEYID", text)
    return found


def _key(entry: Fields, keyid: str) -> TrustedKey:
    known(entry, *_FIELDS)
    key = TrustedKey(
        keyid=keyid,
        public=_public(entry),
        principal=_principal(entry),
        not_before=entry.time("not_before"),
        not_after=entry.time("not_after"),
        revoked_at=entry.time("revoked_at") if entry.has("revoked_at") else None,
        compromised_since=(
            entry.time("compromised_since") if entry.has("compromised_since") else None
        ),
    )
    if key.not_before >= key.not_after:
        raise Refused("TIME_ORDER", f"{entry.where} ends before it begins.")
    return key


def _public(entry: Fields) -> PublicKey:
    kind, text = entry.text("keytype"), entry.text("public")
    if kind not in KINDS:
        found = f'{entry.where}.keytype is "{printable(kind)}"; it is one of {", ".join(KINDS)}.'
        raise Refused("POLICY_KEY_TYPE", found)
    if not _HEX.fullmatch(text):
        raise Refused("KEY_FORMAT", f"{entry.where}.public must be lowercase hex.")
    try:
        key = public_key(text.encode())
    except KeyRefused as refused:
        raise Refused(refused.code, f"{entry.where}: {refused.message}") from refused
    if key.kind != kind:
        raise Refused("POLICY_KEY_TYPE", f"{entry.where} is a key of type {key.kind}.")
    return key


def _principal(entry: Fields) -> str:
    text = entry.text("principal")
    if not PRINCIPAL.fullmatch(text):
        raise Refused("FIELD_VALUE", f'{entry.where}.principal "{printable(text)}" is no name.')
    return text


def _require_distinct(found: dict[str, TrustedKey]) -> None:
    seen: dict[PublicKey, str] = {}
    for keyid, key in found.items():
        other = seen.setdefault(key.public, keyid)
        if other != keyid:
            text = f'"{printable(other)}" and "{printable(keyid)}" are one public key.'
            raise Refused("POLICY_KEY_TWICE", text)
