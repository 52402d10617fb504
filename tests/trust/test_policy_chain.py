"""Cases 33-37: from the pinned version to the one in force, and nowhere else."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from auditor.provenance import dsse
from auditor.provenance.digests import sha256
from auditor.provenance.refused import Refused
from auditor.trust import chain
from auditor.trust.chain import Seen
from auditor.trust.policy import TrustPolicy

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


def pin_of(envelope: bytes) -> str:
    return sha256(dsse.parse(envelope).payload)


def code_of(*envelopes: bytes, pin: str | None = None, seen: Seen | None = None) -> str:
    """The code that a chain is refused with."""
    with pytest.raises(Refused) as caught:
        chain.walk(envelopes, pin=pin or pin_of(envelopes[0]), now=NOW, seen=seen)
    return caught.value.code


def rotated(realm: Any, **changes: Any) -> dict[str, Any]:
    """Version 2: root-1 leaves, root-4 comes."""
    root = {"keyids": realm.keyids("root-2", "root-3", "root-4"), "threshold": 2}
    return realm.document(**{"version": 2, "root": root} | changes)


@pytest.fixture(scope="module")
def first(realm: Any) -> bytes:
    return realm.sign(realm.document(), "root-1", "root-2")


def test_a_rotation_signed_by_old_and_new_root_is_followed(realm: Any, first: bytes) -> None:
    second = realm.sign(rotated(realm), "root-1", "root-2", "root-4")
    third = realm.sign(rotated(realm, version=3), "root-3", "root-4")
    policy = chain.walk([first, second, third], pin=pin_of(first), now=NOW)
    assert (policy.version, policy.sha256) == (3, pin_of(third))
    assert chain.walk([second, third], pin=pin_of(second), now=NOW) == policy
    assert chain.walk([third], pin=pin_of(third), now=NOW) == policy


def test_case_33_policy_expired(realm: Any, first: bytes) -> None:
    """The gate is kept on an old policy until long after it has expired."""
    old = realm.sign(realm.document(expires="2026-11-22T12:00:00Z"), "root-1", "root-2")
    assert code_of(old) == "POLICY_EXPIRED"
    just = realm.sign(realm.document(expires="2026-11-22T12:00:01Z"), "root-1", "root-2")
    assert chain.walk([just], pin=pin_of(just), now=NOW).version == 1


def test_an_expired_version_is_still_a_step_on_the_way(realm: Any) -> None:
    old = realm.sign(realm.document(expires="2026-02-01T00:00:00Z"), "root-1", "root-2")
    new = realm.sign(realm.document(version=2), "root-1", "root-2")
    assert chain.walk([old, new], pin=pin_of(old), now=NOW).version == 2


def test_case_34_version_lower_than_seen(realm: Any, first: bytes) -> None:
    """Yesterday's policy, in which a revoked key is still good, is put back."""
    assert code_of(first, seen=Seen(2, "0" * 64)) == "POLICY_ROLLBACK"
    second = realm.sign(realm.document(version=2), "root-1", "root-2")
    assert code_of(first, second, first) == "POLICY_ROLLBACK"
    assert code_of(first, first) == "POLICY_ROLLBACK"


def test_case_34_same_version_another_document(realm: Any, first: bytes) -> None:
    """The root signs two policies of one version and shows each to another gate."""
    assert code_of(first, seen=Seen(1, "0" * 64)) == "POLICY_EQUIVOCATION"
    seen = Seen(1, pin_of(first))
    assert chain.walk([first], pin=pin_of(first), now=NOW, seen=seen).version == 1


def test_case_36_a_step_on_the_way_signed_by_one_side_only(realm: Any, first: bytes) -> None:
    """The old root hands over to keys whose owners never agreed, two versions ago."""
    second = realm.sign(rotated(realm), "root-1", "root-2")
    third = realm.sign(rotated(realm, version=3), "root-2", "root-4")
    assert code_of(first, second, third) == "POLICY_SIGNATURE"
    agreed = realm.sign(rotated(realm), "root-1", "root-2", "root-4")
    assert chain.walk([first, agreed, third], pin=pin_of(first), now=NOW).version == 3


def test_case_36_keys_stolen_after_their_replacement(realm: Any, first: bytes) -> None:
    """Whoever finds the retired root keys branches off before they were replaced."""
    second = realm.sign(rotated(realm), "root-1", "root-2", "root-4")
    seen = Seen(2, pin_of(second))
    forged = [
        realm.sign(realm.document(version=version, unsigned="note"), "root-1", "root-3")
        for version in (2, 3, 4)
    ]
    assert chain.walk([first, *forged], pin=pin_of(first), now=NOW).version == 4
    assert code_of(first, *forged, seen=seen) == "POLICY_EQUIVOCATION"
    assert code_of(first, second, *forged[1:], seen=seen) == "POLICY_SIGNATURE"
    third = realm.sign(rotated(realm, version=3), "root-2", "root-4")
    assert chain.walk([first, second, third], pin=pin_of(first), now=NOW, seen=seen).version == 3
    assert chain.walk([third], pin=pin_of(third), now=NOW, seen=seen).version == 3


def test_case_35_version_plus_two(realm: Any, first: bytes) -> None:
    """A version is left out, and with it what it revoked."""
    third = realm.sign(realm.document(version=3), "root-1", "root-2")
    assert code_of(first, third) == "POLICY_GAP"


