"""What a gate remembers of the batches that it published, over whole runs."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditor import remembering
from auditor.errors import LedgerError

pytestmark = pytest.mark.slow


def gated(site: Any, name: str, table: pa.Table, *how: str) -> int:
    done = site.call("gate", site.write(f"in/{name}.parquet", table), "-q", *how)
    return int(done.code)


def findings(site: Any, rule: str) -> list[dict[str, Any]]:
    return [each for each in site.report()["findings"] if each["rule"] == rule]


def history(site: Any) -> Path:
    path: Path = site.root / ".auditor" / "history.db"
    return path


def contents(site: Any) -> dict[str, list[Any]]:
    """Everything in the history except numbers that SQLite gave."""
    found = {}
    with sqlite3.connect(history(site)) as db:
        for table in ("progress", "batch", "missing", "tally", "sent", "evidence"):
            found[table] = db.execute(f"SELECT * FROM {table}").fetchall()
        query = "SELECT scheme, kind, rows, keys, batch FROM segment ORDER BY id"
        found["segment"] = db.execute(query).fetchall()
    db.close()
    return found


def renamed(table: pa.Table, prefix: str) -> pa.Table:
    ids = [f"{prefix}-{number}" for number in range(table.num_rows)]
    return table.set_column(table.schema.get_field_index("id"), "id", pa.array(ids))


def with_old_rows(site: Any, seed: int, old: pa.Table, count: int) -> pa.Table:
    """New rows, and `count` rows of an earlier batch under new ids."""
    return pa.concat_tables([site.rows(200, seed), renamed(old.slice(0, count), f"again{seed}")])


def test_rows_of_an_earlier_batch_are_set_aside(site: Any) -> None:
    first = site.rows(200, 21)
    assert gated(site, "a", first) == 0
    assert gated(site, "b", site.rows(200, 22)) == 0
    assert gated(site, "c", with_old_rows(site, 23, first, 30)) == 10
    (found,) = findings(site, "AUD-D002")
    assert (found["effect"], found["rows"]) == ("quarantine", 30)
    assert "published in an earlier batch" in found["message"]
    assert site.report()["rows_quarantined"] == 30


def test_rows_that_were_set_aside_are_no_history(site: Any) -> None:
    trusted = pq.read_table(site.root / "trusted.parquet").slice(0, 40)
    assert gated(site, "a", pa.concat_tables([site.rows(200, 21), renamed(trusted, "old")])) == 10
    report = site.report()
    assert report["rows_quarantined"] >= 40
    with sqlite3.connect(history(site)) as db:
        assert db.execute("SELECT rows FROM batch").fetchall() == [(report["rows_published"],)]
    db.close()
    keys = pq.read_table(site.visible("runs")[0] / "history_keys.parquet")
    assert keys.num_rows == report["rows_published"] <= 200


def test_labels_that_contradict_an_earlier_batch_are_set_aside(site: Any) -> None:
    first = site.rows(200, 21)
    assert gated(site, "a", first) == 0
    batch = with_old_rows(site, 23, first, 25)
    labels = batch["label"].to_pylist()
    labels[200:] = ["down" if label == "up" else "up" for label in labels[200:]]
    batch = batch.set_column(batch.schema.get_field_index("label"), "label", pa.array(labels))
    assert gated(site, "b", batch) == 10
    (found,) = findings(site, "AUD-D003")
    assert (found["effect"], found["rows"]) == ("quarantine", 25)
    assert findings(site, "AUD-D002") == []


def test_a_batch_is_not_accused_by_itself(site: Any) -> None:
    first = site.rows(200, 21)
    assert gated(site, "a", first) == 0
    assert gated(site, "b", site.rows(200, 22)) == 0
    before = contents(site)
    assert gated(site, "a", first) == 0
    assert findings(site, "AUD-D002") == findings(site, "AUD-D003") == []
    after = contents(site)
    for table in ("tally", "sent", "evidence", "segment"):
        assert after[table] == before[table], table
    assert len(after["batch"]) == len(before["batch"]) + 1


def test_a_batch_that_was_held_is_not_accused_either(site: Any) -> None:
    first = site.rows(200, 21)
    site.configure(manifest={"unsigned": "hold"})
    assert gated(site, "a", first) == 12
    assert not history(site).exists()
    site.configure(manifest={"unsigned": "note"})
    assert gated(site, "a", first) == 0
    assert findings(site, "AUD-D002") == []


@pytest.mark.parametrize("command", [("audit",), ("gate", "--observe")])
def test_who_publishes_nothing_remembers_nothing(site: Any, command: tuple[str, ...]) -> None:
    data = site.write("in/a.parquet", site.rows(200, 21))
    assert site.call(*command, data, "-q").code == 0
    assert not history(site).exists()
    assert gated(site, "b", site.rows(200, 22)) == 0
    before = contents(site)
    assert site.call(*command, data, "-q").code == 0
    after = contents(site)
    assert {k: v for k, v in after.items() if k != "progress"} == {
        k: v for k, v in before.items() if k != "progress"
    }


def test_a_rejected_batch_changes_nothing(site: Any) -> None:
    assert gated(site, "a", site.rows(200, 21)) == 0
    before = contents(site)
    site.configure(policy={"effects": {"AUD-D001": "reject"}})
    assert gated(site, "b", site.copies(site.rows(200, 22), 60)) == 11
    site.configure(policy={})
    assert gated(site, "c", site.rows(200, 24), "--observe") == 0
    after = contents(site)
    assert all(after[table] == before[table] for table in before if table != "progress")


@pytest.mark.slow
def test_a_feed_that_always_repeats_a_little_is_not_accused_for_ever(site: Any) -> None:
    site.configure(policy={"effects": {"AUD-D002": "note"}})
    last = site.rows(200, 40)
    assert gated(site, "first", last) == 0
    for number in range(41, 46):
        batch = with_old_rows(site, number, last, 8)
        assert gated(site, f"b{number}", batch) == 0
        last = batch
    site.configure(policy={})
    assert gated(site, "usual", with_old_rows(site, 46, last, 8)) == 0
    (found,) = findings(site, "AUD-D002")
    assert found["effect"] == "note"
    assert gated(site, "much", with_old_rows(site, 47, last, 60)) == 10


def test_a_crash_before_the_history_is_written_loses_nothing(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = site.rows(200, 21)
    calls = []

    def broken(*_: object) -> list[str]:
        calls.append(1)
        if len(calls) == 2:  # once at the start, once after the verdict
            raise LedgerError("the disk failed")
        return []

    with monkeypatch.context() as patched:
        patched.setattr(remembering, "catch_up", broken)
        assert gated(site, "a", first) == 0  # the verdict stands
    assert not history(site).exists()
    assert gated(site, "b", with_old_rows(site, 23, first, 30)) == 10
    assert [each["rows"] for each in findings(site, "AUD-D002")] == [30]


def test_killed_between_the_verdict_and_visibility(site: Any) -> None:
    """The run is still staged when the next one looks: recovery shows it, then it is taken in."""
    first = site.rows(200, 21)
    assert gated(site, "a", first) == 0
    run = site.visible("runs")[0]
    history(site).unlink()
    staging = site.root / ".auditor" / "runs" / ".staging"
    staged = staging / run.name / "evidence"
    staged.parent.mkdir(parents=True)
    shutil.move(run, staged)
    plan = {"v": 1, "run": run.name, "published": None, "quarantined": None}
    (staged.parent / "commit_plan.json").write_text(json.dumps(plan))
    (staging / f"{run.name}.lock").touch()
    assert gated(site, "b", with_old_rows(site, 23, first, 30)) == 10
    assert [each["rows"] for each in findings(site, "AUD-D002")] == [30]
    assert site.staged() == []


def test_a_deleted_history_comes_back(site: Any) -> None:
    for number in range(3):
        assert gated(site, f"b{number}", site.rows(200, 30 + number)) == 0
    before = contents(site)
    history(site).unlink()
    assert site.call("audit", site.write("in/x.parquet", site.rows(100, 50)), "-q").code == 0
    after = contents(site)
    for name in ("batch", "tally", "sent", "evidence", "segment"):
        assert after[name] == before[name], name


def test_a_run_folder_that_was_changed_stops_the_next_run(site: Any) -> None:
    assert gated(site, "a", site.rows(200, 21)) == 0
    history(site).unlink()
    path = site.visible("runs")[0] / "history_keys.parquet"
    path.write_bytes(path.read_bytes()[::-1])
    done = site.call("gate", site.write("in/b.parquet", site.rows(200, 22)), "-q")
    assert done.code == 12
    assert "not the file that the ledger names" in done.err
    assert site.staged() == []


def test_what_was_sent_is_remembered_by_contributor(site: Any) -> None:
    assert gated(site, "a", site.copies(site.rows(200, 21), 30)) == 10
    with sqlite3.connect(history(site)) as db:
        found = db.execute("SELECT sum(rows), sum(quarantined), sum(certain) FROM sent").fetchone()
        names = {name for (name,) in db.execute("SELECT subject FROM sent")}
        clean = {n for (n,) in db.execute("SELECT subject FROM sent WHERE quarantined = 0")}
        evidence = db.execute("SELECT rule, subject, batches FROM evidence").fetchall()
    db.close()
    assert {(rule, batches) for rule, _, batches in evidence} == {("AUD-C004", 1)}
    # What was caught is not held against those contributors again.
    assert clean
    assert {subject for _, subject, _ in evidence} == clean < names
    assert found[:2] == (230, 30)
    assert names <= set(np.unique([f"lab-{i:02d}" for i in range(12)]).tolist())


def test_only_a_signed_roll_makes_a_batch_count_for_standing(site: Any) -> None:
    assert site.call("keys", "generate", "vendor").code == 0
    site.configure(manifest={"keys": {"v/stones": ["./vendor.pub"]}, "unsigned": "note"})
    data = site.write("in/a.parquet", site.rows(200, 21))
    asked = ("--source", "v/stones", "--batch-id", "1", "--label", "label", "--contributor", "who")
    assert site.call("manifest", "create", data, *asked).code == 0
    manifest = data.with_name("a.parquet.manifest.dsse.json")
    assert site.call("manifest", "sign", manifest, "--key", "vendor.key").code == 0
    assert site.call("gate", data, "-q").code == 0
    assert gated(site, "b", site.rows(200, 22)) == 0
    with sqlite3.connect(history(site)) as db:
        vouched = [each for (each,) in db.execute("SELECT vouched FROM batch ORDER BY seq")]
    db.close()
    assert vouched == [1, 0]
    (skipped,) = [r["reason"] for r in site.report()["rules"] if r["id"] == "AUD-C003"]
    assert "no signed roll" in skipped


# --- forged standing ----------------------------------------------------------------------------


def test_case_95_an_earlier_verdict_is_forged(site: Any) -> None:
    """Somebody edits what the ledger says of earlier batches: held before any score."""
    assert gated(site, "a", site.rows(200, 21)) == 0
    with sqlite3.connect(site.root / ".auditor" / "ledger.db") as db:
        triggers = db.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall()
        for (name,) in triggers:
            db.execute(f'DROP TRIGGER "{name}"')
        db.execute("UPDATE entry SET body = replace(body, '\"ACCEPT\"', '\"REJECT\"')")
    db.close()
    done = site.call("gate", site.write("in/b.parquet", site.rows(200, 22)))
    assert done.code == 12
    assert "HOLD: LEDGER_TAMPERED: " in done.err
    assert [len(site.visible(name)) for name in ("runs", "published")] == [1, 1]


def test_known_rows_are_known_by_another_type_of_a_column(site: Any) -> None:
    """Attack: send trusted rows again; numbers written as decimals are the same numbers."""
    again = renamed(pq.read_table(site.root / "trusted.parquet").slice(0, 30), "again")
    place = again.schema.get_field_index("x")
    decimals = again.set_column(place, "x", again["x"].cast(pa.decimal128(12, 6)))
    other = site.rows(200, 25)
    other = other.set_column(place, "x", other["x"].cast(pa.decimal128(12, 6)))
    assert gated(site, "a", pa.concat_tables([other, decimals])) == 10
    (found,) = findings(site, "AUD-D002")
    assert (found["effect"], found["rows"]) == ("quarantine", 30)
