"""Cases 26-29 of the trust design on the document itself, and every other way it can be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from auditor.provenance.keys import public_key
from auditor.provenance.refused import Refused
from auditor.trust.parsing import parse

Edit = Callable[[Any, dict[str, Any]], Any]


def refusal(realm: Any, edit: Edit) -> str:
    """The code that an edited policy is refused with."""
    document = realm.document()
    edit(realm, document)
    with pytest.raises(Refused) as caught:
        parse(json.dumps(document).encode())
    return caught.value.code


def rekey(name: str, **changes: Any) -> Edit:
    return lambda r, d: d["keys"][r.keyid(name)].update(changes)


def source(**changes: Any) -> Edit:
    return lambda _, d: d["sources"]["vendor-a/reviews"].update(changes)


def role(name: str, **changes: Any) -> Edit:
    return lambda _, d: d["roles"][name].update(changes)


def named(**changes: Any) -> Edit:
    return lambda _, d: d["policies"]["prod"].update(changes)


def rename_key(realm: Any, document: dict[str, Any]) -> None:
    document["keys"]["a" * 64] = document["keys"].pop(realm.keyid("cat"))


def name_twice(realm: Any, document: dict[str, Any]) -> None:
    document["root"]["keyids"] = realm.keyids("root-1", "root-1")


def test_an_honest_policy_is_read_as_it_was_written(realm: Any) -> None:
    terms = {
        "suppliers": ["vendor-a"],
        "licenses": ["CC-BY-4.0"],
        "methods": ["api-export"],
        "uri_prefixes": ["https://x/"],
        "schema": ["ab" * 32],
        "sequence": "monotonic",
        "max_age": "P7D",
        "limits": {"files": 10000, "bytes": 8589934592, "decoded_bytes": 34359738368},
        "row_provenance": "required",
        "trust": "baseline",
    }
    document = realm.document()
    document["sources"]["vendor-a/reviews"].update(terms)
    policy = parse(json.dumps(document).encode())
    found = policy.source("vendor-a/reviews")
    assert (policy.version, policy.unsigned, policy.root.threshold) == (1, "hold", 2)
    assert found.suppliers == {"vendor-a"}
    assert found.max_age == timedelta(days=7)
    assert (found.limits.files, found.limits.rows) == (10000, None)
    assert (found.sequence, found.row_provenance, found.trust) == (
        *("monotonic", "required", "baseline"),
    )
    assert policy.roles.gate.verifiers == ("https://site.example/gate/prod",)
    assert policy.roles.releaser.principals == ("ann", "bob", "cat")
    assert policy.policies["prod"].version == 7
    assert policy.principals(policy.root) == {"root-1", "root-2", "root-3"}
    assert [key.principal for key in policy.keys_of(["ann"])] == ["ann"]


def test_case_27_one_public_key_under_two_keyids(realm: Any) -> None:
    """One public key stands in the policy under two key ids, to be counted twice."""

    def edit(r: Any, d: dict[str, Any]) -> None:
        d["keys"]["f" * 64] = r.entry("vendor-a.1", principal="vendor-a")

    assert refusal(realm, edit) == "POLICY_KEY_TWICE"


def test_case_27_one_public_key_under_two_principals(realm: Any) -> None:
    """One public key belongs to two people, so that one person is a quorum."""

    def edit(r: Any, d: dict[str, Any]) -> None:
        d["keys"]["f" * 64] = r.entry("root-1", principal="root-9")

    assert refusal(realm, edit) == "POLICY_KEY_TWICE"


def test_case_27_two_spellings_of_one_p256_point(realm: Any) -> None:
    """One P-256 key is written down compressed and uncompressed, under two key ids."""
    point = ec.generate_private_key(ec.SECP256R1()).public_key()
    forms = (PublicFormat.CompressedPoint, PublicFormat.UncompressedPoint)

    def edit(r: Any, d: dict[str, Any]) -> None:
        for number, form in enumerate(forms):
            text = point.public_bytes(Encoding.X962, form).hex()
            entry = r.entry("ann", keytype="ecdsa-p256", public=text, principal=f"p{number}")
            d["keys"][public_key(text.encode()).keyid if number else "e" * 64] = entry

    assert refusal(realm, edit) == "POLICY_KEY_TWICE"


def test_case_28_a_threshold_that_one_principal_would_meet(realm: Any) -> None:
    """A source wants two signatures and lists two keys of the same principal."""

    def edit(r: Any, d: dict[str, Any]) -> None:
        two = r.keyids("vendor-a.1", "vendor-a.2")
        d["sources"]["vendor-a/reviews"].update(keyids=two, threshold=2)

    assert refusal(realm, edit) == "POLICY_THRESHOLD"


@pytest.mark.parametrize("raw", ["00" * 32, "01" + "00" * 31, "ec" + "ff" * 30 + "7f"])
def test_case_29_small_order_key(realm: Any, raw: str) -> None:
    """A key under which anybody can forge signatures is put into the policy."""
    assert refusal(realm, rekey("vendor-a.1", public=raw)) == "POLICY_WEAK_KEY"


@pytest.mark.parametrize("bits", [1024, 2048, 3072])
def test_case_29_rsa_of_any_size_is_an_unknown_key_type(realm: Any, bits: int) -> None:
    """An RSA key, too short or not, is put into the policy."""
    key = rsa.generate_private_key(65537, bits).public_key()
    text = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo).hex()
    assert refusal(realm, rekey("vendor-a.1", keytype="rsa", public=text)) == "POLICY_KEY_TYPE"
    assert refusal(realm, rekey("vendor-a.1", public=text)) == "KEY_FORMAT"


def _drop(*path: str) -> Edit:
    def edit(_: Any, document: dict[str, Any]) -> None:
        for part in path[:-1]:
            document = document[part]
        del document[path[-1]]

    return edit


WRONG: list[tuple[str, Edit, str]] = [
    ("another type", lambda _, d: d.update(_type="x"), "PREDICATE_TYPE"),
    ("a misspelt field", lambda _, d: d.update(expiress="x"), "FIELD_UNKNOWN"),
    ("a misspelt restriction", source(licences=["MIT"]), "FIELD_UNKNOWN"),
    ("a misspelt limit", source(limits={"row": 1}), "FIELD_UNKNOWN"),
    ("a misspelt date", rekey("ann", revoked="x"), "FIELD_UNKNOWN"),
    ("an unknown role", lambda _, d: d["roles"].update(boss={}), "FIELD_UNKNOWN"),
    ("no expiry", _drop("expires"), "FIELD_MISSING"),
    ("no root", _drop("root"), "FIELD_MISSING"),
    ("no threshold", _drop("root", "threshold"), "FIELD_MISSING"),
    ("threshold 0", lambda _, d: d["root"].update(threshold=0), "FIELD_VALUE"),
    ("threshold true", lambda _, d: d["root"].update(threshold=True), "FIELD_TYPE"),
    ("threshold 1.5", lambda _, d: d["root"].update(threshold=1.5), "FIELD_TYPE"),
    ("version 0", lambda _, d: d.update(version=0), "FIELD_VALUE"),
    ("root without keys", lambda _, d: d["root"].update(keyids=[]), "POLICY_THRESHOLD"),
    ("root of 4 of 3", lambda _, d: d["root"].update(threshold=4), "POLICY_THRESHOLD"),
    ("one keyid twice", name_twice, "FIELD_VALUE"),
    ("a key that is not there", source(keyids=["a" * 64]), "POLICY_KEY_UNKNOWN"),
    ("a key under another id", rename_key, "POLICY_KEYID"),
    ("a key of the wrong type", rekey("ann", keytype="ecdsa-p256"), "POLICY_KEY_TYPE"),
    ("a key type in capitals", rekey("ann", keytype="Ed25519"), "POLICY_KEY_TYPE"),
    ("a key in capitals", rekey("ann", public="AB" * 32), "KEY_FORMAT"),
    ("half a key", rekey("ann", public="ab" * 31), "KEY_FORMAT"),
    ("a principal with a newline", rekey("ann", principal="ann\n"), "FIELD_VALUE"),
    (
        "a key that ends before it begins",
        rekey("ann", not_after="2026-01-01T00:00:00Z"),
        "TIME_ORDER",
    ),
    ("a date without zone", rekey("ann", revoked_at="2026-01-01T00:00:00"), "TIME_FORMAT"),
    ("a source with a way out", lambda _, d: d["sources"].update({"../x": {}}), "FIELD_VALUE"),
    ("a source with a star", lambda _, d: d["sources"].update({"x/*": {}}), "FIELD_VALUE"),
    ("a source of releases", lambda _, d: d["sources"].update({"release/x": {}}), "FIELD_VALUE"),
    ("all sources delegated", lambda _, d: d["delegations"].update({"*": {}}), "FIELD_VALUE"),
    ("releases delegated", lambda _, d: d["delegations"].update({"release/*": {}}), "FIELD_VALUE"),
    ("a pattern inside a name", lambda _, d: d["delegations"].update({"a/b*": {}}), "FIELD_VALUE"),
    ("terminating in a source", source(terminating=True), "FIELD_UNKNOWN"),
    ("an open address", source(uri_prefixes=["https://x"]), "FIELD_VALUE"),
    ("an address of another kind", source(uri_prefixes=["file:///"]), "FIELD_VALUE"),
    ("an address with a user", source(uri_prefixes=["https://x@y/"]), "FIELD_VALUE"),
    ("an age in years", source(max_age="P1Y"), "FIELD_VALUE"),
    ("a limit of 0", source(limits={"rows": 0}), "FIELD_VALUE"),
    ("half a fingerprint", source(schema=["ab"]), "DIGEST_ALGORITHM"),
    ("sequence loose", source(sequence="loose"), "FIELD_VALUE"),
    ("two releasers, one named", role("releaser", principals=["ann"]), "POLICY_THRESHOLD"),
    ("a releaser without key", role("releaser", principals=["ann", "x"]), "POLICY_KEY_UNKNOWN"),
    ("the gate as releaser", role("releaser", principals=["ann", "gate"]), "POLICY_ROBOT"),
    ("a quorum of nobody", role("witness", quorum="1"), "POLICY_THRESHOLD"),
    ("a vkey with a space", role("ledger", vkeys=["a b+00000000+AAAA"]), "FIELD_VALUE"),
    ("a policy by half a digest", named(digest={"sha256": "0"}), "DIGEST_ALGORITHM"),
    ("unsigned: yes", lambda _, d: d.update(unsigned="yes"), "FIELD_VALUE"),
]


@pytest.mark.parametrize(("edit", "code"), [pytest.param(e, c, id=w) for w, e, c in WRONG])
def test_a_policy_that_contradicts_itself_is_refused(realm: Any, edit: Edit, code: str) -> None:
    assert refusal(realm, edit) == code


def test_a_duplicate_json_key_is_refused(realm: Any) -> None:
    payload = json.dumps(realm.document()).replace('"version"', '"version": 9, "version"')
    with pytest.raises(Refused, match="JSON_DUPLICATE_KEY"):
        parse(payload.encode())


def test_the_closest_pattern_speaks_first_and_a_terminating_one_last(realm: Any) -> None:
    terms = {"keyids": realm.keyids("partner"), "threshold": 1}
    patterns = {"p/*": terms, "p/q/*": terms | {"terminating": False}, "p/q/r/*": terms}
    policy = realm.policy(realm.document(delegations=patterns))

    def found(name: str) -> list[str | None]:
        return [candidate.delegation for candidate in policy.candidates(name)]

    assert found("p/x") == ["p/*"]
    assert found("p/q/x") == ["p/q/*", "p/*"]
    assert found("p/q/r/x") == ["p/q/r/*"]
    for name in ("p", "pp/x", "P/x", "x/p/q"):
        with pytest.raises(Refused, match="SOURCE_UNKNOWN"):
            policy.candidates(name)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key or index) inside a JSON document."""
    if isinstance(value, dict):
        inside = [place for child in value.values() for place in places(child)]
        return [(value, key) for key in value] + inside
    if isinstance(value, list):
        inside = [place for child in value for place in places(child)]
        return [(value, index) for index in range(len(value))] + inside
    return []


SCALARS = st.none() | st.booleans() | st.integers(-1, 3) | st.text(max_size=3) | st.floats()
ODD = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.text(max_size=3), SCALARS)


@given(data=st.data())
def test_whatever_stands_there_it_is_a_policy_or_refused(realm: Any, data: st.DataObject) -> None:
    document = realm.document()
    document["sources"]["vendor-a/reviews"] |= {"limits": {"rows": 1}, "max_age": "P7D"}
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(places(document)))
        container[key] = data.draw(ODD)
    try:
        policy = parse(json.dumps(document).encode())
    except Refused:
        return
    for role in (policy.root, *policy.sources.values(), *policy.delegations.values()):
        assert len(policy.principals(role)) >= role.threshold >= 1
