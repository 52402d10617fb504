"""Self-measurement in whole runs: canaries reach nothing that is written, a blind gate holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from auditor import canaries, self_measurement
from auditor.model import Outcome

pytestmark = pytest.mark.slow


@pytest.fixture
def unbounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is planted, however small the batch: these tests are not about the budget."""
    monkeypatch.setattr(self_measurement, "SHARE", 1e6)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every word that the canaries of this test make up."""
    words: list[str] = []
    original = canaries.word

    def noted(*arguments: Any) -> str:
        words.append(original(*arguments))
        return words[-1]

    monkeypatch.setattr(canaries, "word", noted)
    return words


def contents(folder: Path) -> dict[str, bytes]:
    """Data files below a folder; attestations differ in run and time."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {p.name: p.read_bytes() for p in files if p.suffix == ".parquet"}


@pytest.mark.usefixtures("unbounded")
def test_published_and_quarantined_bytes_are_the_same_with_and_without(
    site_at: Any, tmp_path: Path
) -> None:
    found = {}
    for setting in ("on", "off"):
        site = site_at(setting, tmp_path)
        site.configure(self_measurement=setting)
        batch = site.write("in/b.parquet", site.copies(site.rows(400, 6), 30))
        assert site.call("gate", batch, "-q").code == 10
        own = site.report()["self_measurement"]
        assert bool(own["canaries"]) == (setting == "on")
        (published,), (aside,) = site.visible("published"), site.visible("quarantine")
        rows = pq.read_table(aside / "rows.parquet")
        found[setting] = (published.name, contents(published), aside.name, rows.to_pylist())
    assert len(found["on"][1]) == 1
    assert len(found["on"][3]) == 30
    assert found["on"] == found["off"]


@pytest.mark.usefixtures("unbounded")
def test_a_canary_is_nowhere_in_what_a_run_writes(site: Any, made: list[str]) -> None:
    """Neither its words nor its hidden characters, in any file: rows, reports, ledger, history."""
    batch = site.write("in/b.parquet", site.copies(site.rows(400, 6), 30))
    assert site.call("gate", batch, "-q").code == 10
    assert len(set(made)) >= 3
    seen = {one["canary"]: one["found"] for one in site.report()["self_measurement"]["canaries"]}
    assert seen["a new column"] == 1
    assert seen["hidden characters"] >= 40
    written = [path for path in (site.root / ".auditor").rglob("*") if path.is_file()]
    assert len(written) > 8
    for path in written:
        raw = path.read_bytes()
        texts = [str(pq.read_table(path).to_pylist())] if path.suffix == ".parquet" else []
        texts.append(raw.decode("utf-8", "replace"))
        for text in texts:
            assert not [word for word in made if word in text], path
            assert not [mark for mark in canaries._UNSEEN if mark in text], path
            assert not [mark for mark in canaries._UNSEEN if ascii(mark)[1:-1] in text], path


@pytest.mark.usefixtures("unbounded")
def test_a_gate_whose_rule_goes_blind_holds(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from auditor.detectors.hidden_text import HiddenText

    batch = site.write("in/a.parquet", site.rows(400, 6))
    assert site.call("gate", batch, "-q").code == 0
    monkeypatch.setattr(HiddenText, "scan", lambda self, _: Outcome(rule=self.rule.id))
    done = site.call("gate", batch, "-q")
    assert done.code == 12
    report = site.report()
    assert report["verdict"] == "HOLD"
    assert "hidden characters was planted with 2 seeds" in report["reasons"][0]
    (folder,) = [p for p in site.visible("runs") if p.name == report["run"]]
    page = (folder / "report.html").read_text()
    assert "MISSED" in page
    assert len(site.visible("published")) == 1


def test_it_can_be_switched_off_and_needs_a_baseline(site: Any, bare: Any) -> None:
    batch = site.write("in/a.parquet", site.rows(200, 6))
    site.configure(self_measurement="off")
    assert site.call("audit", batch, "-q").code == 0
    assert site.report()["self_measurement"]["said"] == "switched off in the settings."
    bare.write("a.parquet", bare.rows(200, 6))
    bare.call("audit", "a.parquet", "-q")
    assert bare.report()["self_measurement"]["said"] == "not measured: no baseline."
    site.configure(self_measurement="sometimes")
    done = site.call("audit", batch, "-q")
    assert done.code == 2
    assert "self_measurement" in done.err


def test_the_report_of_a_gate_says_what_was_seen(site: Any) -> None:
    batch = site.write("in/a.parquet", site.rows(400, 6))
    done = site.call("gate", batch)
    assert "Self-measurement" in done.out
    own = site.report()["self_measurement"]
    assert own["rows"] == 400
    assert {one["family"] for one in own["canaries"]} >= {"integrity", "trigger", "label"}
    assert own["control"]["reason"] == "the baseline has one part"
