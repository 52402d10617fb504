"""Decisions held against the policy: each thing they name, changed; each person who may not."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from auditor.lifecycle import decisions
from auditor.lifecycle.decisions import About, Decision, Kind
from auditor.provenance import dsse
from auditor.provenance.refused import Refused
from auditor.trust.parsing import parse
from auditor.trust.policy import TrustPolicy

NOON = dt.datetime.now(dt.UTC).replace(microsecond=0)
ABOUT = About(
    set_sha256="1" * 64, batch="lab/stones@b", batch_sha256="2" * 64, policy_sha256="3" * 64
)
DECISION = Decision(
    kind=Kind.RELEASE,
    about=ABOUT,
    rows=30,
    reason_code="intended-copies",
    reason="I asked the lab: it measured these stones twice on purpose.",
    created_on=NOON,
    expires_on=NOON + dt.timedelta(hours=72),
    waives=(("AUD-D001", "F0001"),),
    evidence=("4" * 64,),
)
HOUR = dt.timedelta(hours=1)


@pytest.fixture(scope="session")
def policy(people: Any) -> TrustPolicy:
    return parse(json.dumps(people.document()).encode())


@pytest.fixture
def signed(people: Any) -> Callable[..., bytes]:
    def sign(who: str, payload: bytes | None = None, **changes: Any) -> bytes:
        payload = payload or decisions.build(replace(DECISION, **changes))
        message = dsse.pae(dsse.IN_TOTO, payload)
        signature = dsse.Signature(people.keyid(who), people.keys[who].sign(message))
        return dsse.build(payload, dsse.IN_TOTO, [signature])

    return sign


def code(call: Callable[[], Any]) -> str:
    with pytest.raises(Refused) as refused:
        call()
    return refused.value.code


def test_a_decision_reads_back_as_it_was_written(policy: TrustPolicy, signed: Any) -> None:
    envelope = signed("ann")
    vote = decisions.vote(envelope, policy=policy, about=ABOUT, barred=(), at=NOON + HOUR)
    assert vote.decision == DECISION
    assert vote.principals == ("ann",)


def test_case_136_one_approver(policy: TrustPolicy, signed: Any) -> None:
    """One person alone agrees to a release."""
    alone = decisions.vote(signed("ann"), policy=policy, about=ABOUT, barred=(), at=NOON)
    assert code(lambda: decisions.require_enough([alone], policy)) == "DECISION_THRESHOLD"


def test_case_137_the_same_person_twice(policy: TrustPolicy, signed: Any) -> None:
    """The requester approves his own request, with another statement."""
    again = signed("ann", reason="A second statement, by the very same person.")
    votes = [
        decisions.vote(one, policy=policy, about=ABOUT, barred=(), at=NOON)
        for one in (signed("ann"), again)
    ]
    assert code(lambda: decisions.require_enough(votes, policy)) == "DECISION_THRESHOLD"
    bob = decisions.vote(signed("bob"), policy=policy, about=ABOUT, barred=(), at=NOON)
    decisions.require_enough([*votes, bob], policy)


def test_two_people_are_needed_whatever_the_policy_says(
    people: Any, policy: TrustPolicy, signed: Any
) -> None:
    roles = people.document()["roles"] | {"releaser": {"principals": ["ann"], "threshold": 1}}
    loose = parse(json.dumps(people.document(roles=roles)).encode())
    vote = decisions.vote(signed("ann"), policy=loose, about=ABOUT, barred=(), at=NOON)
    assert code(lambda: decisions.require_enough([vote], loose)) == "DECISION_THRESHOLD"


def test_case_138_the_contributor_approves(policy: TrustPolicy, signed: Any) -> None:
    """A releaser who may also sign for the source approves its rows."""
    barred = decisions.barred(policy, "lab/stones", ["bob"])
    assert barred == {"lab", "bob"}
    for who in sorted(barred):
        refused = code(
            lambda who=who: decisions.vote(
                signed(who), policy=policy, about=ABOUT, barred=barred, at=NOON
            )
        )
        assert refused == "DECISION_CONTRIBUTOR"


@pytest.mark.parametrize("who", ["gate", "status", "root-1", "stranger"])
def test_case_139_a_robot_approves(policy: TrustPolicy, signed: Any, who: str) -> None:
    """A service account, or somebody without that role, signs a decision."""
    refused = code(
        lambda: decisions.vote(signed(who), policy=policy, about=ABOUT, barred=(), at=NOON)
    )
    assert refused == "DECISION_PRINCIPAL"


def test_case_139_a_robot_is_made_a_releaser(people: Any) -> None:
    """The policy itself names a service account as releaser."""
    releaser = {"principals": ["ann", "gate"], "threshold": 2}
    document = people.document(roles=people.document()["roles"] | {"releaser": releaser})
    assert code(lambda: parse(json.dumps(document).encode())) == "POLICY_ROBOT"


@pytest.mark.parametrize(
    "change",
    [
        {"set_sha256": "f" * 64},
        {"batch": "lab/stones@c"},
        {"batch_sha256": "f" * 64},
        {"request_sha256": "f" * 64},
    ],
)
def test_case_140_a_decision_about_something_else(
    policy: TrustPolicy, signed: Any, change: dict[str, str]
) -> None:
    """An approval of another set, batch or request is shown for this one."""
    envelope = signed("bob", about=replace(ABOUT, **change))
    refused = code(lambda: decisions.vote(envelope, policy=policy, about=ABOUT, barred=(), at=NOON))
    assert refused == "DECISION_SET"


def test_case_141_a_decision_under_another_policy(policy: TrustPolicy, signed: Any) -> None:
    """An approval from before a change of the gate's policy is shown after it."""
    envelope = signed("bob", about=replace(ABOUT, policy_sha256="f" * 64))
    refused = code(lambda: decisions.vote(envelope, policy=policy, about=ABOUT, barred=(), at=NOON))
    assert refused == "DECISION_POLICY"


