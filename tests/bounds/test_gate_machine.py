"""A machine that fails under a whole run: no room on the disk, no right to write, no packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from auditor.ledger import Ledger

pytestmark = pytest.mark.slow

#: Two gates on a small file system; before the second it gets room. The results are copied out,
#: because the file system goes with its namespace.
SMALL = """
mount -t tmpfs -o size=$2 tmpfs .auditor && cp site.key .auditor/ || exit 99
"$1" -m auditor gate in/b.parquet > first.out 2> first.err; echo $? > first.code
ls .auditor/published .auditor/quarantine > first.seen 2> /dev/null
mount -o remount,size=64m .auditor || exit 99
"$1" -m auditor gate in/b.parquet > second.out 2> second.err; echo $? > second.code
mkdir after && cp -a .auditor after/
"""


def small_disk(site: Any, size: str) -> None:
    """Run the gate twice: on a file system of `size`, then with room. Skips where it may not."""
    (site.root / ".auditor" / "site.key").rename(site.root / "site.key")
    shell = ["unshare", "-m", "sh", "-c", SMALL, "sh", sys.executable, size]
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here")
    package = str(Path(__file__).resolve().parents[2])
    env = {**os.environ, "PYTHONPATH": package}
    done = subprocess.run(
        shell, cwd=site.root, env=env, capture_output=True, text=True, check=False, timeout=600
    )
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip(f"may not mount a small file system: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr


def said(site: Any, name: str) -> str:
    text: str = (site.root / name).read_text()
    assert "Traceback" not in text
    return text


@pytest.mark.parametrize(
    "size",
    [
        "16k",
        pytest.param("64k", marks=pytest.mark.slow),
        pytest.param("112k", marks=pytest.mark.slow),
        pytest.param("160k", marks=pytest.mark.slow),
        "208k",
    ],
)
def test_a_full_disk(site: Any, size: str) -> None:
    site.write("in/b.parquet", site.copies(site.rows(2000, 6), 300))
    small_disk(site, size)
    out, err = said(site, "first.out"), said(site, "first.err")
    assert said(site, "first.code") == "12\n", (out, err)
    assert "space left" in err
    assert "auditor: HOLD" in (out or err).rstrip().rsplit("\n", 1)[-1]
    assert said(site, "first.seen").split() in ([], [".auditor/published:", ".auditor/quarantine:"])

    assert said(site, "second.code") == "10\n", said(site, "second.err")
    after = type(site)(site.root / "after")
    assert after.staged() == []
    assert len(after.visible("published")) == len(after.visible("quarantine")) == 1
    events = [(e.event.run, e.name) for e in Ledger(after.root / ".auditor/ledger.db").entries()]
    held = [run for run, name in events if name == "batch.held"]
    decided = [run for run, name in events if name == "verdict"]
    assert (len(held), len(decided)) == (1, 1), events
    assert held[0] != decided[0]
    assert decided[0] in [path.name for path in after.visible("runs")]


def test_a_decided_run_that_cannot_be_shown_is_shown_by_the_next(site: Any) -> None:
    site.write("in/b.parquet", site.copies(site.rows(200, 6), 30))
    published = site.root / ".auditor" / "published"
    (published / ".staging").mkdir(parents=True, mode=0o700)
    powers = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"]
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root passes permissions by, and there is no setpriv to stop that")
    published.chmod(0o500)
    try:
        before = powers if os.geteuid() == 0 else []
        done = site.auditor("gate", "in/b.parquet", "-q", before=before)
    finally:
        published.chmod(0o700)
    assert (done.code, done.out) == (12, "")
    assert "is decided, but its results could not be shown" in done.err
    assert "Permission denied" in done.err
    assert site.visible("published") == []
    again = site.call("gate", "in/b.parquet")
    assert again.code == 10
    assert "was finished" in again.err
    assert len(site.visible("runs")) == 2
    assert len(site.visible("published")) == 1
    assert site.staged() == []


WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
from auditor.cli import main
main()
"""


def without(root: Path, names: set[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command on a machine where some packages are not installed."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT.format(names=names), *arguments],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.mark.parametrize(
    ("package", "extra", "arguments"),
    [
        ("prefect", "flows", ["serve"]),
        ("ruamel", "audit", ["audit", "a.csv"]),
        ("numpy", "audit", ["audit", "a.csv"]),
    ],
)
def test_a_missing_extra_is_named(
    tmp_path: Path, package: str, extra: str, arguments: list[str]
) -> None:
    (tmp_path / "a.csv").write_text("id,x,label\nr1,1.5,a\n")
    (tmp_path / "auditor.yaml").write_text("name: stones\nflows:\n  inbox: .\n")
    done = without(tmp_path, {package}, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"auditor: this command needs {package}: install it with `pip install 'auditor[{extra}]'`\n"
    )


def test_a_missing_model_library_is_not_a_clean_result(site: Any) -> None:
    site.write("in/a.parquet", site.rows(200, 5))
    site.configure(detectors={})
    done = without(site.root, {"sklearn", "pyod"}, "gate", "in/a.parquet", "-q")
    assert done.returncode == 12, done.stdout
    assert "AUD-L001" in done.stdout
    assert "pip install 'auditor[audit]'" in done.stdout
    assert site.visible("published") == []


def test_a_damaged_installation_is_no_missing_extra(tmp_path: Path) -> None:
    done = without(
        tmp_path, {"pyarrow"}, "manifest", "create", ".", "--source", "a/b", "--batch-id=1"
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "this installation is damaged" in done.stderr
    assert "Traceback" not in done.stderr
