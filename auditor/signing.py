"""The separate step that holds keys: bytes in, signature out.

The process that parses a stranger's files must never hold a signing key. So `FileSigner` starts a
fresh interpreter that reads nothing but the message and the key file, and imports nothing that
parses data. What comes back is a signature, and the public key that verifies it.

A key in a KMS or a hardware token is another class with the one method of `Signer`.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from auditor.provenance import dsse, keys
from auditor.provenance.codes import CODES
from auditor.provenance.keys import Kind
from auditor.provenance.refused import KeyRefused, printable

#: Seconds after which a signing step that hangs is ended.
TIMEOUT: Final = 60.0
_MAX_KEY_BYTES: Final = 64 * 1024

# `-I` ignores the environment, the working directory and the user's site-packages. The child runs
# the very package that started it, not another one that is installed; its folder is on the path for
# that one import only, so that nothing beside the package can take the place of a library.
_CHILD: Final = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); import auditor; sys.path.pop(0); "
    "from auditor.signing import main; sys.exit(main(sys.argv[1:]))"
)


class Signer(Protocol):
    """Something that holds a private key and signs with it. It never hands the key out."""

    def sign(self, message: bytes) -> dsse.Signature:
        """The signature over a message, and the id of the key.

        Ed25519, or ECDSA P-256 with SHA-256 in DER. The message is DSSE's pre-authentication
        encoding (or another text that cannot be taken for it), never bare data of a stranger.

        Raises:
            KeyRefused: the key cannot be used.
        """
        ...


@dataclass(frozen=True, slots=True)
class FileSigner:
    """Signs with a key file, in a process of its own.

    `passphrase_env` names the environment variable that holds the key's passphrase.
    """

    key: Path
    passphrase_env: str | None = None

    def sign(self, message: bytes) -> dsse.Signature:
        """See `Signer`.

        Raises:
            KeyRefused: KEY_MISSING, KEY_PERMISSIONS, KEY_FORMAT, KEY_PASSPHRASE or SIGNING_FAILED.
        """
        done = self._run(message)
        public, _, signature = done.stdout.partition(b"\n")
        if done.returncode != 0:
            raise _reason(done.stderr.decode("utf-8", "replace"))
        key = keys.public_key(public)
        # A signature that its own key refuses would be found out when it is too late.
        if not key.verifies(signature, message):
            raise KeyRefused("SIGNING_FAILED", "The signature does not verify.")
        return dsse.Signature(key.keyid, signature)

    def _run(self, message: bytes) -> subprocess.CompletedProcess[bytes]:
        variable = self.passphrase_env
        command = [sys.executable, "-I", "-c", _CHILD, _package_root(), str(self.key.absolute())]
        try:
            return subprocess.run(
                [*command, *([variable] if variable else [])],
                input=message,
                capture_output=True,
                env=_clean_environment(variable),
                timeout=TIMEOUT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise KeyRefused("SIGNING_FAILED", f"{type(error).__name__}.") from error


def generate(
    path: Path, *, kind: Kind = "ed25519", passphrase: bytes | None = None
) -> keys.PublicKey:
    """Make a key pair: `<path>.key` (0600, PKCS 8) and `<path>.pub`, both PEM.

    Raises:
        KeyRefused: KEY_EXISTS where either file is there; nothing is ever overwritten.
            KEY_MISSING where the folder cannot be written.
    """
    if passphrase == b"":
        raise KeyRefused("KEY_PASSPHRASE", "The passphrase is empty.")
    key = keys.new_private_key(kind)
    protection = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
    public = keys.public_half(key)
    public_path = _beside(path, ".pub")
    _write_new(public_path, public.pem(), 0o644)
    try:
        _write_new(_beside(path, ".key"), secret, 0o600)
    except KeyRefused:
        public_path.unlink()
        raise
    return public


def sign(
    payload: bytes,
    *,
    payload_type: str = dsse.IN_TOTO,
    key: Path,
    passphrase_env: str | None = None,
) -> bytes:
    """Sign a payload with a key file; the envelope as JSON.

    Args:
        payload: the bytes to sign, as they are.
        payload_type: the DSSE payload type.
        key: the private key file.
        passphrase_env: name of the environment variable that holds the key's passphrase.

    Raises:
        KeyRefused: see `FileSigner.sign`.
        Refused: JSON_TOO_LARGE for a payload that no reader would take.
    """
    unsigned = unsigned_envelope(payload, payload_type)
    return add_signature(unsigned, FileSigner(key, passphrase_env))


def add_signature(envelope: bytes, signer: Signer) -> bytes:
    """The envelope with one signature more; one under the same key id is replaced.

    Raises:
        KeyRefused: the key cannot be used.
        Refused: the envelope cannot be read, or nobody would read the one with another signature.
    """
    opened = dsse.parse(envelope)
    made = signer.sign(dsse.pae(opened.payload_type, opened.payload))
    others = [one for one in opened.signatures if one.keyid != made.keyid]
    signed = dsse.build(opened.payload, opened.payload_type, [*others, made])
    dsse.parse(signed)
    return signed


def unsigned_envelope(payload: bytes, payload_type: str = dsse.IN_TOTO) -> bytes:
    """The same envelope with no signatures. Whoever writes it must say that it is unsigned."""
    return dsse.build(payload, payload_type, ())


def main(arguments: list[str]) -> int:
    """The child: message on stdin; public key in hex, newline and signature on stdout.

    Arguments: the key file and, for a key with a passphrase, the variable that holds it.
    """
    key_path, *variable = arguments
    try:
        passphrase = os.fsencode(os.environ[variable[0]]) if variable else None
        key = keys.private_key(_read_key(Path(key_path)), passphrase)
    except KeyRefused as error:
        sys.stderr.write(f"{error.code}: {error.message}\n")
        return 2
    signature = keys.signature(key, sys.stdin.buffer.read())
    public = keys.public_half(key).raw.hex().encode()
    sys.stdout.buffer.write(public + b"\n" + signature)
    return 0


def _read_key(path: Path) -> bytes:
    """The key file's bytes, if nobody but its owner may read it; judged on the opened file."""
    try:
        # Not blocking: a FIFO in the key's place must not hang the gate.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise KeyRefused("KEY_MISSING", f"{path}: {error.strerror}.") from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise KeyRefused("KEY_FORMAT", f"{path} is not a file.")
        if mode & 0o077:
            raise KeyRefused("KEY_PERMISSIONS", f"{path} has mode {stat.S_IMODE(mode):04o}.")
        return os.read(descriptor, _MAX_KEY_BYTES)
    finally:
        os.close(descriptor)


def _write_new(path: Path, content: bytes, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, mode)
    except FileExistsError as error:
        raise KeyRefused("KEY_EXISTS", f"{path} is there already.") from error
    except OSError as error:
        raise KeyRefused("KEY_MISSING", f"{path}: {error.strerror}.") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _reason(stderr: str) -> KeyRefused:
    """Why the child gave up: its last line, by its code where it has one."""
    last = printable((stderr.strip().splitlines() or ["no reason given"])[-1], 500)
    code, _, message = last.partition(": ")
    known = code in CODES and bool(message)
    return KeyRefused(code, message) if known else KeyRefused("SIGNING_FAILED", f"{last}.")


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)  # not with_suffix: "site.v2" keeps its ".v2"


def _package_root() -> str:
    return str(Path(__file__).resolve().parents[1])


def _clean_environment(passphrase_env: str | None) -> dict[str, str]:
    if passphrase_env is None:
        return {}
    if passphrase_env not in os.environ:
        raise KeyRefused("KEY_PASSPHRASE", f"The variable {passphrase_env} is not set.")
    return {passphrase_env: os.environ[passphrase_env]}
