"""Cases 23-26, 28, 30-32, 38 and 93: manifests held against a trust policy."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from auditor.provenance.keys import public_half
from auditor.trust import thresholds
from auditor.trust.authority import PolicyAuthority
from auditor.trust.terms import within

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
SOURCE = "vendor-a/reviews"
Judge = Callable[..., list[str]]


@pytest.fixture
def judge(world: Any, realm: Any, codes_of: Any) -> Judge:
    """Codes of a manifest with `details`, signed by `signing`, under an edited policy."""

    def judged(
        *signing: str,
        edit: Callable[[dict[str, Any]], Any] = lambda _: None,
        at: datetime = NOW,
        source: str = SOURCE,
        **details: Any,
    ) -> list[str]:
        document = realm.document()
        edit(document)
        payload = world.payload(source=source, details=details)
        envelope = world.sign(payload, *(realm.keys[name] for name in signing))
        authority = PolicyAuthority(realm.policy(document), at)
        verification = world.verify(envelope, authority=authority, now=at)
        assert verification.verified == (not verification.findings)
        return list(codes_of(verification))

    return judged


def terms(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda document: document["sources"][SOURCE].update(changes)


def test_the_key_of_the_source_is_taken(judge: Judge) -> None:
    assert judge("vendor-a.1") == []
    assert judge("vendor-b", "vendor-a.1") == []


def test_case_23_key_of_another_source(judge: Judge) -> None:
    """Vendor B signs a batch in the name of vendor A's source with its own good key."""
    assert judge("vendor-b") == ["SIGNATURE_THRESHOLD"]


def test_case_24_own_key_other_source_inside(world: Any, realm: Any, codes_of: Any) -> None:
    """A vendor signs a manifest of its own source and puts it into another source's inbox."""
    envelope = world.sign(world.payload(source="vendor-b/reviews"), realm.keys["vendor-b"])
    authority = PolicyAuthority(realm.policy(), NOW)
    verification = world.verify(envelope, authority=authority, source=SOURCE)
    assert codes_of(verification) == ["SOURCE_MISMATCH"]


def test_case_25_unknown_source(judge: Judge) -> None:
    """A source that the policy does not know sends a signed batch."""
    assert judge("vendor-a.1", source="vendor-c/reviews") == ["SOURCE_UNKNOWN"]


def test_case_26_one_key_twice(judge: Judge, realm: Any) -> None:
    """A threshold of two is to be met with two signatures of one key."""
    both = terms(keyids=realm.keyids("vendor-a.1", "vendor-b"), threshold=2)
    assert judge("vendor-a.1", "vendor-a.1", edit=both) == ["SIGNATURE_THRESHOLD"]
    assert judge("vendor-a.1", "vendor-b", edit=both) == []


def test_case_28_two_keys_one_principal(judge: Judge, realm: Any) -> None:
    """A threshold of two is to be met with two keys of one principal."""
    three = terms(keyids=realm.keyids("vendor-a.1", "vendor-a.2", "vendor-b"), threshold=2)
    assert judge("vendor-a.1", "vendor-a.2", edit=three) == ["SIGNATURE_THRESHOLD"]
    assert judge("vendor-a.2", "vendor-b", edit=three) == []


def dated(realm: Any, **changes: str) -> Callable[[dict[str, Any]], Any]:
    return lambda document: document["keys"][realm.keyid("vendor-a.1")].update(changes)


@pytest.mark.parametrize("field", ["revoked_at", "compromised_since"])
def test_case_30_revoked_key(judge: Judge, realm: Any, field: str) -> None:
    """A thief signs with a key after it was revoked."""
    edit = dated(realm, **{field: "2026-11-22T12:00:00Z"})
    assert judge("vendor-a.1", edit=edit) == ["KEY_REVOKED"]
    assert judge("vendor-a.1", edit=edit, at=NOW - timedelta(seconds=1)) == []


