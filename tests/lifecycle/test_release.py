"""Whole releases: an honest one succeeds, and is a batch of its own that can be verified."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditor.afterwards import releasing
from auditor.errors import LedgerError
from auditor.ledger import Ledger
from auditor.provenance import dsse
from auditor.provenance.digests import sha256

EXTENSION = "https://auditor.example/audit/v1"
HOUR = dt.timedelta(hours=1)


def statement(path: Path) -> dict[str, Any]:
    found = json.loads(dsse.parse(path.read_bytes()).payload)
    assert isinstance(found, dict)
    return found


def rows_of(folder: Path) -> pa.Table:
    (path,) = folder.glob("*.parquet")
    return pq.read_table(path)


def release_at(world: Any, after: dt.timedelta) -> Any:
    """A release some time from now."""
    with contextlib.chdir(world.root):
        return releasing.release(world.desk(after), world.run)


def entries(world: Any) -> list[Any]:
    return list(Ledger(world.root / ".auditor" / "ledger.db").entries())


def refused(world: Any, code: str, *, state: str = "RELEASE_REQUESTED") -> None:
    """`release` says this code, publishes nothing, and leaves the set in a state."""
    before = world.site.visible("published")
    done = world.release()
    assert done.code == 2, done.out
    assert code in done.err
    assert world.site.visible("published") == before
    assert code in [e.event.detail.get("code") for e in entries(world) if e.name == "error"]
    assert world.state() == state


def test_an_honest_release_succeeds(world: Any) -> None:
    before = set(world.site.visible("published"))
    world.agreed()
    done = world.release()
    assert done.code == 0, done.out + done.err
    (folder,) = set(world.site.visible("published")) - before
    (parent,) = before
    came = pq.read_table(world.root / "in" / "b.parquet")
    assert rows_of(folder).equals(came.slice(200))
    said = statement(folder / "attestation.dsse.json")
    assert said["subject"][0]["name"] == "dataset:release/lab/stones@b"
    predicate, extension = said["predicate"], said["predicate"][EXTENSION]
    assert predicate["verificationResult"] == "PASSED"
    assert "AUDITOR_PROVENANCE_VERIFIED" in predicate["verifiedLevels"]
    assert "AUDITOR_BREAK_GLASS" not in predicate["verifiedLevels"]
    (named,) = predicate["inputAttestations"]
    assert named["digest"]["sha256"] == sha256((parent / "attestation.dsse.json").read_bytes())
    assert extension["rows"] == {"in": 30, "out": 30, "quarantined": 0}
    (aside,) = world.site.visible("quarantine")
    kept = {path.name.removesuffix(".dsse.json") for path in (aside / "decisions").iterdir()}
    assert {one["sha256"] for one in extension["releasedUnder"]} == kept
    assert world.state() == "RELEASED"
    names = world.site.events()
    assert names.index("released") < len(names) - 1 - names[::-1].index("verdict")
    report = world.site.report()
    waived = [f for f in report["findings"] if f["rule"] == "AUD-D001"]
    assert [(f["effect"], f["rows"]) for f in waived] == [("note", 30)]
    assert report["provenance"]["released_by"] == "ann, bob"


def test_a_training_job_verifies_a_release(released: Any) -> None:
    """And refuses it once its parent is recalled."""
    from auditor.issuing import statement as status_of
    from auditor.verify import NotVerified, Trust, load_verified

    (folder,) = [
        path
        for path in released.site.visible("published")
        if statement(path / "attestation.dsse.json")["predicate"]["resourceUri"].startswith(
            "dataset:release/"
        )
    ]
    settings = released.site.settings["trust"]
    trust = Trust.pinned(released.root / "trust.dsse.json", sha256=settings["sha256"])
    gave: dict[str, Any] = {
        "policy": trust,
        "resource": "release/lab/stones@b",
        "levels": {"AUDITOR_PROVENANCE_VERIFIED"},
        "seen": released.root / "seen",
    }

    def status() -> bytes:
        ledger = Ledger(released.root / ".auditor" / "ledger.db")
        payload = status_of(ledger, now=dt.datetime.now(dt.UTC), policy_version=1)
        message = dsse.pae(dsse.IN_TOTO, payload)
        key = released.people.keys["status"]
        signature = dsse.Signature(released.people.keyid("status"), key.sign(message))
        return dsse.build(payload, dsse.IN_TOTO, [signature])

    assert load_verified(folder, status=status(), **gave).num_rows == 30
    done = released.recall("--source", "lab/stones")
    assert done.code == 0, done.err
    with pytest.raises(NotVerified, match="RECALLED"):
        load_verified(folder, status=status(), **gave)


def test_case_136_one_approver(world: Any) -> None:
    """Only the requester has agreed."""
    world.requested()
    refused(world, "DECISION_THRESHOLD")


def test_case_137_requester_approves_twice(world: Any) -> None:
    """The requester approves his own request."""
    world.requested()
    done = world.signed("ann", "approve")
    assert (done.code, "DECISION_TWICE" in done.err) == (2, True), done.err
    refused(world, "DECISION_THRESHOLD")


def test_case_138_contributor_approves(world: Any) -> None:
    """A releaser whose key signs for the source approves."""
    world.requested()
    done = world.signed("lab", "approve")
    assert (done.code, "DECISION_CONTRIBUTOR" in done.err) == (2, True), done.err
    refused(world, "DECISION_THRESHOLD")


def test_case_139_robot(world: Any) -> None:
    """The gate approves with its own key."""
    world.requested()
    done = world.signed("gate", "approve")
    assert (done.code, "DECISION_PRINCIPAL" in done.err) == (2, True), done.err
    refused(world, "DECISION_THRESHOLD")


def forged(world: Any, who: str, kind: str = "release", **about: Any) -> None:
    """Somebody writes an approval that is none, and the event, past the command."""
    from dataclasses import replace

    from auditor.lifecycle import decisions

    desk = world.desk()
    aside = desk.find(world.run)
    request = decisions.read(dsse.parse(aside.decision(aside.history.request)).payload)
    meant = replace(
        request,
        kind=decisions.Kind(kind),
        about=replace(request.about, **({"request_sha256": aside.history.request} | about)),
    )
    payload = decisions.build(meant)
    signature = world.people.keys[who].sign(dsse.pae(dsse.IN_TOTO, payload))
    named = [dsse.Signature(world.people.keyid(who), signature)]
    digest = aside.keep(dsse.build(payload, dsse.IN_TOTO, named))
    desk.ledger.append(
        "release.approved",
        at=desk.now,
        via="cli",
        subject=aside.set_sha256,
        refs=[digest],
        run=aside.run,
        principal=who,
    )


@pytest.mark.parametrize("what", ["set_sha256", "batch_sha256", "request_sha256"])
def test_case_140_approval_of_another_set(world: Any, what: str) -> None:
    """A real approval of another set, batch or request is written into the ledger for this one."""
    world.requested()
    forged(world, "bob", **{what: "f" * 64})
    refused(world, "DECISION_SET", state="UNDER_REVIEW")


def test_a_refusal_is_not_taken_for_an_approval(world: Any) -> None:
    """Bob signed that the rows stay; somebody logs it as his approval."""
    world.requested()
    forged(world, "bob", "deny")
    refused(world, "DECISION_SET", state="UNDER_REVIEW")


def test_case_141_policy_changed_after_approval(world: Any) -> None:
    """The gate's settings change between the approvals and the release."""
    world.agreed()
    world.site.configure(policy={"alpha": 0.02})
    refused(world, "DECISION_POLICY", state="UNDER_REVIEW")
    world.site.configure(policy={"alpha": 0.01})
    refused(world, "STATE_TRANSITION", state="UNDER_REVIEW")


