"""What time does to rows that nobody decided about."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import Any

import pytest

from auditor.afterwards import expiring, releasing
from auditor.afterwards.desk import NotDecided

DAY = dt.timedelta(days=1)


def expired(world: Any, days: float) -> list[str]:
    with contextlib.chdir(world.root):
        return [one.what for one in expiring.expire(world.desk(days * DAY))]


def test_silence_never_releases(world: Any) -> None:
    world.agreed()
    assert expired(world, 29.9) == []
    assert expired(world, 30) == ["expired"]
    assert expired(world, 31) == [], "once"
    assert world.state() == "EXPIRED"
    with contextlib.chdir(world.root), pytest.raises(NotDecided, match="STATE_TRANSITION"):
        releasing.release(world.desk(31 * DAY), world.run)
    assert len(world.site.visible("published")) == 1


@pytest.mark.parametrize("state", ["QUARANTINED", "UNDER_REVIEW", "DENIED"])
def test_everything_undecided_expires(world: Any, state: str) -> None:
    if state != "QUARANTINED":
        assert world.quarantine("review").code == 0
    if state == "DENIED":
        assert world.signed("cat", "deny", code="not-settled").code == 0
    assert world.state() == state
    assert expired(world, 30) == ["expired"]


def test_the_job_says_that_nothing_is_due(world: Any) -> None:
    done = world.site.call("quarantine", "expire")
    assert (done.code, done.out) == (0, "nothing is due\n")


def test_purging_takes_the_rows_and_leaves_what_was_decided(world: Any) -> None:
    world.requested()
    (aside,) = world.site.visible("quarantine")
    early = world.quarantine("purge")
    assert (early.code, "STATE_TRANSITION" in early.err) == (2, True), early.err
    assert expired(world, 30) == ["expired"]
    with contextlib.chdir(world.root):
        assert list(expiring.purge_due(world.desk(119 * DAY))) == []
        ((done),) = expiring.purge_due(world.desk(121 * DAY))
    assert done.what == "purged"
    assert world.state() == "PURGED"
    assert not (aside / "rows.parquet").exists()
    assert len(list((aside / "decisions").iterdir())) == 1
    assert "PURGED  (rows are gone)" in world.site.call("quarantine", "list").out
    assert "purged" in world.quarantine("decisions").out


def test_a_crash_between_the_event_and_the_deletion_is_finished(world: Any) -> None:
    assert expired(world, 30) == ["expired"]
    (aside,) = world.site.visible("quarantine")

    def dies(_: Any) -> None:
        raise OSError("the machine stops here")

    with contextlib.chdir(world.root), pytest.MonkeyPatch.context() as patch:
        patch.setattr(expiring, "_remove", dies)
        with pytest.raises(OSError, match="stops here"):
            expiring.purge(world.desk(121 * DAY), world.run)
    assert (aside / "rows.parquet").exists()
    assert expired(world, 122) == ["purged"]
    assert not (aside / "rows.parquet").exists()
    assert world.site.events().count("purged") == 1
