"""`auditor verify` and `auditor status issue`, in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

PACKAGE = Path(__file__).resolve().parents[2]
RESOURCE = "vendor-a/stones@2026-11-22"
VERIFIER = "https://gate.test/prod"


@pytest.fixture
def given(world: Any) -> list[str]:
    """The options of an honest call; the status is issued by the command itself."""
    done = call("keys", "generate", world.root / "status")
    assert done[0] == 0, done
    return [
        str(world.published), "--resource", RESOURCE, "--gate-key", str(world.root / "gate.pub"),
        "--verifier", VERIFIER, "--ledger-key", world.vkey,
        "--status-key", str(world.root / "status.pub"), "--status", issued(world),
        "--seen", str(world.root / "seen"),
    ]  # fmt: skip


def issued(world: Any) -> str:
    path = world.root / "status.dsse.json"
    given = ("--key", world.root / "status.key", "--ledger", world.root / ".auditor" / "ledger.db")
    code, out, err = call("status", "issue", path, *given)
    assert code == 0, err
    assert "valid until" in out
    return str(path)


def call(*arguments: Any) -> tuple[int, str, str]:
    from auditor.cli import app

    result = CliRunner().invoke(app, [str(one) for one in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def start(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "auditor", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(PACKAGE), "TMPDIR": str(options.pop("tmp"))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def test_it_says_what_was_verified(world: Any, given: list[str]) -> None:
    code, out, err = call("verify", *given)
    assert (code, out) == (0, f"verified: 1 file(s), {world.data.stat().st_size:,} bytes\n"), err
    for said in (RESOURCE, VERIFIER, "AUDITOR_PROVENANCE_VERIFIED", "rollback_protection: seen"):
        assert said in err


def test_a_refusal_has_code_13_and_says_why(world: Any, given: list[str]) -> None:
    world.write(world.data.name, world.data.read_bytes()[:-1] + b"x")
    code, out, err = call("verify", *given)
    assert (code, out) == (13, "")
    assert "not verified: FILE_DIGEST" in err


def test_a_recall_reaches_the_next_job(world: Any, given: list[str]) -> None:
    assert call("verify", *given)[0] == 0
    subject = world.said["subject"][0]["digest"]["sha256"]
    world.ledger.append("recall", at=world.now, via="cli", subject=subject)
    issued(world)
    code, _, err = call("verify", *given)
    assert code == 13
    assert "RECALLED" in err


@pytest.mark.parametrize(
    "change",
    [
        ["--exec"],
        ["--trust", "trust.dsse.json"],
        ["--gate-key", "no-such-key.pub"],
    ],
    ids=str,
)
def test_what_makes_no_sense_is_a_usage_error(given: list[str], change: list[str]) -> None:
    assert call("verify", *given, *change)[0] == 2


def test_whom_to_trust_must_be_said(world: Any) -> None:
    code, _, err = call("verify", world.published, "--resource", RESOURCE)
    assert code == 2
    assert "whom to trust" in err


SHOW = """
import json, os, stat, sys
root = os.environ["AUDITOR_VERIFIED"]
assert sys.argv[1:] == [root, "--data=" + root]
files = {}
for folder, folders, names in os.walk(root):
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o500, folder
    for name in names:
        path = os.path.join(folder, name)
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o400, path
        files[os.path.relpath(path, root)] = os.path.getsize(path)
print(json.dumps([root, files]))
sys.exit(7)
"""


@pytest.mark.slow
def test_exec_runs_on_a_private_copy_and_passes_the_code_on(
    world: Any, given: list[str], tmp_path: Path
) -> None:
    (world.published / "extra.parquet").write_bytes(b"never audited")
    (world.published / "extra.parquet").rename(world.published / "zz.txt")
    tmp = tmp_path / "tmp"
    tmp.mkdir()
    child = start(
        "verify", *given, "--exec", "--", sys.executable, "-c", SHOW, "{}", "--data={}", tmp=tmp
    )
    out, err = child.communicate(timeout=600)
    assert child.returncode == 7, err
    root, files = json.loads(out)
    assert files == {world.data.name: world.data.stat().st_size}
    assert Path(root).is_relative_to(tmp)
    assert list(tmp.iterdir()) == [], "the copy is removed"
    assert b"rollback_protection: seen" in err


@pytest.mark.slow
def test_exec_runs_nothing_where_a_file_is_not_what_was_audited(
    world: Any, given: list[str], tmp_path: Path
) -> None:
    world.write(world.data.name, world.data.read_bytes()[:-1] + b"x")
    mark, tmp = tmp_path / "ran", tmp_path / "tmp"
    tmp.mkdir()
    child = start("verify", *given, "--exec", "--", "touch", mark, tmp=tmp)
    child.communicate(timeout=600)
    assert child.returncode == 13
    assert not mark.exists()
    assert list(tmp.iterdir()) == []


@pytest.mark.slow
def test_exec_passes_a_stop_on_and_clears_up(world: Any, given: list[str], tmp_path: Path) -> None:
    mark, tmp = tmp_path / "ran", tmp_path / "tmp"
    tmp.mkdir()
    wait = f"import pathlib, time; pathlib.Path({str(mark)!r}).touch(); time.sleep(60)"
    child = start("verify", *given, "--exec", "--", sys.executable, "-c", wait, tmp=tmp)
    while not mark.exists():
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=600)
    assert child.returncode == 128 + signal.SIGTERM
    assert list(tmp.iterdir()) == []


def test_exec_of_what_cannot_be_run(given: list[str]) -> None:
    code, _, err = call("verify", *given, "--exec", "--", "no-such-program")
    assert code == 2
    assert "cannot be run" in err


def test_a_status_is_replaced_in_one_step_and_its_key_guarded(world: Any, given: list[str]) -> None:
    path = Path(issued(world))
    before = path.read_bytes()
    (world.root / "status.key").chmod(0o644)
    code, _, err = call(
        "status", "issue", path, "--key", world.root / "status.key",
        "--ledger", world.root / ".auditor" / "ledger.db",
    )  # fmt: skip
    assert code != 0
    assert "KEY_PERMISSIONS" in err
    assert path.read_bytes() == before
    assert not path.with_name("status.dsse.json.new").exists()
    assert stat.S_ISREG(path.stat().st_mode)
