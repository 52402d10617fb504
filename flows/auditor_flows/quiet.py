"""The environment that Prefect reads when it is imported: quiet, offline, in its own folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

SETTINGS: Final = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    # Results are small JSON; nothing here is ever a pickle.
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
}


def be_quiet(home: Path) -> None:
    """Set what is not set already. To be called before anything imports Prefect."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("PREFECT_HOME", str(home))
