"""A small site with an inbox, and one Prefect server for all tests that need one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from auditor import samples
from auditor.batch import Roles
from auditor.config import load
from auditor.demo import ROLES
from auditor.ledger import Entry, Ledger
from auditor.redteam.mix import demo_mix
from auditor.trusting import build_from_files
from auditor_flows.quiet import SETTINGS
from auditor_flows.server import answers
from auditor_flows.site import CONFIG, Site, open_site

_FLOWS = Path(__file__).parents[2]
_YAML = (
    "name: diamonds\n"
    + "roles:\n"
    + "".join(f"  {role}: [{', '.join(names)}]\n" for role, names in ROLES.items())
    # The two that fit models: their verdicts are tested elsewhere, here they only cost time.
    + "detectors:\n  AUD-L001: {enabled: false}\n  AUD-F001: {enabled: false}\n"
)


@dataclass(frozen=True)
class Made:
    """A site on disk; `drop` puts a sample batch into the inbox."""

    folder: Path
    shared: Path

    @property
    def inbox(self) -> Path:
        return self.folder / "inbox"

    @property
    def config(self) -> Path:
        return self.folder / "auditor.yaml"

    def open(self) -> Site:
        return open_site({CONFIG: str(self.config)})

    def drop(self, kind: str, name: str) -> Path:
        """Put a batch there as a careful writer does: whole, by one rename."""
        hidden = self.inbox / f".{name}.coming"
        hidden.write_bytes((self.shared / f"{kind}.parquet").read_bytes())
        return hidden.rename(self.inbox / name)

    def entries(self, event: str) -> list[Entry]:
        return [e for e in Ledger(self.folder / ".auditor/ledger.db").entries() if e.name == event]

    def claims(self) -> list[Entry]:
        return [e for e in self.entries("batch.received") if "run_id" in e.event.detail]

    def outcomes(self) -> int:
        """How many audits came to an end, a held one included: nobody waits for the impossible."""
        return len(self.entries("verdict")) + len(self.entries("batch.held"))

    def environment(self, **more: str) -> dict[str, str]:
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "AUDITOR"))}
        path = os.pathsep.join([str(_FLOWS), str(_FLOWS / "flows"), str(self.folder)])
        return {**plain, **SETTINGS, CONFIG: str(self.config), "PYTHONPATH": path, **more}


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trusted rows, their baseline, one clean and one poisoned batch: built once."""
    folder = tmp_path_factory.mktemp("flows-shared")
    trusted = pq.read_table(samples.trusted()).slice(0, 800)
    pq.write_table(trusted, folder / "trusted.parquet")
    (folder / "auditor.yaml").write_text(_YAML, encoding="utf-8")
    settings = load(folder / "auditor.yaml", {}, strict_permissions=False)
    build_from_files([str(folder / "trusted.parquet")], settings, folder / "baseline")
    clean = pq.read_table(samples.incoming()[0]).slice(0, 500)
    pq.write_table(clean, folder / "clean.parquet")
    roles = Roles({role: tuple(names) for role, names in ROLES.items()})
    attacks = ("exact-copy", "conflicting-copy")
    # Other rows: a site remembers what it published, and would take these for a replay.
    other = pq.read_table(samples.incoming()[1]).slice(0, 500)
    poisoned = demo_mix(other, roles, seed=7, attacks=attacks, trusted=trusted).table
    pq.write_table(poisoned, folder / "poisoned.parquet")
    return folder


@pytest.fixture
def make_site(shared: Path, tmp_path: Path) -> Callable[..., Made]:
    """Makes the site of a test; `more` is added to auditor.yaml."""

    def make(*, settle: int = 1, unsigned: str = "note", more: str = "", flows: str = "") -> Made:
        made = Made(tmp_path / "site", shared)
        made.inbox.mkdir(parents=True)
        made.config.write_text(
            _YAML
            + f"baseline: {shared / 'baseline'}\n"
            + f"outputs:\n  site_key: {shared / '.auditor/site.key'}\n"
            + f"manifest:\n  unsigned: {unsigned}\n"
            + f"flows:\n  inbox: inbox\n  settle_seconds: {settle}\n{flows}{more}",
            encoding="utf-8",
        )
        made.config.chmod(0o600)
        return made

    return make


@dataclass(frozen=True)
class Server:
    """A running Prefect server."""

    api: str
    home: Path

    @property
    def variables(self) -> dict[str, str]:
        return {"PREFECT_API_URL": self.api, "PREFECT_HOME": str(self.home)}

    def find(self, what: str, **query: Any) -> Any:
        """POST `/<what>/filter`."""
        body = json.dumps(query).encode()
        head = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.api}/{what}/filter", body, head)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def flow_runs(self, flow: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.find("flow_runs", flows={"name": {"any_": [flow]}})
        return found


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`prefect server start` on a free loopback port."""
    home = tmp_path_factory.mktemp("prefect")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            env={**os.environ, **SETTINGS, "PREFECT_HOME": str(home)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        api = f"http://127.0.0.1:{port}/api"
        wait_for(lambda: answers(api), process=process)
        yield Server(api, home)
    finally:
        process.terminate()
        process.wait(60)


def wait_for(
    is_so: Callable[[], object], *, process: subprocess.Popen[Any], seconds: float = 240
) -> None:
    """Until `is_so()`; fails when the process ends before, or after a time that is only a guard."""
    ends = time.monotonic() + seconds
    while not is_so():
        assert process.poll() is None, f"ended with {process.returncode}"
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.3)


@pytest.fixture(name="wait_for")
def _wait_for() -> Callable[..., None]:
    return wait_for
