"""Decisions that were made elsewhere, or before, and are put into the ledger for this set.

Whoever can write to the ledger has no key of a releaser: all he can use is what they signed.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from auditor.afterwards.expiring import expire
from auditor.lifecycle import decisions
from auditor.lifecycle.decisions import Kind
from auditor.provenance import dsse

DAY = dt.timedelta(hours=25)
KINDS = {
    "release.requested": Kind.RELEASE,
    "release.approved": Kind.RELEASE,
    "release.denied": Kind.DENY,
    "ratified": Kind.RATIFY,
}
#: What a decision may have been about instead.
ELSEWHERE = ("set_sha256", "batch_sha256", "policy_sha256", "request_sha256", "entry_sha256")


def log(world: Any, event: str, digest: str, who: str = "bob") -> None:
    """The entry that a decision would have, written past the command."""
    desk = world.desk()
    aside = desk.find(world.run)
    desk.ledger.append(
        event,
        at=desk.now,
        via="cli",
        subject=aside.set_sha256,
        refs=[digest] if digest else [],
        run=aside.run,
        principal=who,
    )


def slip_in(world: Any, event: str, kind: Kind | None = None, **about: Any) -> None:
    """Bob's decision about something else, and an entry that takes it for one about this."""
    desk = world.desk()
    aside = desk.find(world.run)
    wanted = desk.about(aside, aside.history.request)
    decision = decisions.Decision(
        kind=kind or KINDS[event],
        about=replace(wanted, **about),
        rows=30,
        reason_code="intended-copies",
        reason="I asked the lab: it measured these stones twice on purpose.",
        created_on=desk.now,
        expires_on=desk.now + decisions.VALID,
    )
    payload = decisions.build(decision)
    signature = world.people.keys["bob"].sign(dsse.pae(dsse.IN_TOTO, payload))
    named = [dsse.Signature(world.people.keyid("bob"), signature)]
    log(world, event, aside.keep(dsse.build(payload, dsse.IN_TOTO, named)))


def expired(world: Any, after: dt.timedelta = DAY) -> list[str]:
    with contextlib.chdir(world.root):
        return [one.what for one in expire(world.desk(after))]


@pytest.fixture
def emergency(world: Any) -> Any:
    """Ann has broken the glass, and the rows are out."""
    assert world.quarantine("review").code == 0
    done = world.signed("ann", "request", "--break-glass", code="emergency")
    assert done.code == 0, done.err
    assert world.release().code == 0
    return world


@pytest.mark.parametrize("what", ["policy_sha256", "entry_sha256"])
def test_case_140_an_approval_of_something_else(world: Any, what: str) -> None:
    """Bob's approval under another policy, or in another ledger, is logged for this set."""
    world.requested()
    slip_in(world, "release.approved", **{what: "f" * 64})
    done = world.release()
    code = "DECISION_POLICY" if what == "policy_sha256" else "DECISION_SET"
    assert (done.code, code in done.err) == (2, True), done.err
    assert len(world.site.visible("published")) == 1


@pytest.mark.parametrize("what", ELSEWHERE)
def test_case_144_a_ratification_of_something_else(emergency: Any, what: str) -> None:
    """Bob ratified another release; that is logged for this one, so that no recall comes."""
    slip_in(emergency, "ratified", **{what: "f" * 64})
    done = emergency.signed("bob", "ratify", code="confirmed-by-source")
    code = "DECISION_POLICY" if what == "policy_sha256" else "DECISION_SET"
    assert (done.code, code in done.err) == (2, True), done.err
    assert expired(emergency, dt.timedelta(hours=23)) == []
    (said,) = expired(emergency)
    assert said.startswith("recalled: the emergency release was not ratified"), said
    assert code in said
    assert expired(emergency, 2 * DAY) == [], "recalled once"


@pytest.mark.parametrize("digest", ["", "f" * 64])
def test_case_144_a_ratification_that_is_none(emergency: Any, digest: str) -> None:
    """Somebody logs that the release was ratified, and names no decision, or one that is not."""
    log(emergency, "ratified", digest)
    (said,) = expired(emergency)
    # Without a digest the entry itself cannot be: the job says so, and ends with an error.
    expected = "not ratified" if digest else "names no decision"
    assert expected in said
    assert emergency.signed("cat", "ratify", code="confirmed-by-source").code in (2, 12)


def test_case_144_an_approval_is_logged_as_a_ratification(emergency: Any) -> None:
    """Ann's own request, or Bob's word for something else, is logged as the second person's."""
    aside = emergency.desk().find(emergency.run)
    slip_in(emergency, "ratified", Kind.RELEASE)
    (said,) = expired(emergency)
    assert "DECISION_SET" in said
    assert aside.history.ratified is None


def test_a_ratification_that_was_interrupted_is_not_recalled(emergency: Any) -> None:
    """Bob did ratify, and the machine stopped before the rows were published as such."""
    slip_in(emergency, "ratified")
    assert expired(emergency) == []
    done = emergency.signed("bob", "ratify", code="confirmed-by-source")
    assert done.code == 0, done.err
    assert emergency.site.events().count("ratified") == 1


