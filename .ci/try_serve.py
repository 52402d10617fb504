"""Starts a Prefect server and `auditor serve` in an empty folder, and sees the flow answer.

It has answered when its deployment is registered at the server and its own health page says OK.
Both processes listen on the loopback address only and are ended here, whatever happens.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

PATIENCE = 180.0
SETTINGS = """\
flows:
  inbox: inbox
  settle_seconds: 1
"""


def main() -> int:
    """Return 0 when the flow is served."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "inbox").mkdir()
        # Prefect's health page fails with a traceback until the first look for work: shown only
        # where the whole trial fails.
        said = stack.enter_context((folder / "said").open("w+b"))
        stack.push(lambda kind, *_: show(folder / "said") if kind else None)
        (folder / "auditor.yaml").write_text(SETTINGS, encoding="utf-8")
        server_port, runner_port = free_ports(2)
        api = f"http://127.0.0.1:{server_port}/api"
        environment = os.environ | {
            "DO_NOT_TRACK": "1",
            "PREFECT_API_URL": api,
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_RUNNER_SERVER_ENABLE": "true",
            "PREFECT_RUNNER_SERVER_HOST": "127.0.0.1",
            "PREFECT_RUNNER_SERVER_PORT": str(runner_port),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        }

        def start(*command: str) -> Callable[[], bool]:
            """Start a process in the folder; the answer tells whether it still runs."""
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT
            )
            stack.callback(end, process)
            return lambda: process.poll() is None

        server = start(
            "prefect",
            "server",
            "start",
            "--host",
            "127.0.0.1",
            "--port",
            str(server_port),
            "--no-ui",
        )
        wait("the Prefect server", server, lambda: answer(f"{api}/health") is True)
        served = start("auditor", "serve", "--config", "auditor.yaml", "--interval", "3600")
        wait(
            "a deployment", served, lambda: bool(answer(f"{api}/deployments/filter", {"limit": 20}))
        )
        health = f"http://127.0.0.1:{runner_port}/health"
        wait("the health of the runner", served, lambda: answer(health) == {"message": "OK"})
        deployments = answer(f"{api}/deployments/filter", {"limit": 20})
        print("served:", ", ".join(sorted(one["name"] for one in deployments)))
    return 0


def show(path: Path) -> None:
    """Print what the processes said."""
    print(path.read_text(encoding="utf-8", errors="replace"), file=sys.stderr)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def answer(url: str, body: dict[str, object] | None = None) -> Any:
    """The JSON that `url` answers with; None while nobody answers."""
    sent = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, sent, {"Content-Type": "application/json"})
    # No proxy: this is the loopback address, whatever the environment says.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as response:
            return json.load(response)
    except (OSError, urllib.error.URLError, json.JSONDecodeError):
        return None


def wait(what: str, alive: Callable[[], bool], there: Callable[[], bool]) -> None:
    """Until it is there. Raises `SystemExit` when the process ended or patience did."""
    until = time.monotonic() + PATIENCE
    while not there():
        if not alive():
            raise SystemExit(f"{what}: the process ended before it answered")
        if time.monotonic() > until:
            raise SystemExit(f"{what}: no answer in {PATIENCE:.0f} s")
        time.sleep(0.5)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to stop; insist after a while."""
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