def test_case_142_approval_of_the_day_before_yesterday(world: Any) -> None:
    """The release comes after 72 hours."""
    world.agreed()
    with pytest.raises(releasing.NotDecided, match="DECISION_EXPIRED"):
        release_at(world, 72 * HOUR)
    assert world.state() == "UNDER_REVIEW"


def test_a_clock_that_is_turned_back_does_not_revive_an_approval(world: Any) -> None:
    world.agreed()
    world.desk().ledger.append("error", at=dt.datetime.now(dt.UTC) + 100 * HOUR, via="cli")
    done = world.release()
    assert (done.code, "CLOCK_ROLLBACK" in done.err) == (2, True), done.err
    assert "CLOCK_ROLLBACK" in world.signed("cat", "approve").err
    assert len(world.site.visible("published")) == 1


def test_case_143_denied_is_denied(world: Any) -> None:
    """Somebody releases what was denied."""
    world.agreed()
    assert world.signed("cat", "deny", code="poisoned").code == 0
    refused(world, "STATE_TRANSITION", state="DENIED")
    for what in ("request", "approve"):
        assert "STATE_TRANSITION" in world.signed("bob", what).err
    assert "STATE_TRANSITION" in world.quarantine("review").err


def test_opening_the_review_again_voids_the_approvals(world: Any) -> None:
    world.agreed()
    assert world.quarantine("review").code == 0
    refused(world, "STATE_TRANSITION", state="UNDER_REVIEW")
    assert world.signed("cat", "request").code == 0
    refused(world, "DECISION_THRESHOLD")


def test_rows_that_were_exchanged_are_not_released(world: Any) -> None:
    """The digest of a set binds which rows, not what they hold; the ledger binds that."""
    world.agreed()
    (aside,) = world.site.visible("quarantine")
    path = aside / "rows.parquet"
    table = pq.read_table(path)
    at = table.schema.get_field_index("label")
    path.chmod(0o600)
    pq.write_table(table.set_column(at, "label", pa.array(["up"] * 30)), path)
    done = world.release()
    assert done.code == 12
    assert "not the file that the ledger names" in done.err
    assert len(world.site.visible("published")) == 1


