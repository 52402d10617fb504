"""What people said is no attack: signed, limited, listed; never for what cannot be excused."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor.lifecycle import suppressions
from auditor.lifecycle.suppressions import Suppression
from auditor.model import Finding, Outcome, Severity, row_table
from auditor.provenance.digests import sha256
from auditor.provenance.refused import Refused
from auditor.suppressing import Excused, suppressed

pytestmark = pytest.mark.slow

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
RULE = "AUD-D001"
WHY = "The lab measures every stone of this series twice."


def entry(scope: str = "column", value: str = "x", days: float = 30, **changes: Any) -> Suppression:
    said: dict[str, Any] = {
        "rule": RULE,
        "scope": scope,
        "value": value,
        "reason": WHY,
        "approver": "ann",
        "expires_on": NOW + dt.timedelta(days=days),
    }
    return Suppression(**(said | changes))


def written(world: Any, *entries: dict[str, Any], name: str = ".auditorignore.yaml") -> Path:
    """A list as a person writes it: JSON is YAML."""
    base = {
        "rule": RULE,
        "reason": WHY,
        "approver": "ann",
        "expires": f"{NOW + dt.timedelta(days=30):%Y-%m-%d}",
    }
    listed = [{k: v for k, v in (base | one).items() if v is not None} for one in entries]
    path: Path = world.site.write(name, json.dumps({"suppressions": listed}))
    return path


def signed(world: Any, source: Path, *people: str) -> str:
    """The list signed by these people, one after the other."""
    for number, who in enumerate(people):
        asked = (source, "-o", "said.dsse.json") if not number else ("said.dsse.json",)
        done = world.site.call("suppressions", "sign", *asked, "--key", world.key(who))
        assert done.code == 0, done.err
    return "said.dsse.json"


def fresh(world: Any, extra: int = 30) -> Path:
    """Another batch of which rows would be set aside; nobody vouches for it."""
    path: Path = world.site.write(
        "in/new.parquet", world.site.copies(world.site.rows(200, 8), extra)
    )
    return path


def gate(world: Any, data: Path, **settings: Any) -> Any:
    world.site.configure(**settings)
    return world.site.call("gate", data, "-q")


def digest(path: Path) -> str:
    return sha256(path.read_bytes())


def test_signed_by_a_releaser_a_batch_is_excused_and_the_report_lists_it(world: Any) -> None:
    data = fresh(world)
    assert gate(world, data).code == 10
    before = world.site.report()["reproduce"]["policy_sha256"]
    listed = signed(world, written(world, {"content": digest(data)}), "bob")
    done = gate(world, data, suppressions=listed)
    assert done.code == 0, done.out + done.err
    report = world.site.report()
    (one,) = report["suppressions"]
    assert (one["rule"], one["signers"], one["expired"]) == (RULE, ["bob"], False)
    assert one["findings"] >= 1
    assert one["rows"] >= 30
    (found, *_) = [f for f in report["findings"] if f["rule"] == RULE]
    assert found["effect"] == "note"
    assert WHY in found["reason"]
    assert report["reproduce"]["policy_sha256"] != before, "the policy digest covers them"
    shown = world.site.call("report", "latest")
    assert "Suppressed: AUD-D001 for content" in shown.out
    for form in ("html", "md"):
        assert WHY in world.site.call("report", "latest", "--format", form).out
    again = world.site.call("replay", "latest", "-q")
    assert again.code == 0, again.out


@pytest.mark.parametrize("who", [(), ("stranger",), ("gate",)])
def test_without_a_releaser_the_gate_does_not_start(world: Any, who: tuple[str, ...]) -> None:
    """Attack: write or sign an exception oneself."""
    data = fresh(world)
    runs = len(world.site.visible("runs"))
    source = written(world, {"content": digest(data)})
    listed = signed(world, source, *who) if who else str(source)
    done = gate(world, data, suppressions=listed)
    assert done.code == 2
    assert ("UNSIGNED" if not who else "DECISION_PRINCIPAL") in done.err
    assert len(world.site.visible("runs")) == runs


def test_without_a_trust_policy_a_gate_obeys_no_list(world: Any) -> None:
    data = fresh(world)
    listed = signed(world, written(world, {"content": digest(data)}), "bob")
    done = gate(world, data, suppressions=listed, trust={})
    assert done.code == 2
    assert "roles.releaser" in done.err


def test_an_edited_list_is_no_longer_signed(world: Any) -> None:
    """Attack: keep the signature, widen what is excused."""
    import base64

    data = fresh(world)
    path = world.root / signed(world, written(world, {"content": "ab" * 32}), "bob")
    said = json.loads(path.read_bytes())
    payload = base64.b64decode(said["payload"]).replace(b"ab" * 32, digest(data).encode())
    path.write_bytes(json.dumps(said | {"payload": base64.b64encode(payload).decode()}).encode())
    assert gate(world, data, suppressions=path.name).code == 2


def test_about_a_contributor_two_people_have_to_agree(world: Any) -> None:
    data = fresh(world)
    source = written(world, *({"contributor": who} for who in ("lab-00", "lab-01")))
    done = gate(world, data, suppressions=signed(world, source, "bob"))
    assert done.code == 2
    assert "DECISION_THRESHOLD" in done.err
    assert "`auditor suppressions sign`" in done.err
    twice = signed(world, source, "bob", "bob")
    assert gate(world, data, suppressions=twice).code == 2
    done = gate(world, data, suppressions=signed(world, source, "bob", "cat"))
    assert done.code == 10, "the other contributors' copies are still set aside"
    report = world.site.report()
    excused = sum(one["rows"] for one in report["suppressions"])
    assert excused > 0
    assert report["rows_quarantined"] > 0
    assert {one["signers"][0] for one in report["suppressions"]} == {"bob"}


def test_who_sends_the_rows_does_not_count_for_them(world: Any) -> None:
    """Attack: a releaser who is a contributor excuses oneself."""
    source = written(world, {"contributor": "bob"})
    done = gate(world, fresh(world), suppressions=signed(world, source, "bob", "cat"))
    assert done.code == 2
    assert "DECISION_THRESHOLD" in done.err


@pytest.mark.parametrize("rule", ["AUD-I001", "AUD-P002", "AUD-G001", "AUD-X999"])
def test_what_cannot_be_excused_is_refused_when_it_is_signed(world: Any, rule: str) -> None:
    source = written(world, {"column": "x", "rule": rule})
    done = world.site.call(
        "suppressions", "sign", source, "-o", "s.dsse.json", "--key", world.key("bob")
    )
    assert done.code == 2
    assert "SUPPRESSION_RULE" in done.err


def test_a_required_rule_is_not_suppressed(world: Any) -> None:
    data = fresh(world)
    listed = signed(world, written(world, {"content": digest(data)}), "bob")
    done = gate(world, data, suppressions=listed, policy={"required": [RULE]})
    assert done.code == 2
    assert "SUPPRESSION_RULE" in done.err


def test_ninety_days_are_the_longest(world: Any) -> None:
    late = f"{NOW + dt.timedelta(days=92):%Y-%m-%d}"
    source = written(world, {"column": "x", "expires": late})
    done = world.site.call(
        "suppressions", "sign", source, "-o", "s.dsse.json", "--key", world.key("bob")
    )
    assert done.code == 2
    assert "SUPPRESSION_TERM" in done.err
    with pytest.raises(Refused, match="ends on"):
        suppressions.build([entry(days=90.1)], NOW)
    assert suppressions.read(suppressions.build([entry(days=90)], NOW)).entries == (entry(days=90),)


def test_one_that_ended_excuses_nothing_and_says_so(world: Any) -> None:
    data = fresh(world)
    payload = suppressions.build(
        [entry("content", digest(data), days=-1)], NOW - dt.timedelta(days=40)
    )
    from auditor.signing import sign

    path = world.root / "old.dsse.json"
    path.write_bytes(sign(payload, key=world.key("bob")))
    assert gate(world, data, suppressions=path.name).code == 10
    (one,) = world.site.report()["suppressions"]
    assert (one["expired"], one["findings"]) == (True, 0)
    assert "ended on" in world.site.call("report", "latest").out


def test_an_audit_takes_the_list_as_it_is_written(world: Any) -> None:
    data = fresh(world)
    world.site.configure(suppressions=str(written(world, {"content": digest(data)})))
    assert world.site.call("audit", data, "-q").code == 0
    report = world.site.report()
    assert (report["verdict"], report["suppressions"][0]["signers"]) == ("ACCEPT", [])


@pytest.mark.parametrize(
    "changes",
    [
        {"column": "x", "contributor": "lab-00"},
        {},
        {"column": "x", "reason": "because"},
        {"column": "x", "expires": "soon"},
        {"column": "x", "until": "2026-01-01"},
        {"column": "x", "approver": None},
        {"content": "ABC"},
    ],
)
def test_a_list_with_a_mistake_is_refused_as_a_whole(world: Any, changes: dict[str, Any]) -> None:
    done = world.site.call("suppressions", "show", written(world, changes))
    assert done.code == 2, done.out


def finding(rows: list[int] | None, **evidence: Any) -> Finding:
    table = None if rows is None else row_table(np.array(rows), 0.9)
    return Finding(
        rule=RULE, severity=Severity.HIGH, message="m", rows=table, evidence=dict(evidence)
    )


def test_a_finding_is_split_and_no_row_is_lost() -> None:
    mask = np.zeros(6, dtype=bool)
    mask[[1, 2]] = True
    outcome = Outcome(rule=RULE, findings=(finding([0, 1, 2, 5]), finding(None)))
    (done,) = suppressed([outcome], [Excused(entry("contributor", "lab-00"), mask)])
    parts = [
        (f.evidence.get("suppressed") is not None, f.rows and f.rows.column("row").to_pylist())
        for f in done.findings
    ]
    assert parts == [(True, [1, 2]), (False, [0, 5]), (False, None)]


def test_a_column_excuses_what_is_about_that_column_alone() -> None:
    outcome = Outcome(
        rule=RULE,
        findings=(
            finding([0], column="x"),
            finding([0], columns="x, y"),
            finding(None, column="y"),
        ),
    )
    (done,) = suppressed([outcome], [Excused(entry("column", "x"), None)])
    assert ["suppressed" in f.evidence for f in done.findings] == [True, False, False]


def test_other_rules_are_left_alone() -> None:
    outcome = Outcome(rule="AUD-L001", findings=(finding([0], column="x"),))
    assert suppressed([outcome], [Excused(entry("column", "x"), None)]) == (outcome,)


def test_the_digest_is_of_what_is_said_not_of_who_signed_or_when() -> None:
    one, other = entry(), entry(value="y")
    first = suppressions.read(suppressions.build([one, other], NOW))
    second = suppressions.read(suppressions.build([other, one], NOW - dt.timedelta(days=1)))
    assert first.sha256 == second.sha256
    assert first.sha256 != suppressions.digest_of([one])
