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
from auditor.private_file import fsync_folder, read, read_or_make, replace
from auditor.transparency.note import VerifierKey, parse_vkey, public_half
from auditor.transparency.refused import LogRefused

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

    def known(self) -> list[VerifierKey]:
        """Every key that signed for this log, the one in use first; raises as `private`."""
        return [self.public(), *self._earlier()]

    @property
    def successor(self) -> LedgerKey:
        """The key that is to take the place of this one."""
        return LedgerKey(self.path.with_name(f"{self.path.name}.next"), self.origin)

    def hand_over(self) -> None:
        """Put the successor in the place of this key, of which the public half is kept.

        Raises `LedgerError` where there is no successor, `TrustError` for files that are no keys.
        """
        earlier = [*self._earlier(), self.public()]
        self.successor.private()
        text = "".join(f"{key}\n" for key in dict.fromkeys(earlier))
        replace(self._before, text.encode())
        self.successor.path.replace(self.path)
        fsync_folder(self.path.parent)

    @property
    def _before(self) -> Path:
        return self.path.with_name(f"{self.path.name}.before")

    def _earlier(self) -> list[VerifierKey]:
        try:
            lines = read(self._before, "the list of the ledger's earlier keys").decode().split()
            return [parse_vkey(line) for line in lines]
        except FileNotFoundError:
            return []
        except (LogRefused, UnicodeDecodeError) as error:
            raise TrustError(f"{self._before}: not a list of verifier keys ({error})") from error

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
