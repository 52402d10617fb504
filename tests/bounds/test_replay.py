"""A run is run again from what was recorded: the same, or it is said what differs."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.slow


def tree(root: Path) -> dict[str, str]:
    """Every file of the site but the read-only marks of SQLite, by digest."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix not in (".db-shm", ".db-wal"):
            name = path.relative_to(root).as_posix()
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def gated(site: Any, name: str, table: pa.Table, *how: str) -> int:
    done = site.call("gate", site.write(f"in/{name}.parquet", table), "-q", *how)
    return int(done.code)


def replay(site: Any, *how: str | Path) -> Any:
    return site.call("replay", *(how or ("latest",)), "-q")


def renamed(table: pa.Table, prefix: str) -> pa.Table:
    ids = [f"{prefix}-{number}" for number in range(table.num_rows)]
    return table.set_column(table.schema.get_field_index("id"), "id", pa.array(ids))


def test_a_run_replays_as_it_was_and_nothing_is_touched(site: Any) -> None:
    assert gated(site, "a", site.copies(site.rows(200, 21), 30)) == 10
    before = tree(site.root)
    done = replay(site)
    assert done.code == 0, done.out + done.err
    assert "the same: QUARANTINE" in done.last
    assert tree(site.root) == before


def test_history_is_taken_as_of_the_run(site: Any) -> None:
    """Later batches published the same rows; by them the first would be set aside today."""
    first = site.rows(200, 21)
    assert gated(site, "a", first) == 0
    run = max(site.visible("runs")).name
    assert gated(site, "b", pa.concat_tables([site.rows(200, 22), renamed(first, "x")])) == 10
    assert gated(site, "c", pa.concat_tables([renamed(first, "z"), site.rows(200, 23)])) == 10
    later = max(site.visible("runs")).name
    assert replay(site, run).code == 0
    done = replay(site, later)
    assert done.code == 0, done.out
    assert any(f["rule"] == "AUD-D002" for f in site.report()["findings"])


def test_a_lost_record_of_an_earlier_run_is_said_openly(site: Any) -> None:
    assert gated(site, "a", site.rows(200, 21)) == 0
    first = max(site.visible("runs"))
    assert gated(site, "b", site.rows(200, 22)) == 0
    shutil.rmtree(first)
    done = replay(site)
    assert done.code == 13
    assert f"lost: the record of run {first.name}" in done.out


def test_other_bytes_are_named_and_not_run(site: Any) -> None:
    assert gated(site, "a", site.rows(200, 21)) == 0
    site.write("in/a.parquet", site.rows(200, 24))
    done = replay(site)
    assert done.code == 13
    assert "the file a.parquet" in done.out
    assert "not run: these are not the bytes" in done.last


def test_data_that_moved_is_named_by_hand(site: Any) -> None:
    assert gated(site, "a", site.rows(200, 21)) == 0
    (site.root / "archive").mkdir()
    (site.root / "in/a.parquet").rename(site.root / "archive/a.parquet")
    assert replay(site).code == 2
    done = replay(site, "latest", "--data", "archive/a.parquet")
    assert done.code == 0, done.out


