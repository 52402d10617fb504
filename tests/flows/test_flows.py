"""The flows against a real Prefect server, each in processes of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytestmark = pytest.mark.slow


def run(made, server, code: str) -> list[Any]:
    """Run code that says JSON lines, in a new process under the deployment's environment."""
    done = subprocess.run(
        [sys.executable, "-c", f"import json\ndef say(x): print(json.dumps(x))\n{code}"],
        env=made.environment(**server.variables),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(("{", '"'))]


@contextmanager
def serving(made, *options: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """`auditor serve`, ended by Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, "-m", "auditor", "serve", "--config", str(made.config), *options],
        env=made.environment(**variables),
        cwd=made.folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=600)


def looks(server) -> int:
    return sum(r["state_name"] == "Nothing new" for r in server.flow_runs("watch_inbox"))


def test_serve_audits_what_arrives_once_and_survives_a_restart(
    make_site, server, wait_for: Callable[..., None]
) -> None:
    made = make_site()
    with serving(made, "--interval", "4", **server.variables) as process:
        made.drop("clean", "clean.parquet")
        made.drop("poisoned", "poisoned.parquet")
        wait_for(lambda: made.outcomes() == 2, process=process)
        seen = looks(server)
        wait_for(lambda: looks(server) > seen, process=process)
    assert process.returncode == 0
    with serving(made, "--interval", "4", **server.variables) as process:
        seen = looks(server)
        wait_for(lambda: looks(server) > seen, process=process)
        process.terminate()  # as a service is stopped
        process.wait(120)
    assert process.returncode == 0

    verdicts = {e.event.detail["verdict"]: e.event.run for e in made.entries("verdict")}
    assert set(verdicts) == {"ACCEPT", "QUARANTINE"}
    assert len(made.claims()) == 2
    names = {r["name"]: r["state_name"] for r in server.flow_runs("audit_batch")}
    assert names[f"clean.parquet {verdicts['ACCEPT']}"] == "ACCEPT"
    assert names[f"poisoned.parquet {verdicts['QUARANTINE']}"] == "QUARANTINE"
    assert sorted(path.name for path in made.inbox.iterdir()) == [
        "clean.parquet",
        "poisoned.parquet",
    ]
    _shows(server, verdicts["QUARANTINE"])


def _shows(server, run_id: str) -> None:
    """Artifacts with a link to the report, one event a verdict; no pickle anywhere."""
    shown = [a for a in server.find("artifacts") if run_id in (a["description"] or "")]
    assert {a["type"] for a in shown} == {"markdown", "table"}
    assert all(f"{run_id}/report.html" in a["description"] for a in shown)

    def events() -> set[str]:
        query = {"event": {"prefix": ["auditor.batch."]}}
        found = server.find("events", filter=query)["events"]
        return {e["event"] for e in found if e["payload"]["run"] == run_id}

    assert events() == {"auditor.batch.quarantined"}
    for path in (server.home / "storage").iterdir():
        assert json.loads(path.read_bytes()) is not None


_WATCH = "from auditor_flows.watch_inbox import watch_inbox\nsay(watch_inbox())"


def test_two_watchers_audit_each_batch_once(make_site, server) -> None:
    made = make_site()
    for name in ("a", "b", "c"):
        made.drop("clean", f"{name}.parquet")
        (made.inbox / f"{name}.day").mkdir()
        (made.inbox / f"{name}.parquet").rename(made.inbox / f"{name}.day/part.parquet")
        (made.inbox / f"{name}.day/_SUCCESS").touch()
    (made.inbox / "link").symlink_to("/etc")
    command = [sys.executable, "-c", f"def say(x): pass\n{_WATCH}"]
    watchers = [
        subprocess.Popen(command, env=made.environment(**server.variables)) for _ in range(2)
    ]
    assert [watcher.wait() for watcher in watchers] == [0, 0]
    run(made, server, _WATCH)  # by now the link has settled, if it had not before
    assert len(made.entries("verdict")) == 3
    assert len(made.entries("batch.held")) == 1
    subjects = [claim.subject for claim in made.claims()]
    assert len(subjects) == len(set(subjects)) == 4
    (said,) = run(made, server, _WATCH)
    assert said["audited"] == []


_TRAINING = """
from pathlib import Path
def fit(published, digest):
    assert published.is_dir() and published.name == digest
    with Path(__file__).with_name("trained").open("a") as file:
        file.write(digest + "\\n")
"""
_GATE = """
from auditor.errors import ConfigError
from auditor_flows.pre_retraining_gate import pre_retraining_gate as gate
for name, digest in {asked}:
    try:
        said = gate(name, digest)
        shown = ("verdict", "trained", "published_digest")
        say({{key: said[key] for key in shown}})
    except ConfigError as error:
        say({{"refused": str(error)}})
"""


@pytest.mark.parametrize(
    ("fail_on", "quarantine_trains"), [("quarantine", False), ("reject", True)]
)
def test_the_gate_trains_only_on_what_it_let_through(
    make_site, server, fail_on: str, quarantine_trains: bool
) -> None:
    made = make_site(
        flows="  training: site_training:fit\n", more=f"gate: {{fail_on: {fail_on}}}\n"
    )
    (made.folder / "site_training.py").write_text(_TRAINING, encoding="utf-8")
    made.drop("clean", "clean.parquet")
    made.drop("poisoned", "poisoned.parquet")
    (made.inbox / "broken.parquet").write_bytes(b"PAR1 not really PAR1")
    asked = [
        ("poisoned.parquet", ""),
        ("broken.parquet", ""),
        ("clean.parquet", "0" * 64),
        ("clean.parquet", ""),
        ("../auditor.yaml", ""),
    ]
    poisoned, broken, other, clean, outside = run(made, server, _GATE.format(asked=asked))
    assert (poisoned["verdict"], poisoned["trained"]) == ("QUARANTINE", quarantine_trains)
    assert (broken["verdict"], broken["trained"]) == ("REJECT", False)
    assert (other["verdict"], other["trained"]) == ("HOLD", False)
    assert (clean["verdict"], clean["trained"]) == ("ACCEPT", True)
    assert "not the name of a batch" in outside["refused"]
    trained = (made.folder / "trained").read_text().split()
    assert trained == [one["published_digest"] for one in (poisoned, clean) if one["trained"]]


_HELD = """
import errno, os, shutil
from auditor_flows import underway
from auditor_flows.audit_batch import audit_batch
from auditor_flows.site import open_site
real, calls = underway.ingest_step, []
def stumbling(run, kept=None):
    calls.append("adopted" if kept else "read")
    if len(calls) == 1:
        raise OSError(errno.EIO, "the disk hiccups once")
    return real(run, kept)
underway.ingest_step = stumbling
say(audit_batch("a.parquet"))      # read twice: the first time the disk failed
say(audit_batch("a.parquet"))      # taken over
(area,) = (open_site().roots.runs / ".ingest").iterdir()
(area / "batch.parquet").write_bytes(b"changed")
say(audit_batch("a.parquet"))      # read again
shutil.rmtree(area)
say(audit_batch("a.parquet"))      # read again
say({"calls": calls})
def full(run, kept=None):
    calls.append("full")
    raise OSError(errno.ENOSPC, "no space")
underway.ingest_step = full
shutil.rmtree(area)
say(audit_batch("a.parquet"))
say({"calls": calls[5:]})
"""


def test_only_ingest_is_remembered_and_only_transient_failures_are_tried_again(
    make_site, server
) -> None:
    made = make_site(unsigned="hold")
    made.drop("clean", "a.parquet")
    *held, calls, full, more = run(made, server, _HELD)
    assert [one["verdict"] for one in held] == ["HOLD"] * 4
    assert len({one["run"] for one in held}) == 4  # a verdict is never a cached one
    assert calls["calls"] == ["read", "read", "adopted", "read", "read"]
    assert full["verdict"] == "HOLD"
    assert more["calls"] == ["full"]


def test_serve_brings_its_own_server_and_takes_it_along(
    make_site, wait_for: Callable[..., None]
) -> None:
    made = make_site()
    with serving(made, PREFECT_SERVER_API_PORT="0") as process:
        assert process.wait() == 2  # not a port
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "auditor",
            "serve",
            "--config",
            str(made.config),
            "--cron",
            "0 4 * * *",
        ],
        env=made.environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    address = line.split()[3].rstrip(",")
    with urllib.request.urlopen(f"{address}/api/health", timeout=30) as answer:
        assert answer.status == 200
    assert "deployments:" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=600)
    assert process.returncode == 0
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{address}/api/health", timeout=5)
    assert (made.folder / ".auditor/prefect/server.log").is_file()
