from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.doctor import PINS, Diagnosis, Health, examine, healthy, packages, python_version
from auditor.doctor.machine import folder_here, sandbox, sandbox_here, site_key_here
from auditor.doctor.versions import Pin

ROOT = Path(__file__).resolve().parents[2]
#: A set of versions in which everything fits.
FITTING = {name: pin.least for pins in PINS.values() for name, pin in pins.items()}


def only(name: str, installed: dict[str, str]) -> Diagnosis:
    (found,) = [diagnosis for diagnosis in packages(installed) if diagnosis.name == name]
    return found


def test_the_pins_are_those_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {"base": project["dependencies"], **project["optional-dependencies"]}
    for extra, pins in PINS.items():
        wanted = {name.replace(" ", "") for name in declared[extra] if "auditor[" not in name}
        assert {f"{name}{pin}" for name, pin in pins.items()} == wanted


def test_fitting_versions_are_all_healthy() -> None:
    found = list(packages(FITTING))
    assert {one.health for one in found} == {Health.OK}
    assert len(found) == len(FITTING) + len(PINS)
    assert not any(one.mend for one in found)


@pytest.mark.parametrize(
    ("name", "version", "mend"),
    [
        ("fastapi", "0.155.0", "python -m pip install 'fastapi>=0.139,<0.151'"),
        ("fastapi", "0.152.1", "python -m pip install 'fastapi>=0.139,<0.151'"),
        ("sqlalchemy", "2.1.0", "python -m pip install 'sqlalchemy>=2.0.36,<2.1'"),
        ("sqlalchemy", "2.1.0b1", "python -m pip install 'sqlalchemy>=2.0.36,<2.1'"),
        ("sqlalchemy", "2.0.35", "python -m pip install 'sqlalchemy>=2.0.36,<2.1'"),
        ("prefect", "3.8.7", "python -m pip install 'prefect>=3.8.8,<4'"),
        ("pyod", "3.7.0", "python -m pip install 'pyod>=3.6,<3.7'"),
        (
            "great-expectations",
            "1.25.0",
            "python -m pip install 'great-expectations>=1.24,<1.25'",
        ),
    ],
)
def test_a_version_that_does_not_fit_comes_with_the_command(
    name: str, version: str, mend: str
) -> None:
    found = only(name, FITTING | {name: version})
    assert (found.health, found.found, found.mend) == (Health.BROKEN, version, mend)
    assert not healthy(packages(FITTING | {name: version}))


@pytest.mark.parametrize(
    ("name", "version"), [("fastapi", "0.150.99"), ("sqlalchemy", "2.0.58"), ("prefect", "3.10.0")]
)
def test_a_version_that_fits_is_left_alone(name: str, version: str) -> None:
    assert only(name, FITTING | {name: version}).health is Health.OK


def test_without_prefect_its_neighbours_do_not_matter() -> None:
    installed = FITTING | {"fastapi": "0.200"}
    del installed["prefect"]
    found = list(packages(installed))
    assert healthy(found)
    assert "fastapi" not in {one.name for one in found}
    extra = only("auditor[flows]", installed)
    assert (extra.health, extra.mend) == (
        Health.NOTE,
        "python -m pip install 'prefect>=3.8.8,<4'",
    )


def test_a_missing_package_of_the_base_is_broken() -> None:
    installed = {name: version for name, version in FITTING.items() if name != "pyarrow"}
    assert only("auditor", installed).health is Health.BROKEN


@given(st.lists(st.integers(0, 400), min_size=1, max_size=5), st.sampled_from(["", ".0", ".0.0"]))
def test_trailing_zeros_change_nothing(numbers: list[int], zeros: str) -> None:
    version = ".".join(map(str, numbers))
    pin = Pin("1.2", "3")
    assert pin.admits(version) == pin.admits(version + zeros) == ([1, 2] <= numbers < [3])


@pytest.mark.parametrize("version", ["", "unknown", "-1"])
def test_a_version_that_cannot_be_read_does_not_fit(version: str) -> None:
    assert not Pin("0.1").admits(version)


def test_the_oldest_python() -> None:
    assert python_version((3, 11)).ok
    assert python_version((3, 12)).ok
    assert not python_version((3, 10)).ok


def test_nothing_looked_at_is_not_healthy() -> None:
    with pytest.raises(ValueError, match="nothing"):
        healthy([])


def test_the_sandbox_is_tried_and_said() -> None:
    level = sandbox_here()
    assert level in {"no network, no files", "no network", "limits only"}
    assert sandbox(level).ok
    assert bool(sandbox(level).mend) == (level != "no network, no files")


def test_the_trial_of_the_sandbox_leaves_this_process_as_it_was() -> None:
    network, root = Path("/proc/self/ns/net"), Path("/proc/self/root")
    before = network.readlink(), root.readlink()
    sandbox_here()
    assert (network.readlink(), root.readlink()) == before


def test_a_folder_that_will_be_made_is_healthy_and_is_not_made(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert folder_here(folder).ok
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_broken(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    found = folder_here(tmp_path / "file")
    assert (found.health, "not a directory" in found.found.lower()) == (Health.BROKEN, True)
    assert found.mend


def test_no_site_key_is_fine_and_none_is_made(tmp_path: Path) -> None:
    assert site_key_here(tmp_path / "site.key").ok
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("mode", "size", "ok"), [(0o600, 32, True), (0o644, 32, False), (0o600, 5, False)]
)
def test_the_site_key_has_to_be_a_secret(tmp_path: Path, mode: int, size: int, ok: bool) -> None:
    key = tmp_path / "site.key"
    key.write_bytes(bytes(size))
    key.chmod(mode)
    assert site_key_here(key).ok is ok


def test_a_dangling_link_is_no_site_key(tmp_path: Path) -> None:
    (tmp_path / "site.key").symlink_to(tmp_path / "nowhere")
    assert not site_key_here(tmp_path / "site.key").ok


def test_a_configuration_that_cannot_be_read_is_broken(tmp_path: Path) -> None:
    config = tmp_path / "auditor.yaml"
    config.write_text("gate:\n  fail_onn: reject\n", encoding="utf-8")
    (found,) = [one for one in examine(config) if one.name == str(config)]
    assert found.health is Health.BROKEN
    assert "fail_onn" in found.found


def test_a_configuration_names_the_folders(tmp_path: Path) -> None:
    config = tmp_path / "auditor.yaml"
    config.write_text("outputs:\n  runs: elsewhere/runs\n", encoding="utf-8")
    names = {one.name for one in examine(config)}
    assert f"folder {tmp_path / 'elsewhere' / 'runs'}" in names


def test_looking_loads_nothing_heavy() -> None:
    trial = (
        "import sys; from pathlib import Path; from auditor.doctor import examine; examine();"
        "print(*sorted({'pandas', 'pyarrow', 'numpy', 'prefect', 'pydantic'} & sys.modules.keys()))"
    )
    said = subprocess.run(
        [sys.executable, "-c", trial], capture_output=True, text=True, check=True, cwd=ROOT / "docs"
    )
    assert said.stdout.strip() == ""
