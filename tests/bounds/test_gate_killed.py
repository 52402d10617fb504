"""A whole `auditor gate` that is killed or interrupted: all of it is visible, or nothing.

The lines on stderr say in which stage the process is when the signal is sent.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

STAGES = (
    "reading the batch",
    "receiving ",
    "reading b.parquet",
    "AUD-D001",
    "AUD-D004",
    "deciding",
    "writing the report",
)


@pytest.fixture
def batch(site: Any) -> Path:
    """230 rows of which 30 are copies: something is published, something is set aside."""
    path: Path = site.write("in/b.parquet", site.copies(site.rows(200, 6), 30))
    return path


def until(child: Any, stage: str) -> bool:
    """Read what the process says until it is in this stage; False where it never was."""
    return any(stage.encode() in line for line in iter(child.stderr.readline, b""))


def assert_whole(site: Any) -> None:
    """Every published folder is complete, and its run is decided and visible."""
    for folder in site.visible("published"):
        listed = "".join(
            f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
            for path in sorted(folder.glob("*.parquet"))
        )
        assert hashlib.sha256(listed.encode()).hexdigest() == folder.name
        assert (folder / "attestation.dsse.json").is_file()
    for folder in site.visible("quarantine"):
        assert (folder / "rows.parquet").is_file()
    for folder in site.visible("runs"):
        assert json.loads((folder / "report.json").read_bytes())["run"] == folder.name
    if "verdict" not in site.events():
        assert site.visible("published") == site.visible("quarantine") == []


def assert_the_next_run_completes(site: Any, killed: str) -> None:
    done = site.call("gate", "in/b.parquet")
    assert done.code == 10, done.out
    assert site.staged() == []
    assert_whole(site)
    assert len(site.visible("published")) == len(site.visible("quarantine")) == 1
    names = site.events(killed)
    assert ("batch.held" in names) != ("verdict" in names), names
    if "verdict" in names:
        assert killed in [path.name for path in site.visible("runs")], "finished by the next run"


def run_of(site: Any) -> str:
    """The run whose process is gone: from its mark, else from the ledger."""
    from auditor.ledger import Ledger

    marks = list((site.root / ".auditor/runs/.staging").glob("*.lock"))
    if marks:
        return marks[0].stem
    runs = [e.event.run for e in Ledger(site.root / ".auditor/ledger.db").entries() if e.event.run]
    return str(runs[-1])


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_sigkill(site: Any, batch: Path, stage: str) -> None:
    with site.start("gate", batch, bufsize=0) as child:
        assert until(child, stage)
        child.kill()
        child.communicate(timeout=600)
    assert child.returncode == -signal.SIGKILL
    assert_whole(site)
    if stage != "writing the report":
        assert site.visible("runs") == site.visible("published") == []
    assert_the_next_run_completes(site, run_of(site))


@pytest.mark.slow
@pytest.mark.parametrize("what", ["plan", "verdict", "quarantine", "published"])
def test_sigkill_while_it_commits(site: Any, batch: Path, what: str) -> None:
    private = site.root / ".auditor"
    seen = {
        "plan": lambda: list(private.glob("runs/.staging/*/commit_plan.json")),
        "verdict": lambda: (private / "ledger.db").exists() and "verdict" in site.events(),
        "quarantine": lambda: site.visible("quarantine"),
        "published": lambda: site.visible("published"),
    }[what]
    with site.start("gate", batch, bufsize=0) as child:
        assert until(child, "writing the report")
        while not seen() and child.poll() is None:
            time.sleep(0.0005)
        child.kill()
        child.communicate(timeout=600)
    assert_whole(site)
    assert_the_next_run_completes(site, run_of(site))


@pytest.mark.parametrize("stage", [STAGES[1], STAGES[3], STAGES[6]])
def test_ctrl_c(site: Any, batch: Path, stage: str) -> None:
    interrupt(site, batch, stage)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [STAGES[0], STAGES[2], STAGES[4], STAGES[5]])
def test_ctrl_c_in_the_other_stages(site: Any, batch: Path, stage: str) -> None:
    interrupt(site, batch, stage)


def interrupt(site: Any, batch: Path, stage: str) -> None:
    """A terminal sends SIGINT to the command and to every process that it has started."""
    with site.start("gate", batch, bufsize=0, start_new_session=True) as child:
        assert until(child, stage)
        os.killpg(child.pid, signal.SIGINT)
        out, err = (text.decode() for text in child.communicate(timeout=600))
    assert child.returncode == 130, (out, err)
    assert err.rstrip().endswith("auditor: interrupted; nothing was left half-written")
    assert "Traceback" not in err
    assert out == ""
    assert site.staged() == []
    assert_whole(site)
    if "verdict" not in site.events():
        assert site.events()[-1] == "batch.held"
        assert site.visible("runs") == []
    assert_the_next_run_completes(site, run_of(site))


def test_two_runs_at_once_on_one_site(site: Any, batch: Path) -> None:
    other = site.write("in/c.parquet", site.copies(site.rows(150, 9), 20))
    with site.start("gate", batch) as first, site.start("gate", other) as second:
        said = [each.communicate(timeout=600) for each in (first, second)]
    assert [first.returncode, second.returncode] == [10, 10], said
    assert_whole(site)
    assert site.staged() == []
    assert [len(site.visible(what)) for what in ("runs", "published", "quarantine")] == [2, 2, 2]
    assert site.events().count("verdict") == 2
    assert "batch.held" not in site.events()


def test_two_runs_of_one_batch_at_once(site: Any, batch: Path) -> None:
    with site.start("gate", batch) as first, site.start("gate", batch) as second:
        said = [each.communicate(timeout=600) for each in (first, second)]
    assert [first.returncode, second.returncode] == [10, 10], said
    assert_whole(site)
    assert site.staged() == []
    assert [len(site.visible(what)) for what in ("runs", "published", "quarantine")] == [2, 1, 1]
