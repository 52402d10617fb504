"""The parent's side of the sandbox: start the child, hand it files, believe only what fits."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa

from auditor.readers import sandbox
from auditor.readers.limits import MIB, Limits, plain

#: Bytes of one line from the child. Honest ones are far shorter, even with thousands of files and
#: columns; a child that was broken into must not fill the memory of its parent.
_LONGEST_LINE: Final = 16 * MIB
_LONGEST_TAIL: Final = 4096  # bytes of its log that are looked at
#: What taking apart an answer raises that no honest child gives.
_NONSENSE: Final = (LookupError, TypeError, ValueError, OverflowError, RecursionError)
_PACKAGE: Final = str(Path(__file__).resolve().parents[2])
_ENVIRONMENT: Final = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # others reserve address space and meet the limit early
    "LC_ALL": "C.UTF-8",
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "2",
}


@dataclass(frozen=True, slots=True)
class Staged:
    """A received file as the child gets it: its position, name, path in staging and size."""

    index: int
    name: str
    path: Path
    size: int


@dataclass(slots=True)
class Answer:
    """What the child said; every mapping is by index of the file."""

    schema: pa.Schema | None = None
    rows: Mapping[int, int] = field(default_factory=dict)
    formats: Mapping[int, str] = field(default_factory=dict)
    notes: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    refused: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    sandbox: str = "limits only"


class Killed(Exception):
    """The child met a limit while it parsed the file `index`."""

    def __init__(self, index: int, message: str, sandbox: str) -> None:
        """Keep the file, what happened and how well the child was confined."""
        super().__init__(message)
        self.index = index
        self.message = message
        self.sandbox = sandbox


class TooLong(Exception):
    """The child said more in one line than is read."""

    def __init__(self, sandbox: str) -> None:
        """Keep how well the child was confined."""
        limit = f"{_LONGEST_LINE:,} bytes"
        super().__init__(f"the description of its files and columns is longer than {limit}")
        self.sandbox = sandbox


def parse_apart(
    files: Sequence[Staged],
    output: int,
    empty: int,
    *,
    limits: Limits,
    set_aside: bool,
    seconds: float,
    progress: Callable[[str], None] | None,
) -> Answer:
    """Parse `files` in a sandboxed child; rows go to the descriptor `output`.

    Raises:
        Killed: the child met a limit or crashed on a file.
        TooLong: the child said more than is read; nothing that it said is believed.
        OSError: the machine failed (no space).
        RuntimeError: the child broke for a reason that is not the input's, or spoke nonsense.
    """
    ours, theirs = socket.socketpair()
    job = {
        "items": [(file.index, file.name, file.size) for file in files],
        "limits": asdict(limits),
        "set_aside": set_aside,
        "package": _PACKAGE,
        "files": theirs.fileno(),
        "output": output,
        "empty": empty,
    }
    with ours, theirs, tempfile.TemporaryFile() as log:
        child = _start(log, (theirs.fileno(), output, empty))
        timer = _Timer(child, seconds)
        try:
            theirs.close()
            talk = _Talk(child, ours, {file.index: file for file in files}, progress)
            talk.run(job)
            timer.stop()
            return talk.conclude(child.wait(), timer.fired, limits, log)
        finally:
            timer.stop()
            child.kill()
            child.wait()


def _start(log: IO[bytes], descriptors: tuple[int, ...]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-B", str(Path(sandbox.__file__).resolve())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env=_ENVIRONMENT,
        pass_fds=descriptors,
        cwd="/",
    )


class _Timer:
    """Kills the child when its wall time is over, and remembers having done so."""

    def __init__(self, child: subprocess.Popen[bytes], seconds: float) -> None:
        self.fired = False
        self._child = child
        self._timer = threading.Timer(max(seconds, 0.0), self._fire)
        self._timer.daemon = True
        self._timer.start()

    def _fire(self) -> None:
        self.fired = True
        self._child.kill()

    def stop(self) -> None:
        self._timer.cancel()


class _Talk:
    """One conversation with the child."""

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        files: socket.socket,
        staged: Mapping[int, Staged],
        progress: Callable[[str], None] | None,
    ) -> None:
        self._child = child
        self._files = files
        self._staged = staged
        self._progress = progress
        self._current: int | None = None
        self._level = "limits only"
        self._answer: Mapping[str, Any] | None = None
        self._failure: OSError | None = None

    def run(self, job: Mapping[str, object]) -> None:
        """Send the job, then answer the child until it closes its end."""
        stdin, stdout = self._child.stdin, self._child.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("the child has no pipes")
        with stdin, stdout:
            try:
                stdin.write(json.dumps(job).encode())
                stdin.close()
                while (line := stdout.readline(_LONGEST_LINE)).endswith(b"\n"):
                    self._understand(line)
            except BrokenPipeError:
                return  # it died; how it died says why
        if len(line) >= _LONGEST_LINE:
            raise TooLong(self._level)

    def _understand(self, line: bytes) -> None:
        try:
            self._hear(json.loads(line))
        except _NONSENSE as error:
            raise RuntimeError("the parsing process said what no reader says") from error

    def _hear(self, event: Mapping[str, Any]) -> None:
        kind = event["event"]
        if kind == "open":
            self._send(int(event["index"]))
        elif kind == "file":
            self._current = int(event["index"])
            verb = "looking into" if event["step"] == "survey" else "reading"
            if self._progress is not None:
                self._progress(f"{verb} {self._staged[self._current].name}")
        elif kind == "sandbox":
            self._level = plain(str(event["level"]))
        elif kind == "answer":
            self._answer = event
        elif kind == "failed":
            number = int(event["errno"]) or errno.EIO
            self._failure = OSError(number, os.strerror(number), "staging")

    def _send(self, index: int) -> None:
        descriptor = os.open(self._staged[index].path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            socket.send_fds(self._files, [b"f"], [descriptor])
        finally:
            os.close(descriptor)

    def conclude(self, code: int, timed_out: bool, limits: Limits, log: IO[bytes]) -> Answer:
        """What the end of the child means."""
        if self._failure is not None:
            raise self._failure
        if code == 0 and self._answer is not None:
            try:
                return self._believed(self._answer)
            except _NONSENSE as error:
                raise RuntimeError("the parsing process gave an answer of no reader") from error
        reason = _reason(code, timed_out, limits)
        if reason and self._current is not None:
            raise Killed(self._current, reason, self._level)
        log.seek(max(0, log.seek(0, os.SEEK_END) - _LONGEST_TAIL))
        tail = log.read(_LONGEST_TAIL).decode("utf-8", errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(f"the parsing process ended with {code}: {plain(' '.join(tail), 300)}")

    def _believed(self, answer: Mapping[str, Any]) -> Answer:
        """The answer with types enforced: it was written by a process that read hostile bytes."""
        schema = answer["schema"]
        said = Answer(
            schema=None
            if schema is None
            else pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(schema))),
            rows={int(i): int(count) for i, count in answer["rows"]},
            formats={int(i): plain(str(text)) for i, text in answer["formats"]},
            notes={
                int(i): tuple(plain(str(n), 300) for n in notes) for i, notes in answer["notes"]
            },
            refused={
                int(i): (plain(str(c), 40), plain(str(m), 400)) for i, (c, m) in answer["refused"]
            },
            sandbox=self._level,
        )
        named = {*said.rows, *said.formats, *said.notes, *said.refused}
        if not named <= self._staged.keys() or min(said.rows.values(), default=0) < 0:
            raise ValueError("files that were not sent, or less than no rows")
        return said


def _reason(code: int, timed_out: bool, limits: Limits) -> str:
    """In words why a child ended early; empty where the input is not to blame."""
    if timed_out:
        return f"parsing took longer than {limits.seconds:,} seconds"
    if code == sandbox.OUT_OF_MEMORY:
        return f"parsing needs more than {limits.memory:,} bytes of memory"
    if code == -signal.SIGXCPU:
        return f"parsing took more than {limits.cpu_seconds:,} processor seconds"
    if code < 0 and code not in {-signal.SIGINT, -signal.SIGTERM}:  # those two came from a person
        return f"the reader crashed on it ({signal.Signals(-code).name}), as hostile input may do"
    return ""
