"""The ledger that `auditor.yaml` names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from auditor.config import Settings, load
from auditor.errors import ConfigError
from auditor.site_ledger import ledger_of


def settings(folder: Path, **ledger: Any) -> Settings:
    path = folder / "auditor.yaml"
    path.write_text(json.dumps({"ledger": ledger}))
    return load(path, {}, strict_permissions=False)


def test_a_file_and_its_key_beside_it(tmp_path: Path) -> None:
    ledger = ledger_of(settings(tmp_path, origin="gate.example/ledger"))
    assert ledger.where == str(tmp_path / ".auditor" / "ledger.db")
    assert ledger.key.path == tmp_path / ".auditor" / "ledger.db.key"
    assert ledger.key.origin == "gate.example/ledger"
    assert ledger_of(settings(tmp_path, key="keys/log.key")).key.path == tmp_path / "keys/log.key"


def test_a_database_and_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = settings(tmp_path, url="postgresql://gate@db.example:5433/log", password_env="LOG_WORD")
    with pytest.raises(ConfigError, match="the variable LOG_WORD is not set"):
        ledger_of(said)
    monkeypatch.setenv("LOG_WORD", "secret")
    ledger = ledger_of(said)
    assert ledger.where == "postgresql://gate@db.example:5433/log"
    assert "secret" not in repr(said)


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "postgresql://gate:secret@db.example/log"},
        {"url": "postgresql://db.example/log"},
        {"url": "mysql://gate@db.example/log"},
        {"url": "postgresql://gate@db.example/log?sslmode=disable"},
        {"origin": "two words"},
        {"origin": "a+b"},
        {"origin": ""},
        {"password_env": "not a name"},
    ],
)
def test_what_cannot_be_a_ledger(tmp_path: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="ledger"):
        settings(tmp_path, **wrong)
