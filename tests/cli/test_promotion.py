"""`auditor baseline promote|drop`: who may add to what is trusted, when, and what is recorded."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from auditor.baseline_files import read, read_plain
from auditor.ledger import Ledger

pytestmark = pytest.mark.slow

REVIEWED = ("--reviewed-by", "ann", "--reason", "looked at it")


def baseline_of(site: Any) -> Any:
    return read(site.root / "baseline")


def gated(site: Any, seed: int = 5, count: int = 200) -> str:
    """Gate clean rows, and return the run."""
    site.write(f"in/{seed}.parquet", site.rows(count, seed))
    done = site.call("gate", f"in/{seed}.parquet", "-q")
    assert done.code == 0, done.out
    return str(max(path.name for path in site.visible("runs")))


def promote(site: Any, run: str, *more: str) -> Any:
    return site.call("baseline", "promote", run, *REVIEWED, "-q", *more)


def events(site: Any, name: str) -> list[Any]:
    entries = Ledger(site.root / ".auditor" / "ledger.db").entries()
    return [entry.event for entry in entries if entry.name == name]


@pytest.fixture
def site(site: Any) -> Any:
    """Of the rules those that know copies: what is judged is not the subject here."""
    slow = ("AUD-C001", "AUD-D005", "AUD-R001", "AUD-T001", *site.settings["detectors"])
    site.configure(detectors={rule: {"enabled": False} for rule in slow})
    return site


@pytest.fixture
def open_site(site: Any) -> Any:
    """A site that promotes without waiting."""
    site.configure(promotion={"cooling_off_days": 0})
    return site


def test_a_reviewed_run_becomes_a_part(open_site: Any) -> None:
    before = baseline_of(open_site)
    run = gated(open_site)
    done = promote(open_site, run)
    assert done.code == 0, done.err
    assert f"{run}: 200 rows added" in done.out
    after = baseline_of(open_site)
    assert (before.rows, after.rows) == (800, 1000)
    (part,) = [part for part in after.parts if part.run == run]
    assert (part.name, part.role, part.reviewed_by) == (run, "fit", "ann")
    assert part.accepted_at is not None
    assert part.accepted_at <= part.added_at
    (event,) = [e for e in events(open_site, "baseline.promoted") if e.run]
    assert (event.subject, event.run) == (after.digest, run)
    assert set(event.refs) == {part.published, before.digest}
    assert event.detail["reviewed_by"] == "ann"
    kept = open_site.root / "baseline" / "reasons" / f"{event.detail['reason_sha256']}.txt"
    assert kept.read_text() == "looked at it"


def test_the_next_run_is_judged_by_the_new_version(open_site: Any) -> None:
    promote(open_site, gated(open_site))
    gated(open_site, 6)
    assert open_site.report()["reproduce"]["baseline_sha256"] == baseline_of(open_site).digest
    shown = open_site.call("baseline", "show").out
    assert "1000 rows in 2 part(s)" in shown
    assert "reviewed by ann" in shown


def test_versions_stay_and_can_be_compared(open_site: Any) -> None:
    before = baseline_of(open_site)
    done = promote(open_site, gated(open_site))
    folder = open_site.root / "baseline"
    assert read_plain(folder).digest == before.digest
    kept = {read_plain(path).digest for path in (folder / "versions").iterdir()}
    assert kept == {before.digest, baseline_of(open_site).digest}
    compare = done.out.rstrip().rsplit("compare: auditor ", 1)[1].split()
    diff = open_site.call(*compare)
    assert diff.code == 0
    assert f"old {before.digest[:16]}  800 rows" in diff.out
    (row,) = [line.split() for line in diff.out.splitlines() if " added " in line]
    assert row[1:] == ["added", "0", "200"]


def test_files_of_parts_are_shared_between_versions(open_site: Any) -> None:
    promote(open_site, gated(open_site))
    folder = open_site.root / "baseline"
    files = [p for v in (folder / "versions").iterdir() for p in v.glob("parts/*/rows.parquet")]
    assert len(files) == 3
    assert sorted(path.stat().st_nlink for path in files) == [1, 3, 3]


def test_a_young_verdict_has_to_cool_off(site: Any) -> None:
    done = promote(site, gated(site))
    assert done.code == 2
    assert "it can be promoted from" in done.err
    assert "promotion.cooling_off_days: 7" in done.err
    assert baseline_of(site).rows == 800


def test_never_means_never(site: Any) -> None:
    site.configure(promotion={"allow": "never", "cooling_off_days": 0})
    done = promote(site, gated(site))
    assert done.code == 2
    assert "promotion.allow is never" in done.err


def test_nothing_is_promoted_twice(open_site: Any) -> None:
    run = gated(open_site)
    assert promote(open_site, run).code == 0
    again = promote(open_site, run)
    assert again.code == 2
    assert "is in the baseline already" in again.err
    assert baseline_of(open_site).rows == 1000


def test_the_same_published_rows_are_not_promoted_twice(open_site: Any) -> None:
    first, second = gated(open_site), gated(open_site)
    assert first != second
    assert promote(open_site, first).code == 0
    again = promote(open_site, second)
    assert again.code == 2
    assert f"published the same files as run {first}" in again.err


def test_of_a_quarantined_batch_the_published_rows_are_added(open_site: Any) -> None:
    open_site.write("in/bad.parquet", open_site.copies(open_site.rows(200, 5), 10))
    assert open_site.call("gate", "in/bad.parquet", "-q").code == 10
    assert promote(open_site, "latest").code == 0
    assert baseline_of(open_site).rows == 1000


def test_a_rejected_batch_is_not_promoted(open_site: Any) -> None:
    open_site.write("in/bad.parquet", b"PAR1 nonsense")
    assert open_site.call("gate", "in/bad.parquet", "-q").code == 11
    done = promote(open_site, "latest")
    assert done.code == 2
    assert "published nothing" in done.err


def test_an_audit_is_not_promoted(open_site: Any) -> None:
    open_site.write("in/a.parquet", open_site.rows(200, 5))
    assert open_site.call("audit", "in/a.parquet", "-q").code == 0
    done = promote(open_site, "latest")
    assert done.code == 2
    assert "published nothing (mode audit)" in done.err


def test_a_batch_that_is_held_is_not_promoted(open_site: Any) -> None:
    open_site.configure(manifest={"unsigned": "hold"})
    open_site.write("in/a.parquet", open_site.rows(200, 5))
    assert open_site.call("gate", "in/a.parquet", "-q").code == 12
    done = promote(open_site, "latest")
    assert done.code == 2
    assert "the ledger has no verdict of this run" in done.err


def test_changed_published_files_are_not_promoted(open_site: Any) -> None:
    run = gated(open_site)
    (folder,) = open_site.visible("published")
    open_site.write(str(folder / "zz.parquet"), open_site.rows(50, 9))
    done = promote(open_site, run)
    assert done.code == 2
    assert "other files than the run published" in done.err
    assert len(events(open_site, "baseline.promoted")) == 1


def test_the_report_must_be_the_one_of_the_ledger(open_site: Any) -> None:
    """Else an edited report could name other rows that were published for another run."""
    run = gated(open_site)
    path = open_site.root / ".auditor" / "runs" / run / "report.json"
    report = json.loads(path.read_bytes())
    path.write_text(json.dumps({**report, "verdict": "ACCEPT"}))
    done = promote(open_site, run)
    assert done.code == 2
    assert "is not the one that the ledger's verdict names" in done.err


def test_the_ledger_is_written_before_the_baseline_changes(open_site: Any) -> None:
    run = gated(open_site)
    before = baseline_of(open_site).digest
    with sqlite3.connect(open_site.root / ".auditor" / "ledger.db") as opened:
        opened.execute(
            "CREATE TRIGGER full BEFORE INSERT ON entry BEGIN SELECT RAISE(ABORT, 'x'); END"
        )
    done = promote(open_site, run)
    assert done.code == 12
    assert baseline_of(open_site).digest == before
    versions = open_site.root / "baseline" / "versions"
    assert [path.name for path in versions.iterdir()] == [before[:32]]


def test_a_batch_with_other_columns_is_refused(open_site: Any) -> None:
    table = open_site.rows(200, 5)
    open_site.write("in/a.parquet", table.drop_columns(["y"]))
    open_site.configure(policy={"effects": {"AUD-I003": "note"}}, roles={})
    open_site.configure(baseline=None)
    open_site.call("gate", "in/a.parquet", "-q")
    done = promote(open_site, "latest", "--baseline", "baseline")
    assert done.code == 2
    assert "column 'y' of the baseline is missing" in done.err


def test_control_rows_are_not_learned_from(open_site: Any) -> None:
    assert promote(open_site, gated(open_site), "--control").code == 0
    after = baseline_of(open_site)
    assert (after.rows, after.keys.num_rows) == (800, 1000)
    assert "control" in open_site.call("baseline", "show").out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("promote",), "name a run, or give --due"),
        (("promote", "latest", "--due"), "name a run, or give --due"),
        (("promote", "latest"), "--reviewed-by NAME and --reason TEXT"),
        (("promote", "latest", "--reviewed-by", "ann"), "--reviewed-by NAME and --reason TEXT"),
        (("promote", "--due", "--reviewed-by", "ann"), "nobody looked at"),
        (("promote", "--due"), "promotion.allow is reviewed: --due needs automatic"),
        (("promote", "latest", *REVIEWED, "--baseline", "no"), "no: cannot be opened"),
        (("drop", *REVIEWED), "one of --part, --source and --contributor"),
        (("drop", "--part", "a", "--source", "b", *REVIEWED), "one of --part, --source"),
        (("drop", "--part", "stones"), "--reviewed-by NAME and --reason TEXT"),
        (("drop", "--part", "no such", *REVIEWED), "no trusted row of part 'no such'"),
        (("drop", "--part", "stones", *REVIEWED), "0 trusted rows are too few"),
        (("drop", "--contributor", "nobody", *REVIEWED), "no trusted row of contributor"),
        (("drop", "--source", "web", *REVIEWED), "no trusted row of source 'web'"),
    ],
)
def test_what_cannot_be_done_is_said(open_site: Any, given: tuple[str, ...], said: str) -> None:
    if "latest" in given:
        gated(open_site)
    done = open_site.call("baseline", *given)
    assert done.code == 2
    assert said in done.err
    assert len(events(open_site, "baseline.promoted")) == 1
    assert not events(open_site, "baseline.part_dropped")


# --- drop ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_added_and_dropped_is_the_baseline_of_before(open_site: Any) -> None:
    promote(open_site, gated(open_site, 4))  # under the settings of now; the site's has more rules
    before = baseline_of(open_site).digest
    run = gated(open_site)
    promote(open_site, run)
    assert baseline_of(open_site).digest != before
    done = open_site.call("baseline", "drop", "--part", run, *REVIEWED, "-q")
    assert done.code == 0, done.err
    assert f"{run}: 200 rows taken out" in done.out
    assert baseline_of(open_site).digest == before
    (event,) = events(open_site, "baseline.part_dropped")
    assert (event.subject, event.run, event.detail["rows"]) == (before, run, 200)
    # A person may think again.
    assert promote(open_site, run).code == 0


def test_a_contributor_is_taken_out_of_all_parts(open_site: Any) -> None:
    promote(open_site, gated(open_site))
    done = open_site.call("baseline", "drop", "--contributor", "lab-03", *REVIEWED, "-q")
    assert done.code == 0, done.err
    after = baseline_of(open_site)
    counts = [
        open_site.rows(n, s)["who"].to_pylist().count("lab-03") for n, s in ((800, 1), (200, 5))
    ]
    assert sorted(part.removed for part in after.parts) == sorted(counts)
    assert "lab-03" not in after.trusted_texts("contributor")
    assert "lab-03" not in after.sample["who"].to_pylist()
    told = events(open_site, "baseline.part_dropped")
    assert sorted(event.detail["rows"] for event in told) == sorted(counts)
    assert all("lab-03" not in json.dumps(dict(event.detail)) for event in told)


# --- due -----------------------------------------------------------------------------------


def automatic(site: Any, days: float = 0) -> Any:
    site.configure(promotion={"allow": "automatic", "cooling_off_days": days})
    return site


def due(site: Any) -> Any:
    return site.call("baseline", "promote", "--due", "-q")


def test_every_run_that_is_due_is_promoted_once(site: Any) -> None:
    automatic(site)
    runs = [gated(site, 5), gated(site, 6)]
    assert due(site).code == 0
    # Parts of one second stand in an order of their own, whichever came first.
    assert {part.run for part in baseline_of(site).parts} == {None, *runs}
    assert [event.run for event in events(site, "baseline.promoted") if event.run] == runs
    assert {part.reviewed_by for part in baseline_of(site).parts} == {None}
    assert due(site).out == "nothing is due\n"
    last = events(site, "baseline.promoted")[-1]
    assert last.detail["by"] == "automatic"


def test_what_is_too_young_is_not_due(site: Any) -> None:
    automatic(site, 1)
    gated(site)
    assert due(site).out == "nothing is due\n"


def test_what_was_dropped_does_not_come_back_by_itself(site: Any) -> None:
    automatic(site)
    run = gated(site)
    due(site)
    assert site.call("baseline", "drop", "--part", run, *REVIEWED, "-q").code == 0
    assert due(site).out == "nothing is due\n"


def test_rows_that_were_set_aside_or_not_judged_by_this_baseline_are_not_due(site: Any) -> None:
    automatic(site)
    site.write("in/bad.parquet", site.copies(site.rows(200, 5), 10))
    assert site.call("gate", "in/bad.parquet", "-q").code == 10
    named = site.settings["baseline"]
    site.configure(baseline=None)
    gated(site, 6)
    site.configure(baseline=named)
    assert due(site).out == "nothing is due\n"


def test_one_changed_run_does_not_stop_the_others(site: Any) -> None:
    automatic(site)
    first = gated(site, 5)
    (folder,) = site.visible("published")
    second = gated(site, 6)
    next(folder.glob("*.parquet")).write_bytes(b"")
    done = due(site)
    assert done.code == 2
    assert "1 runs could not be promoted" in done.err
    assert [part.run for part in baseline_of(site).parts] == [None, second]
    assert first not in done.out


# --- the pointer ---------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["", "../../elsewhere", "0" * 64, "zz"])
def test_a_pointer_that_leads_nowhere_is_an_error(open_site: Any, content: str) -> None:
    promote(open_site, gated(open_site))
    Path(open_site.root / "baseline" / "current").write_text(content)
    done = open_site.call("baseline", "show")
    assert done.code == 2
    assert "baseline" in done.err


def test_a_version_under_a_wrong_name_is_an_error(open_site: Any) -> None:
    promote(open_site, gated(open_site))
    folder = open_site.root / "baseline"
    old, new = read_plain(folder).digest, baseline_of(open_site).digest
    (folder / "versions" / new[:32]).rename(folder / "aside")
    (folder / "versions" / old[:32]).rename(folder / "versions" / new[:32])
    done = open_site.call("baseline", "show")
    assert done.code == 2
    assert "holds another version than its name says" in done.err


def test_two_processes_do_not_change_it_at_once(open_site: Any) -> None:
    from auditor.baseline_versions import changing

    run = gated(open_site)
    with changing(open_site.root / "baseline"):
        done = promote(open_site, run)
    assert done.code == 2
    assert "another process is changing it" in done.err
    assert promote(open_site, run).code == 0


def test_what_a_killed_process_left_is_removed(open_site: Any) -> None:
    run = gated(open_site)
    dead = open_site.root / "baseline" / "versions" / ".dead"
    dead.mkdir(parents=True)
    (dead / "baseline.json").write_text("{")
    assert promote(open_site, run).code == 0
    assert not dead.exists()
    assert baseline_of(open_site).rows == 1000