def test_case_30_a_revoked_key_beside_enough_good_ones(judge: Judge, realm: Any) -> None:
    """A revoked key among the signers neither counts nor spoils the others."""

    def edit(document: dict[str, Any]) -> None:
        terms(keyids=realm.keyids("vendor-a.1", "vendor-b"))(document)
        dated(realm, revoked_at="2026-11-01T00:00:00Z")(document)

    assert judge("vendor-a.1", "vendor-b", edit=edit) == []
    assert judge("vendor-a.1", edit=edit) == ["KEY_REVOKED"]


def test_case_31_expired_key(judge: Judge, realm: Any) -> None:
    """A key is used after its time; five minutes of skew are granted, no more."""
    assert judge("vendor-a.1", edit=dated(realm, not_after="2026-11-22T11:55:00Z")) == [
        "KEY_EXPIRED"
    ]
    assert judge("vendor-a.1", edit=dated(realm, not_after="2026-11-22T11:55:01Z")) == []


def test_case_32_key_not_yet_valid(judge: Judge, realm: Any) -> None:
    """A key is used before its time; five minutes of skew are granted, no more."""
    assert judge("vendor-a.1", edit=dated(realm, not_before="2026-11-22T12:05:01Z")) == [
        "KEY_NOT_YET_VALID"
    ]
    assert judge("vendor-a.1", edit=dated(realm, not_before="2026-11-22T12:05:00Z")) == []


def test_case_38_delegated_key_outside_its_prefix(judge: Judge) -> None:
    """A partner that may sign for partner/* signs for a vendor's source."""
    assert judge("partner", source="partner/anything") == []
    assert judge("partner", source="partner/deep/er") == []
    assert judge("partner") == ["SIGNATURE_THRESHOLD"]
    assert judge("partner", source="partners/x") == ["SOURCE_UNKNOWN"]


def test_case_38_a_source_with_terms_of_its_own_is_not_delegated(judge: Judge, realm: Any) -> None:
    """A delegation over vendor-a/* does not reach a source that the policy names itself."""

    def edit(document: dict[str, Any]) -> None:
        document["delegations"]["vendor-a/*"] = {"keyids": realm.keyids("partner"), "threshold": 1}

    assert judge("partner", edit=edit) == ["SIGNATURE_THRESHOLD"]
    assert judge("partner", edit=edit, source="vendor-a/other") == []


def test_a_delegation_that_does_not_end_hands_on_to_the_next(judge: Judge, realm: Any) -> None:
    for terminating, expected in ((False, []), (True, ["SIGNATURE_THRESHOLD"])):

        def edit(document: dict[str, Any], ends: bool = terminating) -> None:
            document["delegations"]["partner/q/*"] = {
                "keyids": realm.keyids("vendor-b"),
                "threshold": 1,
                "terminating": ends,
            }

        assert judge("vendor-b", edit=edit, source="partner/q/x") == []
        assert judge("partner", edit=edit, source="partner/q/x") == expected


def test_case_93_licence(judge: Judge) -> None:
    """A batch under a licence that the policy does not allow, or under none, is sent."""
    edit = terms(licenses=["CC-BY-4.0"])
    assert judge("vendor-a.1", edit=edit, license={"spdx": "CC-BY-4.0"}) == []
    assert judge("vendor-a.1", edit=edit, license={"spdx": "CC-BY-NC-4.0"}) == ["LICENCE"]
    for details in ({}, {"license": None}, {"license": {}}, {"license": {"spdx": ["CC-BY-4.0"]}}):
        assert judge("vendor-a.1", edit=edit, **details) == ["LICENCE"]


