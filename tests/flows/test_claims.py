"""One claim, one audit; what broke off may be claimed again. No Prefect."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from auditor.ledger import Conflict
from auditor.pipeline import finish
from auditor.site import utc_now
from auditor.ulid import new_ulid
from auditor_flows import claims, kept
from auditor_flows.claims import Stand
from auditor_flows.underway import Underway, start

Make = Callable[..., object]
_DIE = """
import os, signal
from auditor_flows.site import open_site
from auditor_flows.underway import start
from auditor_flows import claims
site = open_site()
delivered = site.delivery("a.parquet")
start(site, delivered, claims.standing(site.ledger, delivered))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_of_many_claimants_one_wins(make_site) -> None:
    site_made = make_site()
    site_made.drop("clean", "a.parquet")
    site = site_made.open()
    delivered = site.delivery("a.parquet")
    known = claims.standing(site.ledger, delivered)
    won: list[str] = []
    lost: list[str] = []

    def claim(number: int) -> None:
        run = new_ulid(utc_now(), bytes([number]) * 10)
        try:
            claims.take(site.ledger, delivered, run, known, now=utc_now())
        except Conflict:
            lost.append(run)
        else:
            won.append(run)

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 7)
    assert claims.standing(site.ledger, delivered).stand is Stand.BUSY


def test_a_lost_claim_leaves_no_run_behind(make_site) -> None:
    site_made = make_site()
    site_made.drop("clean", "a.parquet")
    site = site_made.open()
    delivered = site.delivery("a.parquet")
    known = claims.standing(site.ledger, delivered)
    first = start(site, delivered, known)
    with pytest.raises(Conflict):
        start(site, delivered, known)
    staged = [path.name for path in (site.roots.runs / ".staging").iterdir()]
    assert {name.split(".")[0] for name in staged} == {first.run.id}
    first.run.stage.remove()


def test_a_claim_of_a_killed_process_is_due_again_but_not_for_ever(make_site) -> None:
    site_made = make_site()
    site_made.drop("clean", "a.parquet")
    site = site_made.open()
    delivered = site.delivery("a.parquet")
    seen = []
    for _ in range(claims.ATTEMPTS):
        assert claims.standing(site.ledger, delivered).is_due()
        done = subprocess.run(
            [sys.executable, "-c", _DIE], env=site_made.environment(), check=False
        )
        assert done.returncode == -9
        assert claims.standing(site.ledger, delivered).stand is Stand.BUSY
        site.recover()
        seen.append(claims.standing(site.ledger, delivered))
    assert [one.stand for one in seen] == [Stand.INTERRUPTED] * claims.ATTEMPTS
    assert [one.is_due() for one in seen] == [True, True, False]
    # Each new claim names the run that it follows.
    after = [entry.event.detail.get("after") for entry in site_made.claims()]
    assert after == [None, *(one.run for one in seen[:-1])]


def _begin(site, name: str, **changes) -> Underway:
    delivered = site.delivery(name, **changes)
    return start(site, delivered, claims.standing(site.ledger, delivered))


def _finish(underway: Underway):
    from auditor.pipeline import Steps

    def ingested(_):
        underway.ingest()
        return underway.ingested

    def screened(*_):
        underway.screen()
        return underway.screened

    return finish(underway.run, Steps(ingest=ingested, screen=screened))


def test_a_held_batch_waits_until_its_bytes_change(make_site) -> None:
    site_made = make_site(unsigned="hold")
    site_made.drop("clean", "a.parquet")
    site = site_made.open()
    assert _finish(_begin(site, "a.parquet")).verdict == "HOLD"
    held = claims.standing(site.ledger, site.delivery("a.parquet"))
    assert held.stand is Stand.HELD
    assert not held.is_due()
    site_made.drop("poisoned", "a.parquet")
    assert claims.standing(site.ledger, site.delivery("a.parquet")).is_due()


def test_other_bytes_than_asked_for_are_held(make_site) -> None:
    site_made = make_site()
    site_made.drop("clean", "a.parquet")
    site = site_made.open()
    result = _finish(_begin(site, "a.parquet", digest="0" * 64))
    assert result.verdict == "HOLD"
    assert result.published is None
    # The bytes that are there keep their own turn.
    assert claims.standing(site.ledger, site.delivery("a.parquet")).is_due()


def test_what_cannot_be_opened_is_held_and_not_tried_for_ever(make_site) -> None:
    site_made = make_site()
    (site_made.inbox / "link").symlink_to("/etc")
    site = site_made.open()
    result = _finish(_begin(site, "link"))
    assert result.verdict == "HOLD"
    assert "neither a file nor a folder" in " ".join(result.report.reasons)
    assert claims.standing(site.ledger, site.delivery("link")).stand is Stand.HELD


def _ingested(site_made) -> tuple[Underway, dict[str, str]]:
    site_made.drop("clean", "a.parquet")
    underway = _begin(site_made.open(), "a.parquet")
    said = underway.ingest()
    assert underway.area.is_dir()
    underway.run.stage.remove()
    return underway, said


def _again(underway: Underway) -> Underway:
    site = underway.site
    site.ledger.append(
        "batch.held", at=utc_now(), via="gate", run=underway.run.id, detail={"reason": "test"}
    )
    return _begin(site, "a.parquet")


def test_a_kept_ingest_is_taken_over_whole(make_site) -> None:
    first, said = _ingested(make_site())
    second = _again(first)
    assert second.adopt(said)
    assert second.ingested is not None
    assert second.ingested.digest == said["digest"]
    assert second.ingested.batch is not None
    assert second.ingested.batch.path.is_relative_to(second.run.stage.scratch)
    second.run.stage.remove()


@pytest.mark.parametrize("what", ["missing", "input/00000", "batch.parquet", "ingest.json"])
def test_a_kept_ingest_that_changed_is_not_believed(make_site, what: str) -> None:
    first, said = _ingested(make_site())
    if what == "missing":
        kept.drop(first.area)
    else:
        path = first.area / what
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    second = _again(first)
    assert not second.adopt(said)
    # The place is clean for an ingest of its own.
    assert second.ingest()["digest"] == said["digest"]
    second.run.stage.remove()


def test_what_was_kept_is_swept_after_a_week(make_site) -> None:
    first, _ = _ingested(make_site())
    runs = first.site.roots.runs
    age = first.area.stat().st_mtime
    kept.sweep(runs, now=age + kept.KEEP - 1)
    assert first.area.is_dir()
    kept.sweep(runs, now=age + kept.KEEP + 1)
    assert not first.area.exists()
