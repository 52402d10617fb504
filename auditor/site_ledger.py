"""The log of decisions that the settings name."""

from __future__ import annotations

import os

from auditor.config import Settings
from auditor.errors import ConfigError
from auditor.ledger import Ledger


def ledger_of(settings: Settings) -> Ledger:
    """The ledger, not opened yet; raises `ConfigError` where its password is not set."""
    log, file = settings.ledger, settings.outputs.ledger
    if log.password_env is not None and log.password_env not in os.environ:
        raise ConfigError(f"ledger.password_env: the variable {log.password_env} is not set")
    return Ledger(
        log.url or file,
        origin=log.origin,
        key=log.key or file.with_name(f"{file.name}.key"),
        password=os.environ[log.password_env] if log.password_env else None,
    )
