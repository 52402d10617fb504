"""The ledger's own key: it signs checkpoints, and nothing else is signed with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from auditor.errors import LedgerError, TrustError
from auditor.private_file import read, read_or_make
from auditor.transparency.note import VerifierKey, public_half

#: The name of a log that nobody named. It is also the name of its key.
ORIGIN: Final = "auditor.local/ledger"

_WHAT: Final = "the ledger's key"


@dataclass(frozen=True, slots=True)
class LedgerKey:
    """Where the key is (Ed25519, PKCS 8 in PEM, mode 0600), and the log's origin."""

    path: Path
    origin: str = ORIGIN

    def exists(self) -> bool:
        """Whether there is a file."""
        return self.path.exists()

    def make(self) -> Ed25519PrivateKey:
        """The key, made where there is none. Raises `TrustError` for a file that is no key."""
        return self._parsed(read_or_make(self.path, _fresh, _WHAT))

    def private(self) -> Ed25519PrivateKey:
        """The key. Raises `LedgerError` where it is missing, `TrustError` for what is no key."""
        try:
            return self._parsed(read(self.path, _WHAT))
        except FileNotFoundError as error:
            raise LedgerError(
                f"{self.path}: the ledger's key is missing; restore it from a backup "
                "(a new one would start a history that nobody can tell from a forgery)"
            ) from error

    def public(self) -> VerifierKey:
        """What others verify with; raises as `private`."""
        return public_half(self.origin, self.private())

    def _parsed(self, pem: bytes) -> Ed25519PrivateKey:
        try:
            key = load_pem_private_key(pem, None)
        except (ValueError, TypeError) as error:
            raise TrustError(f"{self.path}: the ledger's key is not a key in PEM") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise TrustError(f"{self.path}: the ledger's key is not Ed25519")
        return key


def _fresh() -> bytes:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
