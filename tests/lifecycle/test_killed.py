"""Commands of the lifecycle, killed before each of their steps; the next command finishes them.

A step is whatever a process changes of the site: a file opened for writing, a name made, changed or
removed, a transaction on the ledger or the history, before and after it. The killed process is a
real one; it counts its own steps by Python's audit events, so that the product needs no hook.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from auditor.ledger import Ledger
from auditor.ledger.verification import verify_store
from auditor.provenance import dsse

pytestmark = pytest.mark.slow

REASON = "I asked the lab: it measured these stones twice on purpose."
KILLED = """
import contextlib, os, signal, sys
left = int(sys.argv[1])
changes = {"os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "os.chmod"}

def step():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def before(event, given):
    if event == "open" and not given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        return
    if event not in changes | {"open"} or isinstance(given[0], int):
        return
    path = os.fsdecode(given[0])
    # Of what is private until it is renamed, one moment is like another.
    if ".auditor" in path and "/scratch/" not in path and "/evidence/" not in path:
        step()

def stepping(writing):
    @contextlib.contextmanager
    def around(self):
        step()
        with writing(self) as session:
            yield session
        step()
    return around

from auditor.cli import app
from auditor.history import HistoryStore
from auditor.ledger.sqlite import Sqlite
Sqlite.writing = stepping(Sqlite.writing)
HistoryStore._writing = stepping(HistoryStore._writing)
sys.addaudithook(before)
sys.argv = ["auditor", *sys.argv[2:]]
app()
"""
Command = tuple[str | Path, ...]


def killed(world: Any, step: int, command: Command) -> bool:
    """Give a command in a process that dies before this step; False where it has fewer."""
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(step), *map(str, command)],
        cwd=world.root,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode in (0, 10, -signal.SIGKILL), child.stdout + child.stderr
    return child.returncode == -signal.SIGKILL


def deaths(
    world: Any, copied: Callable[[Any, Path], Any], tmp: Path, command: Command, stride: int = 1
) -> Iterator[Any]:
    """A copy of the world for every step before which the command was killed."""
    step = 1
    while killed(found := copied(world, tmp / str(step)), step, command):
        assert_log_verifies(found)
        yield found
        step += stride


def assert_log_verifies(world: Any) -> None:
    ledger = Ledger(world.root / ".auditor" / "ledger.db")
    verify_store(ledger.store, [ledger.key.public()])
    names = [entry.name for entry in ledger.entries()]
    assert names.count("quarantine.created") <= names.count("verdict")


def events(world: Any) -> list[str]:
    """What happened after the gate's own verdict."""
    found: list[str] = world.site.events()
    return found[found.index("verdict") + 1 :]


def signed(world: Any, who: str, what: str) -> Command:
    options = ("--code", "intended-copies", "--reason", REASON, "--sign-with", f"keys/{who}.key")
    return ("quarantine", what, world.run, *options)


@pytest.mark.parametrize("edge", ["review", "request", "approve", "deny"])
def test_a_decision(world: Any, copy_of: Any, tmp_path: Path, edge: str) -> None:
    """The same command once more says that it was done, or does it; never twice."""
    before = {"review": 0, "request": 1, "approve": 2, "deny": 1}[edge]
    steps: list[Command] = [
        ("quarantine", "review", world.run),
        signed(world, "ann", "request"),
        signed(world, "bob", "approve"),
    ]
    for command in steps[:before]:
        assert world.site.call(*command).code == 0
    command = signed(world, "cat", "deny") if edge == "deny" else steps[before]
    name = {"review": "review.opened", "deny": "release.denied"}.get(
        edge, "release.requested" if edge == "request" else "release.approved"
    )
    count = 0
    for dead in deaths(world, copy_of, tmp_path, command):
        count += 1
        done = dead.site.call(*command)
        if name in events(dead)[before:] and done.code:
            assert "STATE_TRANSITION" in done.err or "DECISION_TWICE" in done.err, done.err
        else:
            assert done.code == 0, done.err
        assert events(dead).count(name) == 1
        assert_log_verifies(dead)
    assert count >= 2


def test_a_verdict(world: Any, copy_of: Any, tmp_path: Path) -> None:
    """The whole gate, before every second of its steps: decided once, then it is all there."""
    table = world.site.copies(world.site.rows(150, 9), 20)
    world.deliver("v", table, "other/stones", "other-lab")
    command: Command = ("gate", "in/v.parquet", "-q")
    for dead in deaths(world, copy_of, tmp_path, command, stride=2):
        done = dead.site.call(*command)
        if done.code != 10:  # it was decided; this run has shown what the dead one left
            assert (done.code, "was decided before" in done.out) == (12, True), done.out
            assert "The earlier verdict stands" in done.out
        names = events(dead)
        assert (names.count("quarantine.created"), names.count("verdict")) == (1, 1), names
        for what in ("published", "quarantine"):
            assert len(dead.site.visible(what)) == 2
        assert dead.site.staged() == []
        assert_log_verifies(dead)


def test_a_release(world: Any, copy_of: Any, tmp_path: Path) -> None:
    """Killed before every second of its steps."""
    world.agreed()
    command: Command = ("quarantine", "release", world.run, "-q")
    for dead in deaths(world, copy_of, tmp_path, command, stride=2):
        done = dead.release()
        if done.code:  # it was decided; this command has shown what the dead one left
            assert (done.code, "STATE_TRANSITION" in done.err) == (2, True), done.err
        names = events(dead)
        assert (names.count("released"), names.count("verdict")) == (1, 1), names
        assert len(dead.site.visible("published")) == 2
        assert dead.site.staged() == []
        assert dead.state() == "RELEASED"
        assert_log_verifies(dead)


def test_a_ratification(world: Any, copy_of: Any, tmp_path: Path) -> None:
    """Killed before every third of its steps: ratified once, and published as such once."""
    assert world.quarantine("review").code == 0
    done = world.signed("ann", "request", "--break-glass", code="emergency")
    assert done.code == 0, done.err
    assert world.release().code == 0
    command: Command = (*signed(world, "bob", "ratify"), "-q")
    before = events(world)
    count = 0
    for dead in deaths(world, copy_of, tmp_path, command, stride=3):
        count += 1
        done = dead.site.call(*command)
        if done.code:  # it was decided; this command has shown what the dead one left
            assert (done.code, "STATE_TRANSITION" in done.err) == (2, True), done.err
        names = events(dead)[len(before) :]
        assert (names.count("ratified"), names.count("verdict")) == (1, 1), names
        assert dead.site.staged() == []
        assert levels_of_the_release(dead) == [{"AUDITOR_PROVENANCE_VERIFIED"}]
        assert_log_verifies(dead)
    assert count > 10


def levels_of_the_release(world: Any) -> list[set[str]]:
    """What the attestation of the released rows says was verified; one for each that is there."""
    found = []
    for path in (world.root / ".auditor" / "published").glob("*/attestation.dsse.json"):
        said = json.loads(dsse.parse(path.read_bytes()).payload)["predicate"]
        if said["resourceUri"].startswith("dataset:release/"):
            found.append(set(said["verifiedLevels"]) - {"AUDITOR_POISONING_SCREENED"})
    return found


def test_expiry_and_purge(world: Any, copy_of: Any, tmp_path: Path) -> None:
    world.site.configure(quarantine={"undecided_days": 0, "retention_days": 0})
    for name, command in (
        ("expired", ("quarantine", "expire")),
        ("purged", ("quarantine", "purge", "--due")),
    ):
        for dead in deaths(world, copy_of, tmp_path / name, command):
            for _ in "ab":
                assert dead.site.call("quarantine", "expire").code == 0
                assert dead.site.call("quarantine", "purge", "--due").code == 0
            assert events(dead).count("expired") == events(dead).count("purged") == 1
            (aside,) = dead.site.visible("quarantine")
            assert not (aside / "rows.parquet").exists()
            assert_log_verifies(dead)
        assert world.site.call(*command).code == 0


def test_a_recall_of_two_batches(released: Any, copy_of: Any, tmp_path: Path) -> None:
    selected = ("--batch", "lab/stones@b", "--reason", REASON)
    command: Command = ("recall", *selected, "--sign-with", "keys/cat.key")
    for dead in deaths(released, copy_of, tmp_path, command):
        assert events(dead).count("recall") in (0, 2), "all that is reached, or nothing"
        done = dead.site.call(*command)
        assert done.code == 0, done.err
        assert events(dead).count("recall") == 2
        assert_log_verifies(dead)


def test_a_frozen_data_set(world: Any, copy_of: Any, tmp_path: Path) -> None:
    command: Command = ("dataset", "freeze", "autumn", "--batches", "*")
    for dead in deaths(world, copy_of, tmp_path, command):
        done = dead.site.call(*command)
        assert done.code == 0 or "never changed" in done.err, done.err
        folder = dead.root / ".auditor" / "published" / "frozen"
        found = sorted(path.name for path in folder.iterdir())
        assert found == ["autumn.dsse.json", "autumn.proof.tlog"]
        assert events(dead).count("dataset.frozen") == 1
        assert_log_verifies(dead)
