"""What runs in the gate's process is what was installed: no module of a site, none beside the data.

docs/decisions/0021 says why there are no detectors of a site.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from auditor.config import load
from auditor.detectors import DETECTORS
from auditor.errors import ConfigError

#: Names that the command, the rules and the readers import.
NAMES = ("typer", "rich", "pyarrow", "pandas", "numpy", "rfc8785", "argparse")


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """A folder of data in which somebody has put modules."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a stranger was run')\n")
    (tmp_path / "rows.csv").write_text("id,label\n1,a\n2,b\n3,a\n")
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "-m", "auditor"],
        [sys.executable, "-P", "-m", "auditor"],
        [str(Path(sysconfig.get_path("scripts")) / "auditor")],
    ],
    ids=["module", "safe", "script"],
)
def test_modules_beside_the_data_are_not_imported(inbox: Path, command: list[str]) -> None:
    """A vendor sends a `typer.py` along, and somebody audits from within that folder."""
    if not Path(command[0]).exists():
        pytest.skip("the command is not installed here")
    clean = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    child = subprocess.run(
        [*command, "audit", "rows.csv", "--profile", "quick", "-q"],
        cwd=inbox,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "a stranger was run" not in child.stdout + child.stderr
    assert child.returncode == 0, child.stderr


@pytest.mark.slow
def test_serving_imports_nothing_from_the_working_directory(inbox: Path) -> None:
    """`auditor serve` becomes another process, which looks into the folder no more than the first.

    Without settings it ends at once, after its imports.
    """
    pytest.importorskip("prefect", reason="the extra flows is not installed")
    child = subprocess.run(
        [sys.executable, "-m", "auditor", "serve", "--config", "none.yaml"],
        cwd=inbox,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "a stranger was run" not in child.stdout + child.stderr
    assert (child.returncode, "none.yaml" in child.stderr) == (2, True), child.stderr


def test_detectors_of_a_site_are_not_a_setting(tmp_path: Path) -> None:
    """Somebody names a module of his own; nothing is read, let alone run."""
    module = tmp_path / "mine.py"
    module.write_text("raise SystemExit('a stranger was run')\n")
    settings = tmp_path / "auditor.yaml"
    for text in ("site_detectors: [mine.py]", "detectors: {mine.py: {enabled: true}}"):
        settings.write_text(f"{text}\n")
        settings.chmod(0o600)
        with pytest.raises(ConfigError, match=r"not a (setting|rule)"):
            load(settings, {}, strict_permissions=False)


def test_every_detector_is_ours() -> None:
    """The list is written down; nothing adds to it at run time."""
    assert isinstance(DETECTORS, tuple)
    assert {one.__module__.rpartition(".")[0] for one in DETECTORS} == {"auditor.detectors"}
