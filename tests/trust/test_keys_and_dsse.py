"""Keys and envelopes, with openssl and plain curve arithmetic as second opinions."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from auditor.provenance import dsse, keys
from auditor.provenance.refused import KeyRefused

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]


def add(a: Point, b: Point) -> Point:
    """Addition on edwards25519 in affine coordinates (RFC 8032 §5.1)."""
    (x1, y1), (x2, y2) = a, b
    product = D * x1 * x2 * y1 * y2 % P
    return (
        (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P,
        (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P,
    )


def x_of(y: int) -> int | None:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    for root in (x, x * pow(2, (P - 1) // 4, P) % P):
        if root * root % P == square:
            return root
    return None


def torsion() -> set[Point]:
    """The eight points of small order: multiples of a point times the large prime order."""
    order = 2**252 + 27742317777372353535851937790883648493
    for y in range(2, 100):
        x = x_of(y)
        if x is None:
            continue
        found, double, scalar = (0, 1), (x, y), order
        while scalar:
            found = add(found, double) if scalar & 1 else found
            double, scalar = add(double, double), scalar >> 1
        points, step = {found}, found
        for _ in range(7):
            step = add(step, found)
            points.add(step)
        if len(points) == 8:
            return points
    raise AssertionError("no generator of the torsion group found")


def encodings() -> list[bytes]:
    ys = {y + shift for _, y in torsion() for shift in (0, P) if y + shift < 2**255}
    return [(y | sign << 255).to_bytes(32, "little") for y in ys for sign in (0, 1)]


def test_29_every_spelling_of_every_small_order_point_is_refused() -> None:
    assert len(torsion()) == 8
    assert len(encodings()) == 14
    for raw in encodings():
        with pytest.raises(KeyRefused) as caught:
            keys.public_key(raw.hex().encode())
        assert caught.value.code == "POLICY_WEAK_KEY"


def test_why_small_order_keys_are_refused() -> None:
    """Under the neutral point a signature made without any key verifies for every message."""
    neutral = (1).to_bytes(32, "little")
    forged = neutral + bytes(32)
    Ed25519PublicKey.from_public_bytes(neutral).verify(forged, b"any message")


def test_weak_key_in_pem_is_refused() -> None:
    weak = Ed25519PublicKey.from_public_bytes((1).to_bytes(32, "little"))
    pem = weak.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(KeyRefused, match="POLICY_WEAK_KEY"):
        keys.public_key(pem)


@pytest.mark.parametrize("y", [2, 7, P - 2])
def test_no_public_key_makes_verification_raise(y: int) -> None:
    key = keys.public_key(y.to_bytes(32, "little").hex().encode())
    assert not key.verifies(b"\0" * 64, b"message")


def test_one_key_has_one_name_however_it_is_written() -> None:
    public = keys.public_half(Ed25519PrivateKey.generate())
    assert keys.public_key(public.pem()) == public
    assert keys.public_key(public.raw.hex().upper().encode() + b"\n") == public
    point = ec.generate_private_key(ec.SECP256R1()).public_key()
    spellings = [
        point.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        point.public_bytes(Encoding.X962, PublicFormat.CompressedPoint).hex().encode(),
        point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint).hex().encode(),
    ]
    assert len({keys.public_key(text).keyid for text in spellings}) == 1


def bad_keys() -> list[bytes]:
    other = rsa.generate_private_key(65537, 2048).public_key()
    curve = ec.generate_private_key(ec.SECP384R1()).public_key()
    spki = PublicFormat.SubjectPublicKeyInfo
    return [
        b"",
        b"zz",
        b"ab" * 31,
        b"04" + b"ab" * 64,
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
        other.public_bytes(Encoding.PEM, spki),
        curve.public_bytes(Encoding.PEM, spki),
    ]


@pytest.mark.parametrize("text", bad_keys(), ids=range(8))
def test_other_keys_are_refused(text: bytes) -> None:
    with pytest.raises(KeyRefused) as caught:
        keys.public_key(text)
    assert caught.value.code == "KEY_FORMAT"


def test_pre_authentication_encoding_of_the_specification() -> None:
    expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert dsse.pae("http://example.com/HelloWorld", b"hello world") == expected
    assert dsse.pae("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


def test_ecdsa_p256_verifies() -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    message = dsse.pae(dsse.IN_TOTO, b"{}")
    signature = dsse.Signature("", private.sign(message, ec.ECDSA(SHA256())))
    envelope = dsse.parse(dsse.build(b"{}", dsse.IN_TOTO, [signature]))
    public = keys.public_key(pem)
    assert dsse.signers(envelope, [public]) == (public.keyid,)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_agrees(world: Any, tmp_path: Path) -> None:
    envelope = dsse.parse(world.sign(world.payload()))
    message = dsse.pae(envelope.payload_type, envelope.payload)
    assert _openssl(tmp_path, world.public.pem(), message, envelope.signatures[0].sig) == 0
    assert _openssl(tmp_path, world.public.pem(), message + b" ", envelope.signatures[0].sig) != 0


def _openssl(folder: Path, pem: bytes, message: bytes, signature: bytes) -> int:
    for name, content in (("pub", pem), ("message", message), ("sig", signature)):
        (folder / name).write_bytes(content)
    command = "openssl pkeyutl -verify -rawin -pubin -inkey pub -in message -sigfile sig"
    return subprocess.run(command.split(), cwd=folder, capture_output=True, check=False).returncode


def test_an_envelope_round_trips(world: Any) -> None:
    data = world.sign(world.payload(), world.key, world.stranger)
    opened = dsse.parse(data)
    assert opened.payload == world.payload()
    assert dsse.build(opened.payload, opened.payload_type, opened.signatures) == data
