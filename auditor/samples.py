"""Where the shipped sample data and suites are: in the installed wheel or in a checkout."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Final

from auditor.errors import ConfigError

#: Folder inside the installed package that holds `sample_data/` and `expectations/`.
_SHIPPED: Final = "_samples"


def sample_data_dir() -> Path:
    """The folder with `trusted.parquet`, `incoming/*.parquet` and `auditor.yaml`.

    Raises `ConfigError` where this installation carries no samples.
    """
    return _folder("sample_data", "trusted.parquet")


def expectations_dir() -> Path:
    """The folder with the suites that are shipped, `<name>.json`. Raises `ConfigError`."""
    return _folder("expectations", "diamonds.json")


def trusted() -> Path:
    """The trusted part: 6,000 rows."""
    return sample_data_dir() / "trusted.parquet"


def incoming() -> tuple[Path, ...]:
    """The four incoming batches, oldest first."""
    return tuple(sorted((sample_data_dir() / "incoming").glob("*.parquet")))


def _folder(name: str, witness: str) -> Path:
    package = Path(str(importlib.resources.files("auditor")))
    for folder in (package / _SHIPPED / name, package.parent / name):
        if (folder / witness).is_file():
            return folder
    raise ConfigError(
        f"{name}/ is not part of this installation: reinstall auditor, or run from a checkout"
    )
