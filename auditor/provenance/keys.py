"""Public keys that may vouch, and private keys that sign.

Ed25519 (RFC 8032), and ECDSA over P-256 with SHA-256 and signatures in DER. A key is named by the
sha256 of its raw public bytes: 32 bytes of Ed25519, or the 65 bytes of the uncompressed P-256 point
(SEC 1 §2.3.3). So one key has one name however it was written down.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast, get_args

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
from auditor.transparency.points import is_weak

Kind = Literal["ed25519", "ecdsa-p256"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
PrivateKey: TypeAlias = Ed25519PrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that may vouch: 32 raw bytes of Ed25519, or the 65 bytes of a P-256 point (SEC 1)."""

    kind: Kind
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


def new_private_key(kind: Kind) -> PrivateKey:
    """A new key from the operating system's randomness."""
    if kind == "ed25519":
        return Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP256R1())


def private_key(pem: bytes, passphrase: bytes | None = None) -> PrivateKey:
    """Read a private Ed25519 or P-256 key from PEM. Only the signing process calls this.

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
    p256 = isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1)
    if not isinstance(key, Ed25519PrivateKey) and not p256:
        raise KeyRefused("KEY_FORMAT", "The private key is neither Ed25519 nor ECDSA P-256.")
    return cast(PrivateKey, key)


def public_half(key: PrivateKey) -> PublicKey:
    """The public key that belongs to a private one."""
    if isinstance(key, Ed25519PrivateKey):
        return _from_raw(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    return PublicKey("ecdsa-p256", _uncompressed(key.public_key()))


def signature(key: PrivateKey, message: bytes) -> bytes:
    """The raw signature over a message: 64 bytes of Ed25519, or ECDSA with SHA-256 in DER."""
    if isinstance(key, Ed25519PrivateKey):
        return key.sign(message)
    return key.sign(message, ec.ECDSA(SHA256()))


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
    if is_weak(raw):
        raise KeyRefused("POLICY_WEAK_KEY", f"The Ed25519 key {raw.hex()} is refused.")
