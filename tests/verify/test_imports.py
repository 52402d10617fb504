"""What a training job loads with `auditor.verify`: pyarrow and cryptography, nothing heavy."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {
    "cleanlab", "datasets", "duckdb", "great_expectations", "numba", "pandas", "polars", "prefect",
    "pydantic", "pyod", "rich", "ruamel", "scipy", "sklearn", "sqlalchemy", "torch", "typer",
}  # fmt: skip


def loaded_by(statement: str) -> set[str]:
    trial = f"{statement}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", trial], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_training_side_needs_nothing_heavy() -> None:
    loaded = loaded_by("import auditor.verify")
    assert {name.partition(".")[0] for name in loaded} & HEAVY == set()
    third_party = {
        "auditor",
        "pyarrow",
        "cryptography",
        "rfc8785",
        "numpy",
        "_openssl",
        "_cffi_backend",
    }
    alone = loaded_by("import pyarrow, pyarrow.parquet, pyarrow.fs, cryptography, rfc8785")
    tops = {name.partition(".")[0] for name in loaded - alone}
    assert tops - third_party <= set(sys.stdlib_module_names)


def test_it_loads_no_part_of_the_audit() -> None:
    loaded = {name for name in loaded_by("import auditor.verify") if name.startswith("auditor.")}
    parts = {name.split(".")[1] for name in loaded}
    assert parts <= {
        "errors", "model", "plain_file", "provenance", "sample_weight", "transparency", "trust",
        "verify",
    }, parts  # fmt: skip
