"""Shared by the reader tests: a batch folder, and the real ingest with its child process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from auditor.batch import read_columns
from auditor.readers import Ingest, ingest, resolve


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "batch"
    made.mkdir()
    return made


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Ingest]:
    """Resolve and ingest; each call gets its own staging."""
    count = iter(range(1000))

    def run(*paths: Path | str, **options: Any) -> Ingest:
        staging = tmp_path / f"staging{next(count)}"
        return ingest(resolve([str(path) for path in paths]), staging=staging, **options)

    return run


@pytest.fixture
def table() -> Callable[[Ingest], pa.Table]:
    def whole(result: Ingest) -> pa.Table:
        assert result.batch is not None, [finding.message for finding in result.findings]
        return read_columns(result.batch, result.batch.schema.names)

    return whole


@pytest.fixture
def refusal() -> Callable[[Ingest], tuple[object, str]]:
    """Code and message of the one finding; nothing may be readable besides."""

    def only(result: Ingest) -> tuple[object, str]:
        assert result.batch is None
        assert len(result.findings) == 1, result.findings
        return result.findings[0].evidence["code"], result.findings[0].message

    return only
