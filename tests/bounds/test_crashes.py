"""Processes that are killed at every step of a run: all of it is visible afterwards, or nothing."""

from __future__ import annotations

import fcntl
import hashlib
import multiprocessing
import os
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from auditor.errors import AuditorError
from auditor.ledger import Ledger
from auditor.transparency.proof import require_verdict, verify
from auditor.ulid import new_ulid
from auditor.workspace import Workspace
from auditor.workspace.locks import lock_new

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
RUN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
BATCH = hashlib.sha256(b"batch").hexdigest()
DIGEST = hashlib.sha256(b"published").hexdigest()
ATTESTED = hashlib.sha256(b"attested").hexdigest()
SET = hashlib.sha256(b"set").hexdigest()
FORK = multiprocessing.get_context("fork")

# The children use neither Arrow nor threads, so that forking beside Arrow's idle ones is safe.
pytestmark = pytest.mark.filterwarnings("ignore:This process .*fork:DeprecationWarning")

Step = Callable[[str], None]


def workspace(root: Path) -> Workspace:
    return Workspace(
        runs=root / "runs",
        publish_to=root / "published",
        quarantine_to=root / "quarantine",
        ledger=root / "ledger.db",
        site_key=root / "site.key",
    )


def work(root: Path, step: Step, run: str = RUN) -> None:
    """One run as a pipeline does it."""
    space, ledger = workspace(root), Ledger(root / "ledger.db")
    space.recover(ledger, NOON, step=step)
    with space.begin(run, step=step) as stage:
        ledger.append("batch.received", at=NOON, via="gate", subject=BATCH, run=run)
        step("received")
        (stage.scratch / "copy").write_text("private")
        (stage.published / "part-0.parquet").write_text("good")
        step("published")
        (stage.published / "attestation.dsse.json").write_text("attested")
        (stage.quarantined / "rows.parquet").write_text("bad")
        (stage.evidence / "report.json").write_text("{}")
        (stage.evidence / "attestation.dsse.json").write_text("attested")
        step("staged")
        stage.seal(published=DIGEST, quarantined=SET)
        said = {"at": NOON, "via": "gate", "subject": BATCH, "run": run}
        ledger.append("verdict", refs=[ATTESTED], **said)
        step("decided")
        stage.make_visible(ledger.names, ledger.proof_of)


def recover(root: Path, step: Step) -> None:
    workspace(root).recover(Ledger(root / "ledger.db"), NOON, step=step)


def until(job: Callable[[Path, Step], None], root: Path, number: int) -> bool:
    """Do the job in a process that is killed at a step; False where it ended before."""
    left = number

    def step(_: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    child = FORK.Process(target=job, args=(root, step))
    child.start()
    child.join(60)
    assert child.exitcode in (0, -signal.SIGKILL), child.exitcode
    return child.exitcode != 0


def steps_of(job: Callable[[Path, Step], None], root: Path) -> list[str]:
    names: list[str] = []
    job(root, names.append)
    return names


WHOLE = {
    f"runs/{RUN}/report.json",
    f"runs/{RUN}/attestation.dsse.json",
    f"runs/{RUN}/proof.tlog",
    f"published/{DIGEST}/part-0.parquet",
    f"published/{DIGEST}/attestation.dsse.json",
    f"published/{DIGEST}/proof.tlog",
    f"quarantine/{SET}/rows.parquet",
}


def visible(root: Path) -> set[str]:
    found = (p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())
    return {name for name in found if "/.staging/" not in name and "/" in name}


def said(root: Path) -> list[str]:
    return [entry.name for entry in Ledger(root / "ledger.db").find(run=RUN)]


def assert_whole_or_nothing(root: Path) -> None:
    assert not list(root.glob("*/.staging/*")), "staging is empty"
    names = said(root)
    if "verdict" in names:
        assert visible(root) == WHOLE
        assert "batch.held" not in names
        assert_proven(root)
    else:
        assert visible(root) == set()
        assert names.count("batch.held") == 1


def assert_proven(root: Path) -> None:
    """Both proofs, whoever wrote them, are those of the verdict, under the ledger's key."""
    key = Ledger(root / "ledger.db").key.public()
    for folder, mode in ((f"published/{DIGEST}", 0o444), (f"runs/{RUN}", 0o600)):
        file = root / folder / "proof.tlog"
        assert stat.S_IMODE(file.stat().st_mode) == mode
        require_verdict(verify(file.read_bytes(), [key]), ATTESTED)


def test_the_steps_are_these(tmp_path: Path) -> None:
    assert steps_of(work, tmp_path) == [
        "begin: marked",
        "begin: folders",
        "received",
        "published",
        "staged",
        "seal: read-only",
        "seal: durable",
        "seal: planned",
        "decided",
        "visible: proven",
        "visible: quarantine",
        "visible: published",
        "visible: run",
        "stage: cleared",
    ]


@pytest.mark.parametrize("number", range(1, 15))
def test_case_135_killed_at_a_step_of_a_run(tmp_path: Path, number: int) -> None:
    """The gate is killed between any two steps, that between ledger and publishing among them."""
    assert until(work, tmp_path, number)
    if visible(tmp_path):
        assert "verdict" in said(tmp_path), "visible without a verdict, even before recovery"
    done = workspace(tmp_path).recover(Ledger(tmp_path / "ledger.db"), NOON)
    assert [each.outcome for each in done] == (["held"] if number < 9 else ["finished"])
    assert [each.subject for each in done] == ([BATCH] if number >= 3 else [None])
    assert_whole_or_nothing(tmp_path)
    assert workspace(tmp_path).recover(Ledger(tmp_path / "ledger.db"), NOON) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 15))
