"""Public keys that may vouch, and private keys that sign.

Ed25519 (RFC 8032) signs and verifies; ECDSA over P-256 with SHA-256 only verifies. A key is named
by the sha256 of its raw public bytes, so that one key has one name however it was written down.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from auditor.provenance.digests import sha256
from auditor.provenance.refused import KeyRefused

_P: Final = 2**255 - 19
#: y coordinates of the eight points of small order. Under such a key forged signatures verify for
#: many messages (RFC 8032 §5.1.7 leaves the choice to us); 1 and p-1, 0, and two pairs of order 8.
_SMALL_ORDER: Final = frozenset(
    {
        0,
        1,
        _P - 1,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
    }
)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that may vouch: 32 raw bytes of Ed25519, or the 65 bytes of a P-256 point (SEC 1)."""

    kind: Literal["ed25519", "ecdsa-p256"]
    raw: bytes

    @property
    def keyid(self) -> str:
        """Lowercase hex sha256 of the raw public key."""
        return sha256(self.raw)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether `signature` is this key's over `message` (ECDSA: DER, SHA-256)."""
        key = self._key()
        try:
            if isinstance(key, Ed25519PublicKey):
                key.verify(signature, message)
            else:
                key.verify(signature, message, ec.ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True

    def pem(self) -> bytes:
        """SubjectPublicKeyInfo in PEM, as `openssl` reads it."""
        return self._key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def _key(self) -> Ed25519PublicKey | ec.EllipticCurvePublicKey:
        if self.kind == "ed25519":
            return Ed25519PublicKey.from_public_bytes(self.raw)
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), self.raw)


def public_key(text: bytes) -> PublicKey:
    """Read a public key: PEM, or the raw key in hex (32 bytes Ed25519, 33 or 65 bytes P-256).

    Raises:
        KeyRefused: KEY_FORMAT, or POLICY_WEAK_KEY for an Ed25519 point of small order or a second
            spelling of another key.
    """
    stripped = text.strip()
    if stripped.startswith(b"-----BEGIN"):
        return _from_pem(stripped)
    if not re.fullmatch(rb"(?:[0-9a-fA-F]{2})+", stripped):
        raise KeyRefused("KEY_FORMAT", "The public key is neither PEM nor hex.")
    return _from_raw(bytes.fromhex(stripped.decode()))


def private_key(pem: bytes, passphrase: bytes | None = None) -> Ed25519PrivateKey:
    """Read a private Ed25519 key from PEM. Only the signing process calls this.

    Raises:
        KeyRefused: KEY_FORMAT or KEY_PASSPHRASE. Messages never quote the file.
    """
    try:
        key = load_pem_private_key(pem, passphrase)
    except TypeError as error:  # a passphrase is missing, or there is one too many
        raise KeyRefused("KEY_PASSPHRASE", "The passphrase does not fit the key.") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        if passphrase is not None:
            raise KeyRefused("KEY_PASSPHRASE", "The passphrase does not open the key.") from error
        raise KeyRefused("KEY_FORMAT", "The private key is not PEM.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyRefused("KEY_FORMAT", "The private key is not Ed25519.")
    return key


def public_half(key: Ed25519PrivateKey) -> PublicKey:
    """The public key that belongs to a private one."""
    return _from_raw(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def _from_pem(pem: bytes) -> PublicKey:
    if b"PRIVATE KEY" in pem:
        raise KeyRefused("KEY_FORMAT", "This is a private key; name the .pub file instead.")
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyRefused("KEY_FORMAT", "The public key is not valid PEM.") from error
    if isinstance(key, Ed25519PublicKey):
        return _from_raw(key.public_bytes(Encoding.Raw, PublicFormat.Raw))
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return PublicKey("ecdsa-p256", _uncompressed(key))
    raise KeyRefused("KEY_FORMAT", "The public key is of another type.")


def _from_raw(raw: bytes) -> PublicKey:
    if len(raw) == 32:
        _require_strong(raw)
        return PublicKey("ed25519", raw)
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw)
    except ValueError as error:
        raise KeyRefused("KEY_FORMAT", f"{len(raw)} bytes are no key that we know.") from error
    return PublicKey("ecdsa-p256", _uncompressed(key))


def _uncompressed(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _require_strong(raw: bytes) -> None:
    y = int.from_bytes(raw, "little") & (2**255 - 1)  # the top bit is the sign of x
    if y >= _P or y in _SMALL_ORDER:
        raise KeyRefused("POLICY_WEAK_KEY", f"The Ed25519 key {raw.hex()} is refused.")
