"""What people install and build: the Dockerfile, the Makefile, the wheel, the start-up."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.prefix) / "bin"
HEAVY = {
    "cleanlab", "duckdb", "great_expectations", "numba", "numpy", "pandas", "prefect", "pyarrow",
    "pyod", "rich", "scipy", "sklearn",
}  # fmt: skip


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def loaded_by(statement: str) -> set[str]:
    trial = f"""import sys
try:
    {statement}
except SystemExit:
    pass
print(*sys.modules, file=sys.stderr)"""
    said = run(sys.executable, "-c", trial)
    assert said.returncode == 0, said.stderr
    return set(said.stderr.split())


def test_help_loads_nothing_heavy() -> None:
    loaded = loaded_by("sys.argv = ['auditor', '--help']; from auditor.cli import main; main()")
    assert "typer" in loaded
    assert HEAVY & loaded == set()


@pytest.mark.parametrize(
    "module",
    [
        "auditor",
        "auditor.provenance",
        "auditor.signing",
        "auditor.trust.chain",
    ],
)
def test_what_a_training_image_imports_needs_no_extra(module: str) -> None:
    assert (HEAVY - {"pyarrow"}) & loaded_by(f"import {module}") == set()


def test_the_dockerfile_is_clean() -> None:
    hadolint = shutil.which("hadolint", path=str(BIN)) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("no hadolint for this platform")
    said = run(hadolint, "--failure-threshold", "style", "Dockerfile")
    assert (said.returncode, said.stdout) == (0, "")


def test_the_image_runs_as_a_numbered_user_and_looks_after_itself() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    final = text[text.rindex("\nFROM ") :]
    assert re.search(r"(?m)^USER [1-9]\d+:[1-9]\d+$", final)
    assert re.search(r"(?m)^HEALTHCHECK .*\"auditor\", \"doctor\"", final)
    assert all(line == "FROM ${BASE_IMAGE}" for line in re.findall(r"(?m)^FROM [^ \n]+", text))
    assert not re.search(r"(?m)^[^#]*\bcurl\b", text)


def test_the_image_takes_in_everything_it_copies() -> None:
    """What `.dockerignore` leaves out cannot be copied."""
    admitted = {
        line[1:].rstrip("/")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {
        project["project"]["readme"], "LICENSE", "NOTICE", "pyproject.toml", "requirements.lock",
        ".ci/lock_subset.py", *(one.split("/")[0] for one in wheel["force-include"]),
        *(one.split("/")[0] for one in wheel["packages"]),
    }  # fmt: skip
    assert needed <= admitted


@pytest.mark.parametrize("secret", ["**/.auditor/", "**/.env", "**/*.key", "**/*.pem"])
def test_the_image_takes_in_no_key_that_lies_in_an_admitted_folder(secret: str) -> None:
    """The last line that fits decides: what is left out again has to follow what is admitted."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    last_admitted = max(n for n, line in enumerate(lines) if line.startswith("!"))
    assert secret in lines[last_admitted:]


def test_the_wheel_names_all_sample_data_that_the_product_reads() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    names = {"trusted.parquet", "incoming", "auditor.yaml", "LICENSE.plotnine"}
    assert {f"sample_data/{name}" for name in names} <= included.keys()
    assert all((ROOT / one).exists() for one in included)
    assert all(where == f"auditor/_samples/{one}" for one, where in included.items())


def test_make_without_a_target_lists_them() -> None:
    said = run("make", "-s")
    assert said.returncode == 0
    targets = set(re.findall(r"(?m)^  make (\S+)", said.stdout))
    phony = re.search(r"(?m)^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert phony is not None
    assert targets == set(phony.group(1).split())


def test_make_says_which_python_is_missing(tmp_path: Path) -> None:
    said = run("make", "-s", "demo", "PYTHON=no-such-python", f"VENV={tmp_path / 'env'}")
    assert said.returncode != 0
    assert "no Python 3.11 or newer (no-such-python)" in said.stderr
    assert not (tmp_path / "env").exists()


def test_make_never_empties_a_folder_that_is_no_environment(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("mine", encoding="utf-8")
    copy = tmp_path / "project"
    copy.mkdir()
    shutil.copy(ROOT / "Makefile", copy)
    assert run("make", "-s", "clean", f"VENV={tmp_path}", cwd=copy).returncode == 0
    assert (tmp_path / "kept").read_text(encoding="utf-8") == "mine"


def test_the_tree_names_no_machine_and_no_registry() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    said = run("bash", ".ci/clean_tree")
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.parametrize(
    "line",
    [
        "/ho" + "me/somebody/data.csv",
        "see https://py" + "pi.org/simple",
        "-----BEGIN " + "PRIVATE KEY-----",
    ],
)
def test_a_tree_that_names_one_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "clean_tree", tmp_path / ".ci")
    assert run("git", "init", "-q", cwd=tmp_path).returncode == 0
    (tmp_path / "note.txt").write_text("nothing here\n", encoding="utf-8")
    run("git", "add", "-A", cwd=tmp_path)
    assert run("bash", ".ci/clean_tree", cwd=tmp_path).returncode == 0
    (tmp_path / "note.txt").write_text(line + "\n", encoding="utf-8")
    assert run("bash", ".ci/clean_tree", cwd=tmp_path).returncode == 1


@pytest.mark.slow
def test_the_wheel_carries_samples_suites_flows_and_types(tmp_path: Path) -> None:
    said = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path, ".")
    assert said.returncode == 0, said.stdout + said.stderr
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    for name in ("py.typed", "schemas/report.schema.json", "_samples/sample_data/trusted.parquet"):
        assert f"auditor/{name}" in held
    assert any(name.startswith("auditor/_samples/expectations/") for name in held)
    assert "auditor_flows/__init__.py" in held
    assert any(name.endswith("licenses/LICENSE") for name in held)
    tops = {name.split("/")[0] for name in held}
    assert tops == {"auditor", "auditor_flows", "auditor-0.1.0.dist-info"}
    (source,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"requirements.lock", "Makefile", "LICENSE", "sample_data/trusted.parquet"} <= inside


@pytest.mark.slow
def test_the_wheel_leaves_out_what_a_run_left_in_the_sample_data(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("auditor", "flows", "sample_data", "expectations"):
        ignored = shutil.ignore_patterns("__pycache__", ".auditor", "*.key")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    (source / "sample_data" / ".auditor").mkdir()
    for left in (".auditor/site.key", "signer.key"):
        (source / "sample_data" / left).write_bytes(b"secret")
    said = run(
        sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, source
    )
    assert said.returncode == 0, said.stdout + said.stderr
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    assert "auditor/_samples/sample_data/trusted.parquet" in held
    assert not {one for one in held if one.endswith(".key")}
