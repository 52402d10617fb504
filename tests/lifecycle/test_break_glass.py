"""Emergencies: one person, a day, and then a second one or a recall."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from pathlib import Path
from typing import Any

from auditor.afterwards.expiring import expire
from auditor.provenance import dsse

EXTENSION = "https://auditor.example/audit/v1"
HOUR = dt.timedelta(hours=1)


def expired(world: Any, after: dt.timedelta) -> list[tuple[str, str]]:
    """What the scheduled job does some time from now."""
    with contextlib.chdir(world.root):
        return [(one.run, one.what) for one in expire(world.desk(after))]


def emergency(world: Any) -> Path:
    """One releaser breaks the glass; the folder that is published."""
    before = set(world.site.visible("published"))
    assert world.quarantine("review").code == 0
    done = world.signed("ann", "request", "--break-glass", code="emergency")
    assert done.code == 0, done.err
    done = world.release()
    assert done.code == 0, done.out + done.err
    (folder,) = set(world.site.visible("published")) - before
    assert isinstance(folder, Path)
    return folder


def predicate(folder: Path) -> dict[str, Any]:
    envelope = (folder / "attestation.dsse.json").read_bytes()
    found = json.loads(dsse.parse(envelope).payload)["predicate"]
    assert isinstance(found, dict)
    return found


def hours(said: dict[str, Any]) -> float:
    form = "%Y-%m-%dT%H:%M:%SZ"
    times = (said["timeVerified"], said[EXTENSION]["validUntil"])
    start, end = (dt.datetime.strptime(text, form).replace(tzinfo=dt.UTC) for text in times)
    return (end - start) / HOUR


def test_case_144_break_glass_that_nobody_ratifies(world: Any) -> None:
    """An emergency release is simply left as it is."""
    folder = emergency(world)
    said = predicate(folder)
    assert "AUDITOR_BREAK_GLASS" in said["verifiedLevels"]
    assert hours(said) == 24
    assert expired(world, 23 * HOUR) == []
    ((_, what),) = expired(world, 24 * HOUR + dt.timedelta(minutes=5))
    assert what.startswith("recalled")
    assert world.site.events()[-1] == "recall"
    assert expired(world, 48 * HOUR) == [], "recalled once"


def test_a_second_person_stands_by_it(world: Any) -> None:
    folder = emergency(world)
    twice = world.signed("ann", "ratify", code="confirmed-by-source")
    assert (twice.code, "DECISION_TWICE" in twice.err) == (2, True), twice.err
    done = world.signed("bob", "ratify", code="confirmed-by-source")
    assert done.code == 0, done.out + done.err
    said = predicate(folder)
    assert "AUDITOR_BREAK_GLASS" not in said["verifiedLevels"]
    assert hours(said) == 24 * 30
    assert len(said[EXTENSION]["releasedUnder"]) == 2
    assert expired(world, 25 * HOUR) == []
    assert "recall" not in world.site.events()


def test_too_late_to_ratify(world: Any) -> None:
    import pytest

    from auditor.afterwards import deciding
    from auditor.afterwards.desk import Ground, NotDecided, Person

    emergency(world)
    person, ground = Person(world.key("bob")), Ground("confirmed-by-source", "x" * 20)
    with contextlib.chdir(world.root), pytest.raises(NotDecided, match="DECISION_EXPIRED"):
        deciding.ratify(world.desk(25 * HOUR), world.run, person, ground)


def test_emergency_is_a_word_for_emergencies(world: Any) -> None:
    assert world.quarantine("review").code == 0
    done = world.signed("ann", "request", code="emergency")
    assert (done.code, "DECISION_REASON" in done.err) == (2, True), done.err