def test_a_rule_that_judges_otherwise_now_is_named(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from auditor.detectors.exact_duplicates import ExactDuplicates

    assert gated(site, "a", site.copies(site.rows(200, 21), 30)) == 10
    monkeypatch.setattr(ExactDuplicates, "_judge", lambda *_: ())
    done = replay(site)
    assert done.code == 13
    assert "differs: the verdict\n  recorded QUARANTINE\n  now      ACCEPT" in done.out
    assert "differs: rows that findings name" in done.out
    assert "differs: the digest of the set" in done.out


def test_settings_of_then_count_not_those_of_today(site: Any) -> None:
    assert gated(site, "a", site.copies(site.rows(200, 21), 30)) == 10
    site.configure(policy={"effects": {"AUD-D001": "reject"}})
    assert replay(site).code == 0


def test_a_baseline_that_is_gone_is_said(site: Any) -> None:
    assert gated(site, "a", site.rows(200, 21)) == 0
    other = site.write("other.parquet", site.rows(700, 5))
    shutil.rmtree(site.root / "baseline")
    built = site.call("baseline", "build", other, "-o", "baseline", "-q", "--power", "skip")
    assert built.code == 0, built.err
    done = replay(site)
    assert done.code == 13
    assert "lost: the baseline" in done.out
    assert "differs: the baseline" in done.out


def test_a_changed_report_is_refused_before_anything_runs(site: Any) -> None:
    """Attack: edit the report so that the replay agrees with it."""
    assert gated(site, "a", site.copies(site.rows(200, 21), 30)) == 10
    path = max(site.visible("runs")) / "report.json"
    said = json.loads(path.read_bytes())
    said["verdict"] = "ACCEPT"
    path.write_text(json.dumps(said))
    done = replay(site)
    assert done.code == 12
    assert "not the file that the ledger names" in done.err


def test_audits_and_observed_runs_replay_too(site: Any) -> None:
    data = site.write("in/a.parquet", site.copies(site.rows(200, 21), 30))
    assert site.call("audit", data, "-q").code == 0
    assert replay(site).code == 0
    assert site.call("gate", data, "-q", "--observe").code == 0
    assert replay(site).code == 0


def test_the_manifest_of_then_counts(vendor: Any) -> None:
    """Attack: put another manifest beside the data afterwards."""
    site = vendor.site
    data = vendor.batch("one", 31)
    assert vendor.gate(data) == 0
    beside = data.with_name(f"{data.name}.manifest.dsse.json")
    beside.write_bytes(b"{}")
    done = replay(site)
    assert done.code == 0, done.out
    beside.unlink()
    assert replay(site).code == 0
    kept = max(site.visible("runs")) / "manifest.dsse.json"
    kept.write_bytes(b"{}")
    done = replay(site)
    assert done.code == 13
    assert "lost: the manifest" in done.out


def test_a_manifest_that_came_later_does_not_count(site: Any) -> None:
    table = site.rows(200, 21)
    assert gated(site, "a", table) == 0
    site.write("in/a.parquet.manifest.dsse.json", "{}")
    assert pq.read_table(site.root / "in/a.parquet").equals(table)
    assert replay(site).code == 0


def test_a_table_in_memory_cannot_be_replayed(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import auditor

    monkeypatch.chdir(site.root)
    auditor.audit(site.rows(200, 21), config="auditor.yaml")
    done = replay(site)
    assert done.code == 2
    assert "cannot be replayed" in done.err


def test_a_site_that_moved_replays_with_its_own_files(site: Any, tmp_path: Path) -> None:
    assert gated(site, "a", site.copies(site.rows(200, 21), 30)) == 10
    moved = type(site)(tmp_path / "elsewhere", dict(site.settings))
    site.root.rename(moved.root)
    done = replay(moved, "latest", "--data", "in/a.parquet")
    assert done.code == 0, done.out + done.err


def test_damaged_findings_are_a_difference(site: Any) -> None:
    assert gated(site, "a", site.rows(200, 21)) == 0
    (max(site.visible("runs")) / "findings.parquet").write_bytes(b"PAR1")
    done = replay(site)
    assert done.code == 13
    assert "differs: rows that findings name" in done.out


def test_a_run_that_broke_off_is_judged_now(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was held for a fault of ours; the replay says what the rules would have said."""
    from auditor import pipeline

    data = site.write("in/a.parquet", site.rows(200, 21))
    with monkeypatch.context() as broken:
        broken.setattr(pipeline, "judge", lambda *_: 1 / 0)
        assert site.call("gate", data, "-q").code == 12
    done = replay(site)
    assert done.code == 13
    assert "differs: the verdict\n  recorded HOLD\n  now      ACCEPT" in done.out
