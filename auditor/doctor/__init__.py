"""What is wrong with this installation, and the command that mends it. Runs on the base install."""

from __future__ import annotations

import datetime as dt
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from auditor.doctor.diagnosis import Diagnosis, Health, healthy
from auditor.doctor.machine import folder_here, sandbox, sandbox_here, site_key_here
from auditor.doctor.versions import PINS, PIP, packages, python_version, versions_here
from auditor.errors import ConfigError, TrustError

__all__ = ["PINS", "Diagnosis", "Health", "examine", "healthy", "packages", "python_version"]


def examine(config: Path | None = None) -> tuple[Diagnosis, ...]:
    """Look at everything: versions, sandbox, the folders and the key that `config` names.

    Without `config` it is `auditor.yaml` of this folder, else the defaults below `.auditor`.
    """
    installed = versions_here()
    return (
        python_version((sys.version_info.major, sys.version_info.minor)),
        *packages(installed),
        sandbox(sandbox_here()),
        *_configured(config, whole=not any(name not in installed for name in PINS["audit"])),
    )


def _configured(config: Path | None, *, whole: bool) -> Iterator[Diagnosis]:
    """`whole`: the extra `audit` is there, without which no configuration can be read."""
    path = config or Path("auditor.yaml")
    if config is None and not path.is_file():
        yield folder_here(Path(".auditor"))
        yield site_key_here(Path(".auditor/site.key"))
        return
    wanted = "settings that can be read"
    if not whole:
        found, mend = "needs the extra audit to be read", f"{PIP} 'auditor[audit]'"
        yield Diagnosis(name=str(path), health=Health.NOTE, found=found, wanted=wanted, mend=mend)
        return
    from auditor.config import load

    try:
        settings = load(path, os.environ, strict_permissions=False)
    except (ConfigError, TrustError) as error:
        mend = "correct what is named; `auditor schema` prints every setting"
        yield Diagnosis(
            name=str(path), health=Health.BROKEN, found=str(error), wanted=wanted, mend=mend
        )
        return
    yield Diagnosis(name=str(path), health=Health.OK, found="can be read", wanted=wanted)
    outputs, trust = settings.outputs, settings.trust
    folders = (outputs.runs, outputs.publish_to, outputs.quarantine_to, outputs.ledger.parent)
    yield from map(folder_here, folders)
    yield site_key_here(outputs.site_key)
    if trust.policy is not None and trust.sha256 is not None:
        from auditor.doctor.policy import gate_role_here, log_key_here, trust_policy_here
        from auditor.site_ledger import ledger_of
        from auditor.trust_files import Pinned

        pinned, now = Pinned(trust.policy, trust.sha256), dt.datetime.now(dt.UTC)
        ledger = ledger_of(settings)
        yield trust_policy_here(pinned, ledger, now)
        yield from gate_role_here(pinned, ledger, settings, now)
        yield from log_key_here(pinned, ledger, now)