def test_killed_again_at_each_step_of_the_recovery(tmp_path: Path, number: int) -> None:
    for again in range(1, 11):
        root = tmp_path / str(again)
        root.mkdir()
        assert until(work, root, number)
        killed = until(recover, root, again)
        if visible(root):
            assert "verdict" in said(root)
        recover(root, lambda _: None)
        assert_whole_or_nothing(root)
        if not killed:
            break
    else:
        pytest.fail("the recovery has more steps than this test knows")


def test_a_crash_while_a_held_run_shows_its_evidence(tmp_path: Path) -> None:
    def held(root: Path, step: Step) -> None:
        ledger = Ledger(root / "ledger.db")
        with workspace(root).begin(RUN, step=lambda _: None) as stage:
            (stage.evidence / "report.json").write_text("{}")
            stage.seal()
            ledger.append("batch.held", at=NOON, via="gate", subject=BATCH, run=RUN)
            step("held")

    assert until(held, tmp_path, 1)
    done = workspace(tmp_path).recover(Ledger(tmp_path / "ledger.db"), NOON)
    assert [each.outcome for each in done] == ["finished"]
    assert visible(tmp_path) == {f"runs/{RUN}/report.json"}
    assert said(tmp_path) == ["batch.held"]


def test_a_held_run_never_shows_rows(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    with workspace(tmp_path).begin(RUN) as stage:
        (stage.published / "part-0.parquet").write_text("good")
        stage.seal(published=DIGEST)
        ledger.append("batch.held", at=NOON, via="gate", subject=BATCH, run=RUN)
    assert [each.outcome for each in workspace(tmp_path).recover(ledger, NOON)] == ["removed"]
    assert visible(tmp_path) == set()
    assert said(tmp_path) == ["batch.held"]


@pytest.mark.parametrize("taken", ["published", "plan"])
def test_staged_files_that_somebody_took_away_are_logged(tmp_path: Path, taken: str) -> None:
    assert until(work, tmp_path, 9)  # decided, nothing visible yet
    if taken == "plan":
        (tmp_path / "runs" / ".staging" / RUN / "commit_plan.json").write_text("[]")
    else:
        (tmp_path / "published" / ".staging" / RUN).rename(tmp_path / "published" / "stolen")
    done = workspace(tmp_path).recover(Ledger(tmp_path / "ledger.db"), NOON)
    assert [each.outcome for each in done] == ["lost"]
    assert said(tmp_path) == ["batch.received", "verdict", "error"]
    assert workspace(tmp_path).recover(Ledger(tmp_path / "ledger.db"), NOON) == []


def test_a_living_run_is_left_alone(tmp_path: Path) -> None:
    space, ledger = workspace(tmp_path), Ledger(tmp_path / "ledger.db")
    with space.begin(RUN) as stage:
        (stage.published / "part-0.parquet").write_text("good")
        recovered = FORK.Process(target=recover, args=(tmp_path, lambda _: None))
        recovered.start()
        recovered.join(60)
        assert recovered.exitcode == 0
        assert space.recover(ledger, NOON) == []
        assert stage.published.exists()
        stage.seal(published=DIGEST)
        stage.make_visible()
    assert said(tmp_path) == []


def _recover_all(root: Path, barrier: Any, results: Any) -> None:
    barrier.wait()
    done = workspace(root).recover(Ledger(root / "ledger.db"), NOON)
    results.put([(each.run, each.outcome) for each in done])


def test_two_processes_recover_each_run_once(tmp_path: Path) -> None:
    runs = [new_ulid(NOON, bytes([number] * 10)) for number in range(8)]
    for run in runs:
        workspace(tmp_path).begin(run).close()
    barrier, results = FORK.Barrier(2), FORK.Queue()
    both = [FORK.Process(target=_recover_all, args=(tmp_path, barrier, results)) for _ in "ab"]
    for each in both:
        each.start()
    done = [line for _ in both for line in results.get(timeout=600)]
    for each in both:
        each.join(60)
    assert sorted(done) == [(run, "held") for run in runs]
    entries = list(Ledger(tmp_path / "ledger.db").entries())
    assert sorted(str(entry.event.run) for entry in entries) == runs


def _many(root: Path, number: int) -> None:
    for turn in range(5):
        run = new_ulid(NOON, bytes([number, turn] * 5))
        work(root, lambda _: None, run)


def test_two_runs_at_once_disturb_nothing(tmp_path: Path) -> None:
    both = [FORK.Process(target=_many, args=(tmp_path, number)) for number in (1, 2)]
    for each in both:
        each.start()
    for each in both:
        each.join(60)
    assert [each.exitcode for each in both] == [0, 0]
    assert len(workspace(tmp_path).all_runs()) == 10
    names = [entry.name for entry in Ledger(tmp_path / "ledger.db").entries()]
    assert names.count("verdict") == 10
    assert "batch.held" not in names
    assert not list(tmp_path.glob("*/.staging/*"))
    assert (tmp_path / "published" / DIGEST / "part-0.parquet").read_text() == "good"


@pytest.mark.slow
def test_killed_at_any_instant(tmp_path: Path) -> None:
    chance = random.Random(11)
    for number in range(20):
        child = FORK.Process(target=_many, args=(tmp_path, number))
        child.start()
        time.sleep(chance.uniform(0.01, 0.15))
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join(60)
    recover(tmp_path, lambda _: None)
    entries = list(Ledger(tmp_path / "ledger.db").entries())
    decided = {entry.event.run for entry in entries if entry.name == "verdict"}
    held = {entry.event.run for entry in entries if entry.name == "batch.held"}
    assert set(workspace(tmp_path).all_runs()) == decided
    assert not decided & held
    assert not list(tmp_path.glob("*/.staging/[0-9]*"))


FULL = """
import errno, sys
from datetime import UTC, datetime
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from auditor.errors import AuditorError
from auditor.ledger import Ledger
from test_crashes import BATCH, NOON, RUN, visible, workspace

root = Path(sys.argv[1])
known = sys.argv[3] == "known"
ledger = Ledger(root / "ledger.db")
if known:
    ledger.append("batch.received", at=NOON, via="gate", subject=BATCH, run=RUN)
else:
    ledger.append("error", at=NOON, via="cli")
try:
    with workspace(root).begin(RUN) as stage:
        try:
            (stage.evidence / "report.json").write_text("{}")
            with (stage.published / "part-0.parquet").open("wb") as file:
                while True:
                    file.write(b"x" * 65536)
                    file.flush()
        except OSError as error:
            assert error.errno == errno.ENOSPC
            try:
                ledger.append("batch.held", at=NOON, via="gate", run=RUN, detail={"x": "y" * 60000})
            except OSError as full:
                assert full.errno == errno.ENOSPC
            else:
                raise AssertionError("the disk is not full")
            stage.abandon()
            raise
except OSError as error:
    print("exit 12:", error.strerror)
assert visible(root) == set(), visible(root)
done = workspace(root).recover(ledger, NOON)
assert [each.outcome for each in done] == ["held"], done
assert [each.subject for each in done] == [BATCH if known else None]
(held,) = ledger.find(run=RUN, event="batch.held")
assert held.event.detail == {"reason": "interrupted"}
assert held.subject == (BATCH if known else None)
print("logged")
"""


@pytest.mark.parametrize("known", ["known", "unknown"])
def test_a_run_that_met_a_full_disk_is_logged_by_the_next(tmp_path: Path, known: str) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    script = 'mount -t tmpfs -o size=2m tmpfs "$1" && exec "$2" -c "$3" "$1" "$4" "$5"'
    here = str(Path(__file__).parent)
    shell = ["unshare", "-m", "sh", "-c", script, "sh", str(mount), sys.executable, FULL]
    try:
        done = subprocess.run([*shell, here, known], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"may not mount a small file system: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "exit 12: No space left on device\nlogged\n"


def test_a_decided_run_that_breaks_off_cannot_be_cleared_away(tmp_path: Path) -> None:
    def step(name: str) -> None:
        if name == "visible: published":
            raise OSError("the disk failed")

    with pytest.raises(OSError, match="the disk failed"):
        work(tmp_path, step)
    assert visible(tmp_path) < WHOLE

    ledger = Ledger(tmp_path / "ledger.db")
    other = new_ulid(NOON, bytes(10))
    with workspace(tmp_path).begin(other, step=step) as stage:
        stage.seal()
        ledger.append("verdict", at=NOON, via="gate", subject=BATCH, run=other)
        with pytest.raises(OSError, match="the disk failed"):
            stage.make_visible()
        with pytest.raises(AuditorError, match="decided and partly visible"):
            stage.clear()
        stage.abandon()
    done = workspace(tmp_path).recover(ledger, NOON)
    assert {each.outcome for each in done} == {"finished"}
    assert workspace(tmp_path).all_runs() == tuple(sorted((RUN, other), reverse=True))
    assert visible(tmp_path) >= WHOLE
    assert not list(tmp_path.glob("*/.staging/*"))


def test_what_died_while_it_made_its_mark_is_swept_away(tmp_path: Path) -> None:
    """Before the mark has its name, and when it has both names; a living one is left alone."""
    staging = tmp_path / "runs" / ".staging"
    staging.mkdir(parents=True)
    ledger, other = Ledger(tmp_path / "ledger.db"), new_ulid(NOON, bytes(10))
    (staging / f".{RUN}.lock.0123").touch()
    (staging / f".{other}.lock.4567").touch()
    (staging / f"{other}.lock").hardlink_to(staging / f".{other}.lock.4567")
    with (staging / ".alive.lock.89ab").open("w") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        done = workspace(tmp_path).recover(ledger, NOON)
        assert [(each.run, each.outcome) for each in done] == [(other, "held")]
        assert [path.name for path in staging.iterdir()] == [".alive.lock.89ab"]
    workspace(tmp_path).recover(ledger, NOON)
    assert list(staging.iterdir()) == []


def test_a_mark_that_was_swept_before_it_was_locked_is_made_again(tmp_path: Path) -> None:
    genuine, swept = fcntl.flock, []

    def slow(descriptor: int, how: int) -> None:
        if not swept:
            swept.append(how)
            (fresh,) = tmp_path.glob(".*.lock.*")
            fresh.unlink()
        genuine(descriptor, how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fcntl, "flock", slow)
        os.close(lock_new(tmp_path / f"{RUN}.lock"))
    assert [path.name for path in tmp_path.iterdir()] == [f"{RUN}.lock"]
    assert swept == [fcntl.LOCK_EX]


def test_an_abandoned_run_leaves_only_its_mark(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    with workspace(tmp_path).begin(RUN) as stage:
        (stage.published / "part-0.parquet").write_text("good")
        stage.abandon()
    left = [path.name for path in tmp_path.glob("*/.staging/*")]
    assert left == [f"{RUN}.lock"]
    assert [each.outcome for each in workspace(tmp_path).recover(ledger, NOON)] == ["held"]
    assert said(tmp_path) == ["batch.held"]