BROKEN: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    ({"suppliers": ["vendor-a"]}, {"supplier": {"id": "vendor-a"}}, []),
    ({"suppliers": ["vendor-a"]}, {"supplier": {"id": "vendor-b"}}, ["SUPPLIER"]),
    ({"suppliers": ["vendor-a"]}, {}, ["SUPPLIER"]),
    ({"suppliers": []}, {"supplier": {"id": "vendor-a"}}, ["SUPPLIER"]),
    ({"methods": ["crawl"]}, {"collection": {"method": "crawl"}}, []),
    ({"methods": ["crawl"]}, {"collection": {"method": "synthetic"}}, ["METHOD"]),
    ({"methods": ["crawl"]}, {}, ["METHOD"]),
    ({"schema": ["ab" * 32]}, {}, ["SCHEMA"]),
    ({"contributors": ["ann", "bob"]}, {}, []),
    ({"contributors": ["ann"]}, {}, ["CONTRIBUTOR_UNKNOWN"]),
    ({"row_provenance": "required"}, {}, []),
    ({"limits": {"rows": 4, "files": 2, "bytes": 11}}, {}, []),
    ({"limits": {"rows": 3, "files": 1, "bytes": 10}}, {}, ["SOURCE_LIMIT"] * 3),
    ({"max_age": "PT1H"}, {}, []),
    ({"uri_prefixes": ["https://x/"]}, {}, ["URI_PREFIX"]),
]


@pytest.mark.parametrize(("allowed", "details", "expected"), BROKEN)
def test_the_terms_of_a_source(
    judge: Judge, allowed: dict[str, Any], details: dict[str, Any], expected: list[str]
) -> None:
    assert judge("vendor-a.1", edit=terms(**allowed), **details) == expected


def test_a_manifest_that_is_too_old(judge: Judge) -> None:
    later = NOW + timedelta(seconds=1)
    assert judge("vendor-a.1", edit=terms(max_age="PT1H"), at=later) == ["MAX_AGE"]


def test_the_schema_that_is_allowed(judge: Judge, world: Any) -> None:
    fingerprint = json.loads(world.payload())["predicate"]["schema"]["fingerprint"]["sha256"]
    assert judge("vendor-a.1", edit=terms(schema=[fingerprint])) == []


@pytest.mark.parametrize(
    ("uri", "inside"),
    [
        ("https://x/data/y.csv", True),
        ("https://X/data/y.csv", True),
        ("https://x/data/", True),
        ("https://x/database/y.csv", False),
        ("https://x/data", False),
        ("http://x/data/y.csv", False),
        ("https://x:444/data/y.csv", False),
        ("https://x.evil/data/y.csv", False),
        ("https://x@evil/data/y.csv", False),
        ("https://x/data/../y.csv", False),
        ("https://x/data/%2e%2e/y.csv", False),
        ("https://x/data/%252e%252e/y.csv", False),
        ("https://x/data/..%2fy.csv", False),
        ("https://x/data/..\\y.csv", False),
        ("https://[x/data/y.csv", False),
    ],
)
def test_an_address_is_below_a_prefix_however_it_is_read(
    judge: Judge, uri: str, inside: bool
) -> None:
    assert within(uri, "https://x/data/") == inside
    found = judge(
        "vendor-a.1",
        edit=terms(uri_prefixes=["https://x/data/"]),
        collection={"uris": [{"uri": uri, "digest": {"sha256": "0" * 64}}]},
    )
    assert found == ([] if inside else ["URI_PREFIX"])


def test_voices_are_people_and_never_more_than_public_keys(realm: Any) -> None:
    policy = realm.policy()
    keys = policy.keys_of(["vendor-a", "vendor-b"])
    assert [len(keys), thresholds.voices(keys)] == [3, 2]


def test_an_unsigned_manifest_is_unsigned_under_a_policy_too(
    world: Any, realm: Any, codes_of: Any
) -> None:
    envelope = world.sign(world.payload()).replace(b'"signatures":[', b'"signatures":[],"x":[')
    verification = world.verify(envelope, authority=PolicyAuthority(realm.policy(), NOW))
    assert codes_of(verification) == ["UNSIGNED"]
    assert not verification.verified


def test_the_report_names_keys_and_people(world: Any, realm: Any) -> None:
    envelope = world.sign(world.payload(), realm.keys["vendor-a.1"])
    verification = world.verify(envelope, authority=PolicyAuthority(realm.policy(), NOW))
    assert verification.summary["principals"] == "vendor-a"
    assert verification.signers == (public_half(realm.keys["vendor-a.1"]).keyid,)
