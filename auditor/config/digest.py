"""The policy digest: what decided, as one sha256."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import rfc8785
from pydantic import TypeAdapter

from auditor.config.rules import Detectors, detector_options
from auditor.config.settings import Settings
from auditor.errors import ConfigError


def digest(
    settings: Settings,
    *,
    suite: str | None,
    rules: Iterable[str],
    suppressions: str | None = None,
    detectors: Detectors | None = None,
) -> str:
    """Lowercase hex sha256 of the canonical JSON (RFC 8785) of the settings that decide.

    Those are roles, profile, manifest keys, detectors with all options, policy, gate and limits.
    Names, paths and outputs do not count: the same policy has the same digest on every machine.
    Sample weights do: they decide which rows a model learns from.
    `suite` is the digest of the expectations, `rules` the ids (with versions) of all rules in
    force, `suppressions` the digest of what is suppressed, if anything.
    Baseline and the auditor's version are fields of their own in the attestation.

    Raises `ConfigError` where a key file cannot be read.
    """
    options = detector_options(settings, detectors)
    said: dict[str, Any] = {
        "v": 1,
        "suite": suite,
        "rules": sorted(rules),
        "detectors": {rule: _plain(each) for rule, each in options.items()},
        "manifest": {
            "keys": {s: sorted(map(_key, keys)) for s, keys in settings.manifest.keys.items()},
            "threshold": settings.manifest.threshold,
            "source": settings.manifest.source,
            "unsigned": settings.manifest.unsigned,
        },
        "signatures": {
            "keys": sorted(map(_key, settings.signatures.keys or ())),
            "threshold": settings.signatures.threshold,
        },
        **({"suppressions": suppressions} if suppressions else {}),
        **({"sample_weight": trimmed} if (trimmed := settings.outputs.sample_weight) else {}),
        **settings.model_dump(
            mode="json", include={"roles", "profile", "policy", "gate", "limits"}
        ),
    }
    try:
        return hashlib.sha256(rfc8785.dumps(said)).hexdigest()
    except rfc8785.CanonicalizationError as error:
        raise ConfigError(f"settings: a number is too large to be recorded ({error})") from error


def _plain(options: object) -> Any:
    return TypeAdapter[object](type(options)).dump_python(options, mode="json")


def _key(text: str) -> str:
    """A key in hex stands for itself, a file for its content: where it lies decides nothing."""
    path = Path(text)
    if not path.is_absolute() and path.suffix == "" and "/" not in text:
        return text
    try:
        return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    except OSError as error:
        raise ConfigError(f"keys: {path} cannot be read ({error.strerror})") from error
