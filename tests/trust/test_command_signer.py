"""A program that signs: in a process of its own, bounded, and believed only if its key says so."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from auditor import signing
from auditor.command_signer import LONGEST, CommandSigner
from auditor.provenance import dsse, keys
from auditor.provenance.refused import KeyRefused
from auditor.signing import add_signature, unsigned_envelope

PYTHON = sys.executable


def program(folder: Path, text: str, *arguments: object) -> tuple[str, ...]:
    """A command that runs a Python text; the interpreter stands first, as openssl would."""
    path = folder / "sign.py"
    path.write_text(text)
    return (PYTHON, "-I", str(path), *map(str, arguments))


@pytest.fixture
def openssl(tmp_path: Path) -> CommandSigner:
    """Signs with the `openssl` of this machine, by a P-256 key that only it reads."""
    found = shutil.which("openssl")
    if found is None:
        pytest.skip("there is no openssl")
    public = signing.generate(tmp_path / "gate", kind="ecdsa-p256")
    command = (found, "dgst", "-sha256", "-sign", str(tmp_path / "gate.key"))
    return CommandSigner(command, public)


def test_openssl_signs_an_envelope(openssl: CommandSigner) -> None:
    payload = b"{}" * 3_000_000  # more than any pipe holds
    envelope = dsse.parse(add_signature(unsigned_envelope(payload), openssl))
    (made,) = envelope.signatures
    assert made.keyid == openssl.public.keyid
    assert openssl.public.verifies(made.sig, dsse.pae(envelope.payload_type, payload))


def test_another_key_than_the_public_one_is_refused(openssl: CommandSigner) -> None:
    """Somebody configured, or swapped, the key behind the program."""
    other = replace(openssl, public=keys.public_half(keys.new_private_key("ecdsa-p256")))
    with pytest.raises(KeyRefused, match=r"SIGNING_FAILED: .*openssl: its signature does not"):
        other.sign(b"message")


SERVICE_CLIENT = """
import socket, sys
with socket.socket(socket.AF_UNIX) as service:
    service.connect(sys.argv[1])
    service.sendall(sys.stdin.buffer.read())
    service.shutdown(socket.SHUT_WR)
    sys.stdout.buffer.write(service.makefile("rb").read())
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[CommandSigner]:
    """A signing service behind a socket: its Ed25519 key is in no file at all."""
    key = keys.new_private_key("ed25519")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()

        def answer() -> None:
            connection, _ = listening.accept()
            with connection, connection.makefile("rb") as message:
                connection.sendall(keys.signature(key, message.read()))

        thread = threading.Thread(target=answer)
        thread.start()
        command = program(tmp_path, SERVICE_CLIENT, tmp_path / "s")
        yield CommandSigner(command, keys.public_half(key))
        thread.join()


def test_a_key_that_is_in_no_file_here(service: CommandSigner) -> None:
    made = service.sign(b"message")
    assert service.public.verifies(made.sig, b"message")


def refused(folder: Path, text: str, **changes: object) -> str:
    public = keys.public_half(keys.new_private_key("ed25519"))
    signer = CommandSigner(program(folder, text, "--secret-argument"), public)
    with pytest.raises(KeyRefused) as found:
        replace(signer, **changes).sign(b"message")
    assert found.value.code == "SIGNING_FAILED"
    assert PYTHON in found.value.message
    assert "--secret-argument" not in found.value.message
    return found.value.message


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "does not verify"),
        ("print('not a signature')", "does not verify"),
        ("import sys; sys.exit('no \\x1b[31m token')", "exit code 1: no \ufffd[31m token"),
        ("import os; os.kill(os.getpid(), 9)", "exit code -9"),
        (f"import sys; sys.stdout.write('x' * {LONGEST + 1})", f"more than {LONGEST} bytes"),
        ("while True: print('x' * 10**6)", f"more than {LONGEST} bytes"),
        (f"import sys; sys.stderr.write('x' * {LONGEST + 1})", f"more than {LONGEST} bytes"),
    ],
)
def test_what_a_program_may_do_wrong(tmp_path: Path, text: str, why: str) -> None:
    message = refused(tmp_path, text)
    assert why in message
    assert "\x1b" not in message


@pytest.mark.parametrize(
    "text",
    [
        "import time; time.sleep(600)",
        "import os, time; os.close(1); os.close(2); time.sleep(600)",
        # Its child holds the pipes when it has ended.
        "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; "
        "time.sleep(600)'])",
    ],
    ids=["hangs", "hangs without outputs", "leaves a child"],
)
def test_a_program_that_hangs_is_ended(tmp_path: Path, text: str) -> None:
    assert "did not end within 2 s" in refused(tmp_path, text, timeout=2.0)


def test_it_sees_the_variables_that_are_named_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_PIN", "1234")
    monkeypatch.setenv("OTHER_SECRET", "x")
    text = "import os, sys; sys.exit(' '.join(sorted(set(os.environ) - {'LC_CTYPE', 'HOME'})))"
    assert refused(tmp_path, text, environment=("TOKEN_PIN",)).endswith(": PATH TOKEN_PIN.")
    monkeypatch.delenv("TOKEN_PIN")
    public = keys.public_half(keys.new_private_key("ed25519"))
    with pytest.raises(KeyRefused, match="The variable TOKEN_PIN is not set"):
        CommandSigner((PYTHON,), public, ("TOKEN_PIN",)).sign(b"message")


def test_no_shell_reads_the_arguments(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    text = "import sys; sys.exit(sys.argv[2])"
    public = keys.public_half(keys.new_private_key("ed25519"))
    command = program(tmp_path, text, "a", f"$(touch {mark}); touch {mark}")
    with pytest.raises(KeyRefused, match="exit code 1"):
        CommandSigner(command, public).sign(b"message")
    assert not mark.exists()


def test_a_program_that_others_may_change_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "sign"
    path.write_text(f"#!{PYTHON}\nopen({str(tmp_path / 'mark')!r}, 'w')\n")
    path.chmod(0o722)
    public = keys.public_half(keys.new_private_key("ed25519"))
    with pytest.raises(KeyRefused, match="KEY_PERMISSIONS"):
        CommandSigner((str(path),), public).sign(b"message")
    with pytest.raises(KeyRefused, match="SIGNING_FAILED"):
        CommandSigner((str(tmp_path / "none"),), public).sign(b"message")
    assert not (tmp_path / "mark").exists()


def _children() -> set[str]:
    """Process ids of this process's children, dead and not yet waited for included."""
    lists = Path("/proc/self/task").glob("*/children")
    return {child for each in lists for child in each.read_text().split()}


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """No descriptor, and no process, after a program that hung."""
    before, children = len(list(Path("/proc/self/fd").iterdir())), _children()
    text = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); "
    refused(tmp_path, f"{text}time.sleep(600)", timeout=2.0)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert not Path("/proc", (tmp_path / "pid").read_text()).exists()
    # Other tests in this process may have children of their own: joblib's tracker lives to the end.
    assert _children() <= children
    assert subprocess.run([PYTHON, "-c", ""], check=True).returncode == 0
