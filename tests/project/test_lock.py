"""The lock is whole, hashed, silent about where it came from, and can be cut into parts."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lock_subset", ROOT / ".ci" / "lock_subset.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


lock_subset = load()


def names(*wanted: str) -> set[str]:
    command = [sys.executable, str(ROOT / ".ci" / "lock_subset.py"), *wanted]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(re.findall(r"(?m)^([a-z0-9][a-z0-9.-]*)(?:\[[^\]]*\])?==", said.stdout))


def test_every_package_has_a_version_and_a_hash() -> None:
    pins = lock_subset.read_lock(LOCK)
    assert len(pins) > 100
    for pin in pins.values():
        assert re.search(r"==\S+", pin.lines[0]), pin.name
        hashes = re.findall(r"--hash=(\S+)", "\n".join(pin.lines))
        assert hashes
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", one) for one in hashes), pin.name


def test_a_pin_without_a_hash_is_refused() -> None:
    with pytest.raises(ValueError, match="no hash in the lock for bare"):
        lock_subset.read_lock("bare==1.0\nwhole==2.0 \\\n    --hash=sha256:00\n    # via bare\n")


def test_the_lock_names_no_address_and_no_path() -> None:
    assert not re.findall(r"(?m)^-|://|file:|@ ", LOCK)
    assert not re.findall(r"(?m)(?:^|\s)/\w+", LOCK)


def test_the_lock_holds_everything_that_pyproject_asks_for() -> None:
    pins = lock_subset.read_lock(LOCK)
    asked = [
        *PROJECT["project"]["dependencies"],
        *(one for extra in PROJECT["project"]["optional-dependencies"].values() for one in extra),
        *PROJECT["dependency-groups"]["dev"],
        *PROJECT["build-system"]["requires"],
    ]
    wanted = {lock_subset.name_of(one) for one in asked} - {"auditor"}
    assert wanted <= pins.keys()


def test_the_versions_of_the_lock_are_those_that_pyproject_admits() -> None:
    from auditor.doctor.versions import PINS

    pins = lock_subset.read_lock(LOCK)
    for extra in PINS.values():
        for name, allowed in extra.items():
            version = pins[lock_subset.normal(name)].lines[0].partition("==")[2].split()[0]
            assert allowed.admits(version), name


def test_the_base_is_light() -> None:
    base = names("base")
    assert {"pyarrow", "cryptography", "rfc8785", "typer", "rich", "cffi"} <= base
    assert not {"numpy", "pandas", "scikit-learn", "pyod", "great-expectations", "prefect"} & base
    assert len(base) <= 20


def test_each_extra_holds_the_one_before() -> None:
    base, audit, flows, everything = map(names, ("base", "audit", "flows", "all"))
    assert base < audit < flows < everything
    assert {"pg8000"} <= names("postgres") & everything - flows
    assert "prefect" in flows - audit
    assert {"numba", "joblib"} <= audit
    assert not {"pytest", "mypy", "ruff", "hatchling", "uv"} & everything


def test_a_package_that_is_not_in_the_lock_is_named() -> None:
    command = [sys.executable, str(ROOT / ".ci" / "lock_subset.py"), "no-such-package"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 2
    assert "no-such-package" in said.stderr
    assert said.stdout == ""


def test_markers_and_hashes_travel_with_a_part() -> None:
    pins = lock_subset.read_lock(LOCK)
    (pin,) = (one for one in lock_subset.closure({"rfc8785"}, pins) if one.name == "rfc8785")
    assert "\n".join(pin.lines) in LOCK
