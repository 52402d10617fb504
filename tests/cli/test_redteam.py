"""`auditor redteam` on small data: what it says, that it goes on, what it refuses."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from auditor.redteam.pure_noise import pure_noise

pytestmark = pytest.mark.slow

#: Rules that take no time: exact duplicates and conflicting labels are enough to catch copies.
FAST = {
    rule: {"enabled": False}
    for rule in ("AUD-L001", "AUD-F001", "AUD-T001", "AUD-C001", "AUD-D005", "AUD-R001")
}
SMALL = ("--attack", "exact-copy", "--attack", "bias", "--counts", "20,40", "--seeds", "2", "-q")


@pytest.fixture
def site(bare: Any) -> Any:
    """1,200 clean rows and no baseline."""
    bare.write("rows.parquet", bare.rows(1200, 1))
    bare.configure(name="stones", detectors=FAST)
    return bare


def trials(root: Path) -> list[dict[str, Any]]:
    (path,) = root.glob(".auditor/redteam/*/trials.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()][1:]


def test_it_says_what_would_be_caught_and_goes_on_where_it_stopped(site: Any) -> None:
    call = ("redteam", "rows.parquet", *SMALL, "--workers", "1")
    done = site.call(*call, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["complete"]
    assert (found["trusted_rows"], found["clean_rows"], found["window"]) == (800, 400, 200)
    assert found["clean"]["batches"]["trials"] == 20
    first, second = found["attacks"]["exact-copy"]
    assert (first["rows"], second["rows"]) == (20, 40)
    assert second["not_accepted"]["hits"] == 2
    assert second["not_accepted"]["low"] == pytest.approx(0.342, abs=0.001)
    assert second["poison_set_aside"]["hits"] > 60
    before = trials(site.root)
    again = site.call(*call)
    assert again.code == 0, again.err
    assert trials(site.root) == before  # nothing was tried twice
    more = site.call(*call, "--seeds", "3")
    assert more.code == 0, more.err
    assert trials(site.root)[: len(before)] == before
    assert len(trials(site.root)) > len(before)
    for words in ("exact-copy", "2 of 2", "nothing planted", "plots in"):
        assert words in again.out
    (page,) = site.root.glob(".auditor/redteam/*/redteam.html")
    assert "Red team of" in page.read_text()


def test_what_the_data_has_no_room_for_is_said(site: Any) -> None:
    site.write("plain.parquet", site.rows(900, 2).drop_columns(["who"]))
    done = site.call(
        "redteam", "plain.parquet", "--attack", "sybil", "--counts", "5,400", "-q", "--workers", "1"
    )
    assert done.code == 0, done.err
    assert "not applicable: sybil: injection needs a contributor role" in done.out
    assert "Too many poison rows for a window of 150: 400." in done.out


def test_noise_is_called_noise(site: Any) -> None:
    site.write("noise.parquet", pure_noise(1500, 3).table)
    call = ("--attack", "random-flip", "--counts", "20", "--seeds", "1", "-q", "--workers", "1")
    done = site.call("redteam", "noise.parquet", *call, "--label", "label")
    assert done.code == 0, done.err
    assert "Content alone cannot see a wrong label in this data" in done.out
    assert "the contributor column, signed manifests" in done.out
    told = site.call("redteam", "rows.parquet", *call, "--label", "label")
    assert "can be predicted from the features" in told.out


def test_a_folder_of_other_data_is_refused(site: Any) -> None:
    call = ("--attack", "exact-copy", "--counts", "20", "-q", "--workers", "1", "--out", "out")
    assert site.call("redteam", "rows.parquet", *call).code == 0
    site.write("other.parquet", site.rows(1200, 9))
    done = site.call("redteam", "other.parquet", *call)
    assert done.code == 2
    assert "other data or another configuration" in done.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--attack", "nonsense"), "no attack 'nonsense'"),
        (("--counts", "ten"), "--counts ten: write whole numbers above 0"),
        (("--counts", "0"), "--counts 0: write whole numbers above 0"),
        (("--rates", "0.7"), "--rates 0.7: write shares between 0 and 0.5"),
        (("--rates", "nan"), "--rates nan: write shares between 0 and 0.5"),
    ],
)
def test_what_cannot_be_tried_is_refused(site: Any, options: tuple[str, ...], said: str) -> None:
    done = site.call("redteam", "rows.parquet", "-q", *options)
    assert done.code == 2
    assert said in done.err


@pytest.mark.slow
def test_the_baselines_power_is_measured_shown_and_demanded(site: Any) -> None:
    """Three trials for an attack: enough to see that it is stored, told and held against."""
    built = site.call("baseline", "build", "rows.parquet", "-o", "b", "-q", "--power", "30")
    assert built.code == 0, built.err
    assert "Power: in batches of 200 rows" in built.out
    assert "conflicting-copy" in built.out
    shown = site.call("baseline", "show", "b")
    assert "Not up to 50 rows" in shown.out
    site.write("new.parquet", site.rows(300, 7))
    site.configure(baseline="b", policy={"power": {"trigger": 20}}, manifest={"unsigned": "note"})
    held = site.call("gate", "new.parquet", "-q")
    assert held.code == 12
    assert "policy.power wants trigger attacks caught from 20 rows on" in held.out
    report = site.report()
    assert {one["attack"] for one in report["power_by_attack"]} >= {"backdoor", "sybil"}
    site.configure(policy={"power": {}})
    assert site.call("gate", "new.parquet", "-q").code == 0


@pytest.mark.parametrize("power", ["5", "lots", "-1"])
def test_too_few_trials_of_power_are_refused(site: Any, power: str) -> None:
    done = site.call("baseline", "build", "rows.parquet", "-o", "b", "--power", power)
    assert done.code == 2
    assert "give skip, or a number of trials from 30 on" in done.err


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_measured(site: Any) -> None:
    call = ("redteam", "rows.parquet", "--counts", "10,20,40", "--seeds", "40", "--out", "out")
    child = site.start(*call, process_group=0)
    path = site.root / "out" / "trials.jsonl"
    while child.poll() is None and not (path.exists() and path.read_bytes().count(b"\n") > 25):
        time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=600)
    assert child.returncode == 130, err
    assert b"Interrupted: this is what was measured so far" in out
    assert b"Traceback" not in err
    assert (site.root / "out" / "redteam.html").exists()
