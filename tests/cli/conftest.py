"""What tests of whole runs share: a small site with a baseline, and two ways to give a command.

Nothing here is used by tests of single modules; the fixtures cost nothing until they are asked for.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

PACKAGE = Path(__file__).resolve().parents[2]
WHO = [f"lab-{number:02d}" for number in range(12)]
ROLES = {"id": ["id"], "label": ["label"], "contributor": ["who"], "feature": ["x", "y"]}
#: The rules that fit models take seconds; most cases are not about them.
LIGHT = {"AUD-L001": {"enabled": False}, "AUD-F001": {"enabled": False}}


def rows(count: int, seed: int) -> pa.Table:
    """`count` rows nobody has a reason to doubt: the label follows from x."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, count)).round(6)
    return pa.table(
        {
            "id": [f"r{seed}-{number}" for number in range(count)],
            "x": x,
            "y": y,
            "who": [WHO[i] for i in rng.integers(0, len(WHO), count)],
            "label": np.where(x > 0, "up", "down"),
        }
    )


def copies(table: pa.Table, count: int) -> pa.Table:
    """The table and `count` exact copies of its first rows under new ids."""
    again = table.slice(0, count).to_pydict()
    again["id"] = [f"copy-{number}" for number in range(count)]
    return pa.concat_tables([table, pa.table(again, schema=table.schema)])


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The line for grep."""
        return self.out.rstrip("\n").rsplit("\n", 1)[-1]


@dataclass
class Site:
    """A folder in which commands are given, with `auditor.yaml`, a baseline and a ledger."""

    root: Path
    settings: dict[str, Any] = field(default_factory=dict)
    light: Mapping[str, Any] = field(default_factory=lambda: LIGHT)
    rows = staticmethod(rows)
    copies = staticmethod(copies)

    def write(self, name: str, content: pa.Table | str | bytes) -> Path:
        """A file below the site: a table as Parquet, text in UTF-8, or bytes as they are."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pa.Table):
            pq.write_table(content, path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def configure(self, **changes: Any) -> Path:
        """`auditor.yaml` (JSON is YAML): the settings of this site with some replaced."""
        self.settings |= changes
        path = self.write("auditor.yaml", json.dumps(self.settings, indent=1))
        path.chmod(0o600)
        return path

    def call(self, *arguments: str | Path) -> Done:
        """A command in this process: real files, real ledger, real parsing child."""
        from typer.testing import CliRunner

        from auditor.cli import app

        with contextlib.chdir(self.root):
            result = CliRunner().invoke(app, [str(each) for each in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return safe(Done(result.exit_code, result.stdout, result.stderr))

    def auditor(self, *arguments: str | Path, **options: Any) -> Done:
        """A command in a process of its own."""
        with self.start(*arguments, **options) as child:
            out, err = child.communicate(timeout=600)
        return safe(Done(child.returncode, out.decode(), err.decode()))

    def start(
        self,
        *arguments: str | Path,
        env: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
        **options: Any,
    ) -> subprocess.Popen[bytes]:
        """The same, still running; `before` is a command that runs it, such as `setpriv --`."""
        return subprocess.Popen(
            [*before, sys.executable, "-m", "auditor", *(str(each) for each in arguments)],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(PACKAGE), **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )

    def events(self, run: str | None = None) -> list[str]:
        """The names of what the ledger knows, oldest first."""
        from auditor.ledger import Ledger

        entries = Ledger(self.root / ".auditor" / "ledger.db").entries()
        return [e.name for e in entries if run in (None, e.event.run)]

    def report(self) -> dict[str, Any]:
        """`report.json` of the newest run."""
        newest = max((self.root / ".auditor" / "runs").glob("[0-9A-Z]*"))
        found = json.loads((newest / "report.json").read_bytes())
        assert isinstance(found, dict)
        return found

    def visible(self, what: str) -> list[Path]:
        """What is to be seen in `runs`, `published` or `quarantine`."""
        folder = self.root / ".auditor" / what
        found = folder.iterdir() if folder.is_dir() else iter(())
        return sorted(path for path in found if not path.name.startswith("."))

    def staged(self) -> list[Path]:
        """What is half-written: nothing, once a run has ended or was recovered."""
        return sorted((self.root / ".auditor").glob("*/.staging/*"))


def safe(done: Done) -> Done:
    """Whatever happens, a person never sees a traceback or a control character."""
    for text in (done.out, done.err):
        assert "Traceback" not in text, text
        assert not any(ord(c) < 32 and c not in "\n\t" for c in text), repr(text)
    return done


@pytest.fixture(scope="session")
def _trusted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site whose baseline was built once, also for other folders; tests get copies of it."""
    root = tmp_path_factory.getbasetemp() / "site-with-a-baseline"
    if root.exists():
        return root
    root.mkdir()
    made = Site(root)
    made.write("trusted.parquet", rows(800, 1))
    made.configure(name="stones", roles=ROLES, manifest={"unsigned": "note"}, detectors=LIGHT)
    done = made.call(
        "baseline", "build", "trusted.parquet", "-o", "baseline", "-q", "--power", "skip"
    )
    assert done.code == 0, done.err
    made.configure(baseline="baseline")
    return root


@pytest.fixture(scope="session")
def site_at(_trusted: Path) -> Callable[[str, Path], Site]:
    """Make a site like `site` below a folder."""

    def copied(name: str, folder: Path) -> Site:
        root = folder / name
        shutil.copytree(_trusted, root)
        return Site(root, json.loads((root / "auditor.yaml").read_bytes()))

    return copied


@pytest.fixture
def site(site_at: Callable[[str, Path], Site], tmp_path: Path) -> Site:
    """A site with a baseline, light rules, unsigned batches noted and no run yet."""
    return site_at("site", tmp_path)


@pytest.fixture
def bare(tmp_path: Path) -> Site:
    """An empty folder: nothing is configured, nothing is trusted."""
    root = tmp_path / "bare"
    root.mkdir()
    return Site(root)
