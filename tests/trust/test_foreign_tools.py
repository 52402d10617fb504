"""What other people's tools say about our signatures: openssl, securesystemslib."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import get_args

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from auditor import signing
from auditor.provenance import dsse, keys
from auditor.provenance.keys import Kind

KINDS = get_args(Kind)
PAYLOAD = b'{"any":"bytes"}'


@pytest.fixture(params=KINDS)
def signed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[keys.PublicKey, bytes]:
    """A key of each kind, made by us, and an envelope signed in the separate process."""
    public = signing.generate(tmp_path / "k", kind=request.param)
    return public, signing.sign(PAYLOAD, key=tmp_path / "k.key")


def test_our_own_reader_takes_both_kinds(signed: tuple[keys.PublicKey, bytes]) -> None:
    public, envelope = signed
    assert dsse.signers(dsse.parse(envelope), [public]) == (public.keyid,)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_verifies_both_kinds(signed: tuple[keys.PublicKey, bytes], tmp_path: Path) -> None:
    public, data = signed
    envelope = dsse.parse(data)
    message = dsse.pae(envelope.payload_type, envelope.payload)
    assert _openssl(tmp_path, public, message, envelope.signatures[0].sig) == 0
    assert _openssl(tmp_path, public, message + b" ", envelope.signatures[0].sig) != 0


def _openssl(folder: Path, public: keys.PublicKey, message: bytes, signature: bytes) -> int:
    for name, content in (("pem", public.pem()), ("message", message), ("sig", signature)):
        (folder / name).write_bytes(content)
    command = "openssl pkeyutl -verify -rawin -pubin -inkey pem -in message -sigfile sig"
    digest = ["-digest", "sha256"] if public.kind == "ecdsa-p256" else []
    done = subprocess.run([*command.split(), *digest], cwd=folder, capture_output=True, check=False)
    return done.returncode


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize(
    "command",
    ["genpkey -algorithm ed25519", "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"],
)
def test_keys_made_by_openssl_sign_here(command: str, tmp_path: Path) -> None:
    path = tmp_path / "k.pem"
    subprocess.run(["openssl", *command.split(), "-out", str(path)], check=True, cwd=tmp_path)
    path.chmod(0o600)
    public = subprocess.run(
        ["openssl", "pkey", "-in", str(path), "-pubout"], check=True, capture_output=True
    ).stdout
    envelope = signing.sign(PAYLOAD, key=path)
    key = keys.public_key(public)
    assert dsse.signers(dsse.parse(envelope), [key]) == (key.keyid,)


def test_securesystemslib_verifies_both_kinds(signed: tuple[keys.PublicKey, bytes]) -> None:
    public, data = signed
    known = SSlibKey.from_crypto(load_pem_public_key(public.pem()), keyid=public.keyid)
    document = json.loads(data)
    assert set(Envelope.from_dict(document).verify([known], 1)) == {public.keyid}
    document = json.loads(data)
    document["payloadType"] += "x"
    with pytest.raises(VerificationError):
        Envelope.from_dict(document).verify([known], 1)


def test_case_26_securesystemslib_is_no_model_for_thresholds(
    signed: tuple[keys.PublicKey, bytes],
) -> None:
    """One key under two key ids meets a threshold of two elsewhere; with us it does not."""
    public, data = signed
    crypto = load_pem_public_key(public.pem())
    twins = [SSlibKey.from_crypto(crypto, keyid=keyid) for keyid in ("a", "b")]
    document = json.loads(data)
    sig = document["signatures"][0]["sig"]
    document["signatures"] = [{"keyid": keyid, "sig": sig} for keyid in ("a", "b")]
    assert len(Envelope.from_dict(json.loads(json.dumps(document))).verify(twins, 2)) == 2
    opened = dsse.parse(json.dumps(document).encode())
    with pytest.raises(dsse.Refused, match="SIGNATURE_THRESHOLD"):
        dsse.verify(opened, keys=[public, public], threshold=2, payload_type=dsse.IN_TOTO)
