"""Replays under a trust policy: the version of then counts; releases are not replayed."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


def gated_here(world: Any) -> tuple[Path, str]:
    """A signed batch that this copy of the site has gated, so that the run names its files."""
    data = world.deliver("c", world.site.rows(200, 9), "other/stones", "other-lab")
    assert world.site.call("gate", data, "-q").code == 0
    return data, max(path.name for path in world.site.visible("runs") if path.name[0] == "0")


def update(world: Any) -> None:
    """Version 2, in which the key of other-lab was revoked long ago."""
    people, path = world.people, world.root / "trust.dsse.json"
    keys = people.document()["keys"]
    past = dt.datetime.now(dt.UTC) - dt.timedelta(days=50)
    keys[people.keyid("other-lab")] |= {"revoked_at": past.strftime("%Y-%m-%dT%H:%M:%SZ")}
    second = people.sign(people.document(version=2, keys=keys), "root-1", "root-2")
    path.rename(path.with_name("trust.1.dsse.json"))
    path.write_bytes(second)


def test_the_trust_policy_of_then_counts(world: Any) -> None:
    """Afterwards the source's key is revoked: the run was right when it was made."""
    data, run = gated_here(world)
    update(world)
    assert world.site.call("audit", data, "-q").code == 11, "today nobody may vouch for it"
    done = world.site.call("replay", run, "-q")
    assert done.code == 0, done.out


def test_a_trust_policy_that_is_gone_is_not_replaced_by_todays(world: Any) -> None:
    _, run = gated_here(world)
    update(world)
    (world.root / "trust.1.dsse.json").unlink()
    done = world.site.call("replay", run, "-q")
    assert done.code == 2
    assert "POLICY_GAP" in done.err


def test_a_release_is_not_replayed(released: Any) -> None:
    done = released.site.call("replay", "latest", "-q")
    assert done.code == 2
    assert "replay the run that set the rows aside" in done.err


def test_a_replay_needs_no_signing_key_and_leaves_the_ledger_alone(world: Any) -> None:
    _, run = gated_here(world)
    (world.root / "keys" / "gate.key").unlink()
    before = world.site.events()
    done = world.site.call("replay", run, "-q")
    assert done.code == 0, done.out
    assert world.site.events() == before
