"""A Prefect server of our own, on loopback, while `auditor serve` runs. No Prefect here."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from auditor.errors import ConfigError

API: Final = "PREFECT_API_URL"
PORT: Final = "PREFECT_SERVER_API_PORT"
_LOOPBACK: Final = "127.0.0.1"
_USUAL: Final = 4200
#: Seconds: a start takes 5 s on an idle machine, most of a minute on a busy one.
START: Final = 180.0
STOP: Final = 20.0
_PR_SET_PDEATHSIG: Final = 1


@contextlib.contextmanager
def running(home: Path) -> Iterator[str]:
    """The API address of the server to use: the one in `PREFECT_API_URL`, else a child of ours.

    Raises:
        ConfigError: the server does not answer.
    """
    given = os.environ.get(API, "")
    if given:
        if not answers(given):
            raise ConfigError(
                f"{API}: no Prefect server answers at {given}; start it, or unset {API} "
                "and one is started here"
            )
        yield given
        return
    with _child(home) as address:
        os.environ[API] = address
        try:
            yield address
        finally:
            del os.environ[API]


def answers(address: str, seconds: float = 5.0) -> bool:
    """Whether a Prefect API says that it is well."""
    # Never through a proxy: the address is a server of the site.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{address.rstrip('/')}/health", timeout=seconds) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError, urllib.error.URLError):
        return False


@contextlib.contextmanager
def _child(home: Path) -> Iterator[str]:
    port = _port()
    log = home / "server.log"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [sys.executable, "-m", "prefect", "server", "start"]
    with log.open("ab") as written:
        process = subprocess.Popen(
            [*command, "--host", _LOOPBACK, "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for us: the flows need the server while they end.
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
    try:
        address = f"http://{_LOOPBACK}:{port}/api"
        _wait(process, address, log)
        yield address
    finally:
        _end(process)


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    ends = time.monotonic() + START
    while not answers(address, 2.0):
        if process.poll() is not None:
            raise ConfigError(f"the Prefect server ended at once; see {log}")
        if time.monotonic() > ends:
            raise ConfigError(f"the Prefect server did not answer within {START:.0f} s; see {log}")
        time.sleep(0.3)
    if process.poll() is not None:  # somebody else answers at this port
        raise ConfigError(f"the Prefect server ended at once; see {log}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _port() -> int:
    """The port that Prefect's own setting names, else the usual one, else any that is free."""
    said = os.environ.get(PORT, "")
    if said:
        if not said.isdecimal() or not 0 < int(said) < 65536:
            raise ConfigError(f"{PORT}: not a port: {said}")
        return int(said)
    try:
        return _free(_USUAL)
    except OSError:
        return _free(0)


def _free(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((_LOOPBACK, port))
        return int(probe.getsockname()[1])


def _die_with_parent() -> None:
    """Linux: even if we are killed, no server stays behind."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