@pytest.mark.parametrize(
    ("after", "wanted"),
    [
        (dt.timedelta(hours=72) - dt.timedelta(seconds=1), None),
        (dt.timedelta(hours=72), "DECISION_EXPIRED"),
        (-dt.timedelta(minutes=6), "DECISION_EXPIRED"),
    ],
)
def test_case_142_an_old_decision(
    policy: TrustPolicy, signed: Any, after: dt.timedelta, wanted: str | None
) -> None:
    """An approval is used after 72 hours, or before it was made."""

    def vote() -> Any:
        at = NOON + after
        return decisions.vote(signed("bob"), policy=policy, about=ABOUT, barred=(), at=at)

    assert (code(vote) if wanted else vote() and None) == wanted


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"expires_on": NOON + dt.timedelta(hours=72, seconds=1)}, "TIME_ORDER"),
        ({"expires_on": NOON}, "TIME_ORDER"),
        ({"reason": "nineteen characters"}, "DECISION_REASON"),
        ({"reason": " " * 40}, "DECISION_REASON"),
        ({"reason_code": "because"}, "DECISION_REASON"),
        ({"reason_code": "emergency"}, "DECISION_REASON"),
        ({"kind": Kind.BREAK_GLASS}, "DECISION_REASON"),
        ({"evidence": ("E3",)}, "DIGEST_ALGORITHM"),
    ],
)
def test_what_no_decision_may_say(changes: dict[str, Any], wanted: str) -> None:
    assert code(lambda: decisions.build(replace(DECISION, **changes))) == wanted


def test_a_misspelt_field_is_not_ignored(policy: TrustPolicy, signed: Any) -> None:
    document = json.loads(decisions.build(DECISION))
    document["predicate"]["expiresOnn"] = document["predicate"].pop("expiresOn")
    envelope = signed("ann", json.dumps(document).encode())
    refused = code(lambda: decisions.vote(envelope, policy=policy, about=ABOUT, barred=(), at=NOON))
    assert refused == "FIELD_UNKNOWN"


def test_a_revoked_key_no_longer_decides(people: Any, signed: Any) -> None:
    document = people.document()
    document["keys"][people.keyid("ann")]["revoked_at"] = f"{NOON:%Y-%m-%dT%H:%M:%SZ}"
    policy = parse(json.dumps(document).encode())
    refused = code(
        lambda: decisions.vote(signed("ann"), policy=policy, about=ABOUT, barred=(), at=NOON)
    )
    assert refused == "KEY_REVOKED"
