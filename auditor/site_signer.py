"""Who signs for this gate: the key file or the program that the settings name."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from auditor.command_signer import CommandSigner
from auditor.config import Settings
from auditor.provenance.keys import PublicKey, public_key
from auditor.provenance.refused import KeyRefused
from auditor.readers import read_plain
from auditor.signing import FileSigner, Signer

_MAX_KEY_BYTES: Final = 64 * 1024


def signer_of(settings: Settings) -> Signer | None:
    """What signs, with the key in another process; None where nothing does.

    Raises:
        KeyRefused: KEY_MISSING, KEY_FORMAT or POLICY_WEAK_KEY of the public key.
    """
    signing = settings.signing
    if signing.command is not None and signing.public is not None:
        return CommandSigner(signing.command, _public(signing.public), signing.environment)
    return FileSigner(signing.key, signing.passphrase_env) if signing.key is not None else None


def _public(path: Path) -> PublicKey:
    try:
        return public_key(read_plain(path, _MAX_KEY_BYTES))
    except OSError as error:
        raise KeyRefused("KEY_MISSING", f"{path}: {error.strerror}.") from error