def test_a_decision_that_was_edited_is_not_counted(world: Any) -> None:
    world.agreed()
    (aside,) = world.site.visible("quarantine")
    for path in (aside / "decisions").iterdir():
        path.write_bytes(path.read_bytes() + b" ")
    done = world.release()
    assert done.code == 12
    assert "not the file that the ledger names" in done.err


def test_without_a_trust_policy_nobody_releases(world: Any) -> None:
    world.site.configure(trust={})
    assert world.quarantine("review").code == 0
    done = world.signed("ann", "request")
    assert (done.code, "roles.releaser" in done.err) == (2, True), done.err


def test_a_parent_that_was_recalled_releases_nothing(world: Any) -> None:
    world.agreed()
    assert world.recall("--batch", "lab/stones@b").code == 0
    refused(world, "PARENT_RECALLED")


def test_a_new_claim_about_a_row_stops_the_release(world: Any) -> None:
    """What was not waived is found again: nothing is published, not even the rest."""
    from auditor.afterwards import release_screening

    world.agreed()
    desk = world.desk()
    aside = desk.find(world.run)
    waived = release_screening.waived_by(aside, [], desk.roots.runs)
    assert waived.rules == {}
    whole = release_screening.waived_by

    def nothing(*_: Any) -> Any:
        return whole(aside, [], desk.roots.runs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release_screening, "waived_by", nothing)
        done = world.release()
    assert done.code == 12, done.out
    assert "a release must be ACCEPT, and is" in done.out
    assert len(world.site.visible("published")) == 1
    assert world.state() == "RELEASE_REQUESTED"


def test_a_release_is_logged_with_its_verdict_or_not_at_all(world: Any) -> None:
    world.agreed()

    def full(*_: Any) -> Any:
        raise LedgerError("the disk is full")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("auditor.ledger.log.heads.sign_head", full)
        assert world.release().code == 12
    assert world.state() == "RELEASE_REQUESTED"
    assert len(world.site.visible("published")) == 1
    done = world.release()
    assert done.code == 0, done.out + done.err
    assert world.site.events()[-2:] == ["released", "verdict"]
    again = world.release()
    assert (again.code, "STATE_TRANSITION" in again.err) == (2, True)


def test_of_two_releases_at_once_one_is_logged(world: Any) -> None:
    """Another decision falls between reading the state and writing the event."""
    world.agreed()
    desk = world.desk()
    screen = releasing.release_screening.screen

    def meanwhile(*arguments: Any) -> Any:
        assert world.quarantine("review").code == 0
        return screen(*arguments)

    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(world.root):
        patch.setattr(releasing.release_screening, "screen", meanwhile)
        done = releasing.release(desk, world.run)
    assert done.verdict.value == "HOLD"
    assert len(world.site.visible("published")) == 1
    assert world.state() == "UNDER_REVIEW"


HOSTILE = '=cmd()|"/c calc"!A1\n\x1b[31mred <script>alert(1)</script> because I say so'


def test_case_145_a_hostile_reason(world: Any, released: Any) -> None:
    """A reason with a newline, ANSI, a formula and markup goes into log, CSV and HTML."""
    assert world.quarantine("review").code == 0
    arguments = ("--sign-with", world.key("ann"), "--code", "false-positive", "--reason", HOSTILE)
    assert world.site.call("quarantine", "request", world.run, *arguments).code == 0
    log = world.quarantine("decisions").out
    assert "because I say so" in log
    assert "\x1b" not in log
    assert sum("because" in line or "=cmd" in line for line in log.splitlines()) == 1
    assert world.quarantine("decisions", "-o", "decisions.csv").code == 0
    written = (world.root / "decisions.csv").read_text()
    assert "\"'=cmd()" in written
    assert "\x1b" not in written
    from dataclasses import replace

    from auditor.formats import render, report_json

    folder = max(released.site.visible("runs")[:2])
    report = report_json.loads((folder / "report.json").read_bytes())
    told = {**report.provenance, "reasons": HOSTILE}
    shown = render(replace(report, provenance=told), "html")
    assert "because I say so" in shown
    assert "<script>alert(1)" not in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("inside", [".auditor/published/aside", ".auditor/runs/aside", "inbox/x"])
def test_case_146_quarantine_where_loaders_look(world: Any, inside: str) -> None:
    """The quarantine folder lies in a folder that is published, listed or watched."""
    (world.root / "inbox").mkdir()
    outputs = {"quarantine_to": inside}
    world.site.configure(outputs=outputs, flows={"inbox": "inbox"})
    done = world.site.call("gate", "in/b.parquet")
    assert (done.code, "quarantine_to" in done.err) == (2, True), done.err
