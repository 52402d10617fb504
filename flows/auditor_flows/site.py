"""What is fixed in the deployment: settings, folders, ledger, training. No Prefect here.

Flows take the name of a batch and a digest, nothing else. Everything that decides comes from the
file that `AUDITOR_CONFIG` names in the environment of the process that runs the flow.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from auditor.config import Settings, load
from auditor.errors import ConfigError
from auditor.ledger import Ledger
from auditor.model import Verdict
from auditor.provenance.digests import is_sha256
from auditor.readers import Limits
from auditor.site import utc_now, workspace
from auditor.site_ledger import ledger_of
from auditor.workspace import Workspace
from auditor_flows import inbox
from auditor_flows.inbox import Delivery

CONFIG: Final = "AUDITOR_CONFIG"

#: What a training entry point looks like: (folder of published Parquet files, its digest).
Training = Callable[[Path, str], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The settings in force and where everything is."""

    settings: Settings
    inbox: Path
    roots: Workspace
    ledger: Ledger

    @property
    def limits(self) -> Limits:
        """What a batch may cost."""
        return self.settings.limits.as_limits()

    def recover(self) -> None:
        """Finish or log as held what dead processes left; claims of the dead end with it."""
        self.roots.recover(self.ledger, utc_now())

    def delivery(self, name: str, digest: str = "") -> Delivery:
        """The batch of this name in the inbox, as it is now or as `digest` says it has to be.

        Raises:
            ConfigError: not a name of a batch, nothing of that name, or not a digest.
        """
        inbox.require_name(name)
        if digest and not is_sha256(digest):
            raise ConfigError("digest: not a lowercase hex sha256")
        try:
            listed = inbox.listing(self.inbox, name, self.limits)
        except FileNotFoundError:
            raise ConfigError(f"{name}: no such batch in the inbox") from None
        return inbox.delivery(listed, self.limits, digest=digest)


def open_site(environ: Mapping[str, str] | None = None) -> Site:
    """The site of the deployment.

    Raises:
        ConfigError: `AUDITOR_CONFIG` or `flows.inbox` is not set, or the settings are wrong.
        TrustError: others may write the file.
    """
    environ = os.environ if environ is None else environ
    path = environ.get(CONFIG, "")
    if not path:
        raise ConfigError(f"{CONFIG} is not set: it names the auditor.yaml of this deployment")
    return site_of(load(Path(path), environ, strict_permissions=True), path)


def site_of(settings: Settings, path: str) -> Site:
    """The same for settings that were read from `path`."""
    watched = settings.flows.inbox
    if watched is None:
        raise ConfigError(f"{path}: set flows.inbox to the folder that batches arrive in")
    if not watched.is_dir():
        raise ConfigError(f"{path}: flows.inbox is not a folder: {watched}")
    roots = workspace(settings)
    for root in (roots.runs, roots.publish_to, roots.quarantine_to):
        if root.resolve().is_relative_to(watched.resolve()):
            raise ConfigError(f"{path}: {root} lies in flows.inbox; results are not batches")
    return Site(settings=settings, inbox=watched, roots=roots, ledger=ledger_of(settings))


def training_of(settings: Settings) -> Training:
    """The function that `flows.training` names.

    Raises:
        ConfigError: none is set, or it cannot be imported.
    """
    named = settings.flows.training
    if named is None:
        raise ConfigError("flows.training is not set: nothing to call after the gate")
    module, _, function = named.partition(":")
    try:
        found = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"flows.training: {named} cannot be imported: {error}") from error
    if not callable(found):
        raise ConfigError(f"flows.training: {named} is not a function")
    training: Training = found
    return training


def may_train(verdict: str | None, settings: Settings) -> bool:
    """ACCEPT; QUARANTINE only where `gate.fail_on` is reject. Never anything else."""
    if verdict == Verdict.ACCEPT:
        return True
    return verdict == Verdict.QUARANTINE and settings.gate.fail_on == "reject"
