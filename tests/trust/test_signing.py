"""The signing step: real files, a real second process."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from auditor import signing
from auditor.provenance import dsse, keys
from auditor.provenance.keys import Kind
from auditor.provenance.refused import KeyRefused, Refused

KINDS = get_args(Kind)


def test_generate_then_sign_then_verify(world: Any, tmp_path: Path) -> None:
    public = signing.generate(tmp_path / "site.v2")
    key = tmp_path / "site.v2.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert keys.public_key((tmp_path / "site.v2.pub").read_bytes()) == public
    envelope = signing.sign(world.payload(), key=key)
    known = {"vendor-a/reviews": (public,)}
    assert world.verify(envelope, keys=known).verified
    assert dsse.parse(envelope).signatures[0].keyid == public.keyid


def test_the_key_is_never_in_the_calling_process(tmp_path: Path) -> None:
    """The child alone opens the key file: here the parent could not even find it in its folder."""
    signing.generate(tmp_path / "k")
    code = (
        "import sys; sys.path.append(sys.argv[1])\n"
        "opened = []\n"
        "sys.addaudithook(lambda e, a: opened.append(str(a[0])) if e == 'open' else None)\n"
        "from pathlib import Path; from auditor import signing\n"
        "assert signing.sign(b'{}', key=Path(sys.argv[2]))\n"
        "assert not [o for o in opened if o.endswith('.key')], opened\n"
        "assert 'pyarrow' not in sys.modules\n"
    )
    root = str(Path(signing.__file__).parents[1])
    command = [sys.executable, "-c", code, root, str(tmp_path / "k.key")]
    done = subprocess.run(command, capture_output=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    signing.generate(tmp_path / "k")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(KeyRefused, match="KEY_EXISTS"):
        signing.generate(tmp_path / "k")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("there", ["k.key", "k.pub"])
def test_half_a_pair_is_not_overwritten_and_none_is_left(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_bytes(b"mine")
    with pytest.raises(KeyRefused, match="KEY_EXISTS"):
        signing.generate(tmp_path / "k")
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_bytes() == b"mine"


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "k.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyRefused, match="KEY_EXISTS"):
        signing.generate(tmp_path / "k")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o601])
def test_case_39_key_that_others_may_read(tmp_path: Path, mode: int) -> None:
    """The file of a private key can be read or changed by others than its owner."""
    signing.generate(tmp_path / "k")
    (tmp_path / "k.key").chmod(mode)
    with pytest.raises(KeyRefused) as caught:
        signing.sign(b"{}", key=tmp_path / "k.key")
    assert caught.value.code == "KEY_PERMISSIONS"
    assert "chmod 600" in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_passphrase(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signing.generate(tmp_path / "k", kind=kind, passphrase=b"correct horse")
    key = tmp_path / "k.key"
    assert b"ENCRYPTED" in key.read_bytes()
    monkeypatch.setenv("PASS", "correct horse")
    assert dsse.parse(signing.sign(b"{}", key=key, passphrase_env="PASS")).signatures
    monkeypatch.setenv("PASS", "wrong")
    for variable in ("PASS", None, "NOT_SET"):
        with pytest.raises(KeyRefused) as caught:
            signing.sign(b"{}", key=key, passphrase_env=variable)
        assert caught.value.code == "KEY_PASSPHRASE"


@pytest.mark.parametrize("kind", ["absent", "folder", "fifo", "text", "public", "p384"])
def test_not_a_key(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "k"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path, 0o600)
    elif kind == "text":
        path.write_text("hello")
    elif kind == "public":
        signing.generate(path)
        (tmp_path / "k.pub").rename(path)
    elif kind == "p384":
        other = ec.generate_private_key(ec.SECP384R1())
        path.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    if path.is_file():
        path.chmod(0o600)
    with pytest.raises(KeyRefused) as caught:
        signing.sign(b"{}", key=path)
    assert caught.value.code == ("KEY_MISSING" if kind == "absent" else "KEY_FORMAT")


def test_the_environment_does_not_reach_the_signing_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cryptography.py").write_text("raise SystemExit('planted')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    signing.generate(tmp_path / "k")
    assert signing.sign(b"{}", key=Path("k.key"))


def test_unsigned_envelope_differs_only_in_its_signatures(tmp_path: Path) -> None:
    signing.generate(tmp_path / "k")
    signed = dsse.parse(signing.sign(b"{}", key=tmp_path / "k.key"))
    unsigned = dsse.parse(signing.unsigned_envelope(b"{}"))
    assert unsigned.signatures == ()
    assert (unsigned.payload, unsigned.payload_type) == (signed.payload, signed.payload_type)


class TokenSigner:
    """A key that is no file, as one in a KMS or a hardware token."""

    def __init__(self, kind: Kind) -> None:
        self._key = keys.new_private_key(kind)
        self.public = keys.public_half(self._key)

    def sign(self, message: bytes) -> dsse.Signature:
        return dsse.Signature(self.public.keyid, keys.signature(self._key, message))


@pytest.mark.parametrize("kind", KINDS)
def test_another_signer_needs_one_method(kind: Kind, tmp_path: Path) -> None:
    token = TokenSigner(kind)
    envelope = signing.add_signature(signing.unsigned_envelope(b"{}"), token)
    assert dsse.signers(dsse.parse(envelope), [token.public]) == (token.public.keyid,)


def test_signatures_are_gathered_one_by_one_and_never_doubled(tmp_path: Path) -> None:
    """Two people sign the same document on two machines; ECDSA signs anew with other bytes."""
    one, two = TokenSigner("ed25519"), TokenSigner("ecdsa-p256")
    envelope = signing.unsigned_envelope(b"{}")
    for signer in (one, two, two, one):
        envelope = signing.add_signature(envelope, signer)
    opened = dsse.parse(envelope)
    assert [s.keyid for s in opened.signatures] == [two.public.keyid, one.public.keyid]
    assert len(dsse.signers(opened, [one.public, two.public])) == 2


def test_a_seventeenth_signature_is_refused(tmp_path: Path) -> None:
    envelope = signing.unsigned_envelope(b"{}")
    for _ in range(dsse.MAX_SIGNATURES):
        envelope = signing.add_signature(envelope, TokenSigner("ed25519"))
    with pytest.raises(Refused, match="DSSE_TOO_MANY_SIGS"):
        signing.add_signature(envelope, TokenSigner("ed25519"))