@pytest.mark.parametrize(
    ("signers", "which"),
    [
        (("root-3", "root-4"), "new root only"),
        (("root-1", "root-2"), "old root only"),
        (("root-1", "root-4"), "one of each"),
        (("root-2", "root-2"), "one key twice"),
        (("vendor-a.1", "vendor-b", "gate"), "strangers"),
        ((), "nobody"),
    ],
)
def test_case_36_new_policy_signed_by_one_side_only(
    realm: Any, first: bytes, signers: tuple[str, ...], which: str
) -> None:
    """Whoever holds the new keys, or the old ones, makes a policy alone."""
    assert code_of(first, realm.sign(rotated(realm), *signers)) == "POLICY_SIGNATURE", which


def test_case_37_policy_file_edited(realm: Any, first: bytes) -> None:
    """Somebody with access to the disk raises a limit in the policy file."""
    document = json.loads(first)
    payload = base64.b64decode(document["payload"]).replace(b'"hold"', b'"note"')
    edited = json.dumps(document | {"payload": base64.b64encode(payload).decode()}).encode()
    assert payload != dsse.parse(first).payload
    assert code_of(edited, pin=pin_of(first)) == "POLICY_SIGNATURE"
    assert code_of(edited) == "POLICY_SIGNATURE"
    second = json.loads(realm.sign(realm.document(version=2), "root-1", "root-2"))
    payload = base64.b64decode(second["payload"]).replace(b'"hold"', b'"note"')
    edited = json.dumps(second | {"payload": base64.b64encode(payload).decode()}).encode()
    assert code_of(first, edited) == "POLICY_SIGNATURE"


def test_a_whole_policy_of_somebody_else_is_not_the_pinned_one(realm: Any, first: bytes) -> None:
    """No trust on first use: a policy that is sound in itself, with other root keys."""
    root = {"keyids": realm.keyids("vendor-b"), "threshold": 1}
    other = realm.sign(realm.document(root=root), "vendor-b")
    assert code_of(other, pin=pin_of(first)) == "POLICY_PIN"


@pytest.mark.parametrize("field", ["revoked_at", "compromised_since"])
def test_a_revoked_root_key_signs_nothing(realm: Any, first: bytes, field: str) -> None:
    document = realm.document(version=2)
    document["keys"][realm.keyid("root-1")][field] = "2026-11-20T00:00:00Z"
    assert code_of(first, realm.sign(document, "root-1", "root-2")) == "POLICY_SIGNATURE"
    second = realm.sign(document, "root-1", "root-2", "root-3")
    assert chain.walk([first, second], pin=pin_of(first), now=NOW).version == 2
    third = realm.sign(realm.document(version=3), "root-1", "root-2")
    assert code_of(first, second, third) == "POLICY_SIGNATURE"


def test_a_root_key_whose_time_is_over_keeps_no_policy_in_force(realm: Any) -> None:
    document = realm.document()
    for name in ("root-2", "root-3"):
        document["keys"][realm.keyid(name)]["not_after"] = "2026-11-01T00:00:00Z"
    assert code_of(realm.sign(document, "root-1", "root-2")) == "POLICY_SIGNATURE"


def test_a_statement_is_no_policy_and_a_policy_no_statement(realm: Any, first: bytes) -> None:
    opened = dsse.parse(first)
    as_statement = dsse.build(opened.payload, dsse.IN_TOTO, opened.signatures)
    assert code_of(as_statement) == "DSSE_PAYLOAD_TYPE"


class Folder(dict[str, bytes]):
    """Files by name, as `resolve` reads them."""

    def resolve(self, pin: str, seen: Seen | None = None) -> TrustPolicy:
        return chain.resolve(self.get, "trust.dsse.json", pin=pin, now=NOW, seen=seen)


def test_resolve_walks_from_the_pin_to_the_newest_file(realm: Any, first: bytes) -> None:
    versions = [realm.sign(realm.document(version=n), "root-1", "root-3") for n in (2, 3, 4)]
    names = ("trust.1.dsse.json", "trust.2.dsse.json", "trust.3.dsse.json", "trust.dsse.json")
    folder = Folder(zip(names, [first, *versions], strict=True))
    for pinned in (first, *versions):
        assert folder.resolve(pin_of(pinned)).version == 4
    with pytest.raises(Refused, match="POLICY_PIN"):
        folder.resolve("0" * 64)
    del folder["trust.2.dsse.json"]
    assert folder.resolve(pin_of(versions[1])).version == 4
    with pytest.raises(Refused, match="POLICY_GAP"):
        folder.resolve(pin_of(first))
    folder["trust.2.dsse.json"] = versions[1]
    with pytest.raises(Refused, match="POLICY_GAP"):
        folder.resolve(pin_of(first))
    with pytest.raises(Refused, match="POLICY_MISSING"):
        Folder().resolve(pin_of(first))


def test_misuse_is_an_error_of_the_caller(first: bytes) -> None:
    with pytest.raises(ValueError, match="chain"):
        chain.walk([], pin="", now=NOW)
    with pytest.raises(ValueError, match="zone"):
        chain.walk([first], pin="", now=(NOW + timedelta(0)).replace(tzinfo=None))
