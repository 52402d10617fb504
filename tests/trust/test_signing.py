"""The signing step: real files, a real second process."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from auditor import signing
from auditor.provenance import dsse, keys
from auditor.provenance.refused import KeyRefused


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
def test_39_key_that_others_may_read(tmp_path: Path, mode: int) -> None:
    signing.generate(tmp_path / "k")
    (tmp_path / "k.key").chmod(mode)
    with pytest.raises(KeyRefused) as caught:
        signing.sign(b"{}", key=tmp_path / "k.key")
    assert caught.value.code == "KEY_PERMISSIONS"
    assert "chmod 600" in str(caught.value)


def test_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signing.generate(tmp_path / "k", passphrase=b"correct horse")
    key = tmp_path / "k.key"
    assert b"ENCRYPTED" in key.read_bytes()
    monkeypatch.setenv("PASS", "correct horse")
    assert dsse.parse(signing.sign(b"{}", key=key, passphrase_env="PASS")).signatures
    monkeypatch.setenv("PASS", "wrong")
    for variable in ("PASS", None, "NOT_SET"):
        with pytest.raises(KeyRefused) as caught:
            signing.sign(b"{}", key=key, passphrase_env=variable)
        assert caught.value.code == "KEY_PASSPHRASE"


@pytest.mark.parametrize("kind", ["absent", "folder", "fifo", "text", "public"])
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