@pytest.mark.parametrize("what", ["set_sha256", "entry_sha256"])
def test_a_refusal_of_something_else_lets_nothing_out(world: Any, what: str) -> None:
    """Bob's refusal of another set is logged for this one: the rows stay, nothing more."""
    world.agreed()
    slip_in(world, "release.denied", **{what: "f" * 64})
    done = world.release()
    assert (done.code, "STATE_TRANSITION" in done.err) == (2, True), done.err
    assert world.state() == "DENIED"
    assert len(world.site.visible("published")) == 1


def test_case_137_one_decision_is_logged_twice(world: Any) -> None:
    """The requester's own decision is logged a second time, as that of another person."""
    world.requested()
    log(world, "release.approved", world.desk().find(world.run).history.request)
    done = world.release()
    assert (done.code, "DECISION_SET" in done.err) == (2, True), done.err
    assert len(world.site.visible("published")) == 1


def test_case_137_one_approval_is_logged_twice(world: Any) -> None:
    """Three people are needed: Bob's approval is logged again."""
    roles = world.people.document()["roles"]
    log_key = world.desk().ledger.key.public()
    wanted = {"releaser": roles["releaser"] | {"threshold": 3}, "ledger": {"vkeys": [str(log_key)]}}
    document = world.people.document(roles=roles | wanted, version=2)
    newest = world.root / "trust.dsse.json"
    newest.rename(world.root / "trust.1.dsse.json")
    newest.write_bytes(world.people.sign(document, "root-1", "root-2"))
    world.agreed()
    log(world, "release.approved", world.desk().find(world.run).history.approvals[0])
    done = world.release()
    assert (done.code, "2 of 3 people" in done.err) == (2, True), done.err


def test_the_same_command_twice(emergency: Any) -> None:
    """Bob ratifies twice; nothing is published twice."""
    for code in (0, 2):
        done = emergency.signed("bob", "ratify", code="confirmed-by-source")
        assert done.code == code, done.err
    assert "STATE_TRANSITION" in done.err
    assert emergency.site.events().count("ratified") == 1


def test_case_141_ratified_under_another_policy(emergency: Any) -> None:
    """The gate's settings change between the emergency and the second person."""
    emergency.site.configure(policy={"alpha": 0.02})
    done = emergency.signed("bob", "ratify", code="confirmed-by-source")
    assert (done.code, "DECISION_POLICY" in done.err) == (2, True), done.err
    assert expired(emergency)[0].startswith("recalled")


def test_denied_under_another_policy(world: Any) -> None:
    """Stopping is cheap: a refusal is about the rows as the rules see them now."""
    world.agreed()
    world.site.configure(policy={"alpha": 0.02})
    assert world.signed("cat", "deny", code="poisoned").code == 0
    assert world.state() == "DENIED"


@pytest.mark.parametrize("what", ["request", "approve", "deny", "ratify"])
def test_case_45_nobody_decides_under_a_clock_that_is_behind(world: Any, what: str) -> None:
    """The clock was turned back, so that what is over would count again."""
    assert world.quarantine("review").code == 0
    if what == "ratify":
        done = world.signed("ann", "request", "--break-glass", code="emergency")
        assert (done.code, world.release().code) == (0, 0)
    elif what != "request":
        assert world.signed("ann", "request").code == 0
    world.desk().ledger.append("error", at=dt.datetime.now(dt.UTC) + DAY, via="cli")
    done = world.signed("bob", what)
    assert (done.code, "CLOCK_ROLLBACK" in done.err) == (2, True), done.err


def test_case_140_decisions_of_another_ledger(
    world: Any, copy_of: Callable[[Any, Path], Any], tmp_path: Path
) -> None:
    """Two gates audit the same bytes under the same settings: what was agreed at one of them.

    The very files, request and approval, are put into the ledger of the other.
    """
    other = copy_of(world, tmp_path / "other" / "site")
    for path in (other.root / ".auditor").iterdir():
        if path.suffix != ".key":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert other.site.call("gate", "in/b.parquet", "-q").code == 10
    world.agreed()
    here, there = world.desk().find(world.run), other.desk().find(other.run)
    mine, theirs = world.desk().about(here), other.desk().about(there)
    assert mine != theirs
    assert replace(theirs, entry_sha256=mine.entry_sha256) == mine, "but for the ledger, the same"
    (there.folder / "decisions").mkdir()
    history = here.history
    assert other.quarantine("review").code == 0
    for event, digest in (
        ("release.requested", history.request),
        ("release.approved", history.approvals[0]),
    ):
        name = f"{digest}.dsse.json"
        shutil.copyfile(here.folder / "decisions" / name, there.folder / "decisions" / name)
        log(other, event, digest)
    done = other.release()
    assert (done.code, "DECISION_SET" in done.err) == (2, True), done.err
    assert len(other.site.visible("published")) == 1
    assert world.release().code == 0
