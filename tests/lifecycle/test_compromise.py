"""A key that somebody else may hold: what it signed, and all that is in because of it."""

from __future__ import annotations

import contextlib
import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from auditor.compromise import recall_candidates, signed_with
from auditor.ledger import Ledger
from auditor.provenance import dsse
from auditor.provenance.digests import sha256
from auditor.verify import NotVerified, Trust, load_verified

HOUR = dt.timedelta(hours=1)


def ledger(world: Any) -> Ledger:
    return Ledger(world.root / ".auditor" / "ledger.db")


def beginning(world: Any) -> dt.datetime:
    at: dt.datetime = next(iter(ledger(world).entries())).event.at
    return at


def let_in(world: Any, who: str) -> list[tuple[str | None, str]]:
    found = recall_candidates(ledger(world), world.people.keyid(who), beginning(world))
    return [(one.run, one.why) for one in found]


def update(world: Any, who: str, since: dt.datetime) -> Any:
    stolen = ("--compromised", world.people.keyid(who), "--since", f"{since:%Y-%m-%dT%H:%M:%SZ}")
    return world.site.call("trust", "update", "trust.dsse.json", *stolen)


def in_force(world: Any) -> Trust:
    """The draft is signed by root and installed; what a training job is told."""
    draft = "trust.2.draft.dsse.json"
    for who in ("root-1", "root-2"):
        done = world.site.call("trust", "sign", draft, "--key", world.key(who))
        assert done.code == 0, done.err
    done = world.site.call("trust", "update", "trust.dsse.json", "--install", draft)
    assert done.code == 0, done.err
    newest = (world.root / "trust.dsse.json").read_bytes()
    return Trust.pinned(world.root / "trust.dsse.json", sha256=sha256(dsse.parse(newest).payload))


def refused(world: Any, folder: Path, resource: str, trust: Trust, **more: Any) -> str:
    status = world.root / "status.dsse.json"
    issued = world.site.call("status", "issue", status, "--key", world.key("status"))
    assert issued.code == 0, issued.err
    with contextlib.suppress(UserWarning), pytest.raises(NotVerified) as error:
        load_verified(folder, policy=trust, resource=resource, status=status, **more)
    return str(error.value.code)


@pytest.mark.filterwarnings("ignore::auditor.verify.RollbackUnprotected")
def test_a_stolen_key_of_the_gate(world: Any) -> None:
    """What it attested and froze is listed, refused by the training side, and can be taken back."""
    frozen = world.site.call("dataset", "freeze", "autumn", "--batches", "*")
    assert frozen.code == 0, frozen.err
    assert let_in(world, "gate") == [(world.run, "attested")]
    names = [
        e.name for e in signed_with(ledger(world), world.people.keyid("gate"), beginning(world))
    ]
    assert names == ["verdict", "dataset.frozen"]
    done = update(world, "gate", beginning(world))
    assert done.code == 0, done.err
    assert f"run={world.run}  attested" in done.out
    assert "dataset.frozen autumn" in done.out
    keyid = world.people.keyid("gate")
    assert f"take them back: auditor recall --key {keyid} --since" in done.out
    assert "--reason TEXT --sign-with KEY" in done.out
    trust = in_force(world)
    published = world.root / ".auditor" / "published"
    (batch,) = (path for path in world.site.visible("published") if path.name != "frozen")
    assert refused(world, batch, "lab/stones@b", trust) == "KEY_REVOKED"
    listed = {"attestation": "frozen/autumn.dsse.json"}
    assert refused(world, published, "autumn", trust, **listed) == "KEY_REVOKED"
    taken = world.recall("--key", keyid)
    assert taken.code == 0, taken.err
    assert "recalled: lab/stones@b" in taken.out
    assert "data set autumn holds some of it" in taken.out


def test_before_it_was_stolen_it_counted(world: Any) -> None:
    later = dt.datetime.now(dt.UTC) + HOUR
    for who in ("gate", "lab"):
        keyid = world.people.keyid(who)
        assert list(recall_candidates(ledger(world), keyid, later)) == []
        assert list(signed_with(ledger(world), keyid, later)) == []
    done = update(world, "gate", later)
    assert "let in because of this key" in done.out
    assert "take them back" not in done.out


def test_a_stolen_key_of_the_source(world: Any) -> None:
    assert let_in(world, "lab") == [(world.run, "vouched for")]
    assert let_in(world, "other-lab") == []


def test_a_stolen_key_of_a_releaser(released: Any) -> None:
    """Its vote let rows go: the release is listed, the batch that they came with is not."""
    (released_by,) = (e.event.run for e in ledger(released).entries() if e.name == "released")
    assert released_by != released.run
    for who, vote in (("ann", "release.requested"), ("bob", "release.approved")):
        assert let_in(released, who) == [(released_by, "let go")]
        signed = signed_with(ledger(released), released.people.keyid(who), beginning(released))
        assert [entry.name for entry in signed] == [vote]
    assert let_in(released, "cat") == []
    done = released.recall("--key", released.people.keyid("bob"))
    assert done.code == 0, done.err
    assert "recalled: release/lab/stones@b" in done.out
    assert "1 batches, 1 of them new" in done.out


def test_a_vote_that_came_to_nothing_let_nothing_in(world: Any) -> None:
    world.agreed()
    assert world.quarantine("review").code == 0
    assert let_in(world, "ann") == []
    cat = ledger(world)
    names = [e.name for e in signed_with(cat, world.people.keyid("ann"), beginning(world))]
    assert names == ["release.requested"]


def test_a_recall_names_the_key_that_signed_it(world: Any) -> None:
    assert world.recall("--source", "lab/stones").code == 0
    names = [
        e.name for e in signed_with(ledger(world), world.people.keyid("cat"), beginning(world))
    ]
    assert names == ["recall"]
