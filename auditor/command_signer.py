"""Signs by a program of the site: a key in a KMS, a hardware token, a signing service.

The program gets the message on its standard input and writes the bare signature to its standard
output. It is started for one signature, without a shell, with the variables that were named and no
others, and has to end in time. What it writes counts only if the public key verifies it.
"""

from __future__ import annotations

import os
import selectors
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from auditor.provenance import dsse
from auditor.provenance.keys import PublicKey
from auditor.provenance.refused import KeyRefused, printable

#: Seconds after which a program that hangs is ended, with all that it started.
TIMEOUT: Final = 60.0
#: Most bytes of output, and of errors, that are read. A signature has less than a hundred.
LONGEST: Final = 4096
#: Variables that the program sees in any case.
_ALWAYS: Final = ("PATH", "HOME")


@dataclass(frozen=True, slots=True)
class CommandSigner:
    """A `Signer` (see `auditor.signing`) that asks a program.

    `command`: the program's absolute path and its arguments. `public`: the key that its signatures
    must verify with. `environment`: names of variables that the program needs.
    """

    command: tuple[str, ...]
    public: PublicKey
    environment: tuple[str, ...] = ()
    timeout: float = TIMEOUT

    def sign(self, message: bytes) -> dsse.Signature:
        """The signature over a message: raw Ed25519, or ECDSA P-256 with SHA-256 in DER.

        Raises:
            KeyRefused: KEY_PERMISSIONS where others may change the program, else SIGNING_FAILED.
                Messages name the program, never its arguments.
        """
        self._require_own()
        signature = self._run(message)
        if not self.public.verifies(signature, message):
            raise self._failed("its signature does not verify with signing.public")
        return dsse.Signature(self.public.keyid, signature)

    def _require_own(self) -> None:
        try:
            mode = os.stat(self.command[0]).st_mode  # noqa: PTH116 - what the kernel will run
        except OSError as error:
            raise self._failed(error.strerror or "cannot be read") from error
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            text = f"{self._name} may be changed by others (mode {stat.S_IMODE(mode):04o})."
            raise KeyRefused("KEY_PERMISSIONS", text)

    def _run(self, message: bytes) -> bytes:
        # From a file: a program that does not read cannot hold us up.
        with tempfile.TemporaryFile() as given:
            given.write(message)
            given.seek(0)
            try:
                child = subprocess.Popen(
                    self.command,
                    stdin=given,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env=_environment(self.environment),
                    start_new_session=True,
                )
            except OSError as error:
                raise self._failed(error.strerror or "cannot be run") from error
            with child:
                try:
                    return self._answer(child)
                finally:
                    _end(child)

    def _answer(self, child: subprocess.Popen[bytes]) -> bytes:
        deadline = time.monotonic() + self.timeout
        try:
            signature, said = _outputs(child, deadline)
            code = child.wait(max(0.0, deadline - time.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired) as error:
            raise self._failed(f"it did not end within {self.timeout:g} s") from error
        except ValueError as error:
            raise self._failed(f"it wrote more than {LONGEST} bytes") from error
        if code:
            lines = said.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
            raise self._failed(f"exit code {code}: {printable(lines[-1], 300)}")
        return signature

    @property
    def _name(self) -> str:
        return printable(self.command[0], 300)

    def _failed(self, why: str) -> KeyRefused:
        return KeyRefused("SIGNING_FAILED", f"{self._name}: {why}.")


def _outputs(child: subprocess.Popen[bytes], deadline: float) -> Sequence[bytes]:
    """Standard output and standard error; TimeoutError, or ValueError where one is too long."""
    found = {child.stdout: b"", child.stderr: b""}
    with selectors.DefaultSelector() as open_ones:
        for pipe in found:
            assert pipe is not None  # both are pipes
            open_ones.register(pipe, selectors.EVENT_READ, pipe)
        while open_ones.get_map():
            ready = open_ones.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                block = os.read(key.fd, LONGEST + 1)
                found[key.data] += block
                if len(found[key.data]) > LONGEST:
                    raise ValueError
                if not block:
                    open_ones.unregister(key.fileobj)
    return tuple(found.values())


def _end(child: subprocess.Popen[bytes]) -> None:
    """End what still runs of the program's session, if it did not end by itself."""
    if child.returncode is None:
        os.killpg(child.pid, signal.SIGKILL)


def _environment(names: Sequence[str]) -> dict[str, str]:
    """The named variables, and what any program needs."""
    missing = sorted(name for name in names if name not in os.environ)
    if missing:
        raise KeyRefused("SIGNING_FAILED", f"The variable {missing[0]} is not set.")
    return {name: os.environ[name] for name in (*_ALWAYS, *names) if name in os.environ}
