"""The child process that parses hostile bytes. Started as a script, with file descriptors only.

Order matters: limits and an own network namespace first (a process with threads gets no new user
namespace), then the imports, then an empty root directory, and only then the first byte of input.

Protocol: the job is one JSON object on stdin; answers are JSON lines on stdout; a file is asked
for by `{"event": "open", "index": i}` and comes as a descriptor over the socket.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Mapping
from importlib.abc import MetaPathFinder
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final

if TYPE_CHECKING:
    from auditor.readers.parse import Parsed

_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
#: pyarrow imports these where it can, for a second of start-up.
_NOT_NEEDED: Final = frozenset({"pandas", "numpy"})
#: What the normalised file may need above its rows, in bytes.
_FOOTER: Final = 64 << 20
#: Exit codes that the parent knows: out of memory, and an errno reported as an event.
OUT_OF_MEMORY: Final = 3
MACHINE_FAILED: Final = 4


class Channel:
    """Both directions to the parent."""

    def __init__(self, lines: int, files: int) -> None:
        """`lines`: descriptor to write JSON lines to; `files`: socket that brings descriptors."""
        self._lines = os.fdopen(lines, "wb", buffering=0)
        self._files = socket.socket(fileno=files)

    def tell(self, event: str, **values: object) -> None:
        """Send one event."""
        self._lines.write(json.dumps({"event": event, **values}).encode() + b"\n")

    def ask(self, index: int) -> BinaryIO:
        """A fresh stream of one received file."""
        self.tell("open", index=index)
        _, descriptors, _, _ = socket.recv_fds(self._files, 1, 1)
        return os.fdopen(descriptors[0], "rb")


class _Absent(MetaPathFinder):
    """Makes modules look as if they were not installed."""

    def find_spec(self, fullname: str, *_: object) -> None:
        """See `importlib.abc.MetaPathFinder`."""
        if fullname.partition(".")[0] in _NOT_NEEDED:
            raise ModuleNotFoundError(name=fullname)


def main() -> None:
    """Confine this process, parse the batch, answer, exit."""
    lines = os.dup(1)
    os.dup2(2, 1)  # a library that prints must not speak the protocol
    job = json.loads(sys.stdin.buffer.read())
    channel = Channel(lines, job["files"])
    limited(job["limits"])
    isolated = without_network()
    try:
        parser = _load(job, channel)
        isolated = without_files(job["empty"]) and isolated
        channel.tell("sandbox", level="no network, no files, limits" if isolated else "limits only")
        with os.fdopen(job["output"], "wb") as output:
            parsed = parser.run(output, set_aside=job["set_aside"])
        channel.tell("answer", **image(parsed))
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except OSError as error:
        channel.tell("failed", errno=error.errno or 0, message=str(error))
        os._exit(MACHINE_FAILED)
    # Not `sys.exit`: Arrow's threads may still run, and its tear-down then aborts now and again,
    # which the parent would take for a crash on hostile input.
    os._exit(0)


def _failed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """An exception that nobody foresaw: say so and end with 1, again without any tear-down."""
    sys.__excepthook__(kind, error, trace)
    os._exit(1)


def limited(limits: Mapping[str, int]) -> None:
    """Set the kernel's limits: memory, processor time, file size, descriptors, no core dump."""
    cpu = limits["cpu_seconds"]
    _limit(resource.RLIMIT_AS, limits["memory"], limits["memory"])
    _limit(resource.RLIMIT_CPU, cpu, cpu + 1)
    written = limits["decoded_bytes"] + _FOOTER
    _limit(resource.RLIMIT_FSIZE, written, written)
    _limit(resource.RLIMIT_NOFILE, 256, 256)
    _limit(resource.RLIMIT_CORE, 0, 0)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _limit(which: int, soft: int, hard: int) -> None:
    """Never above the hard limit that the site has set already."""
    ceiling = resource.getrlimit(which)[1]
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    resource.setrlimit(which, (soft, hard))


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def without_network() -> bool:
    """Move into an own network namespace without any interface. False where that is refused."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    return int(libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)) == 0


def without_files(empty: int) -> bool:
    """Make an empty folder the root of this process. False where that is refused."""
    try:
        os.fchdir(empty)
        os.chroot(".")
        os.close(empty)
    except PermissionError:
        return False
    return True


def _load(job: Mapping[str, Any], channel: Channel) -> Any:
    """Import what parsing needs; after this no module can be loaded any more."""
    for name in ("utf_8_sig", "utf_16", "utf_16_le", "utf_16_be", "utf_32", "cp1252", "latin_1"):
        __import__(f"encodings.{name}")
    sys.meta_path.insert(0, _Absent())
    sys.path.insert(0, job["package"])
    from auditor.readers.limits import Limits
    from auditor.readers.onefile import Item
    from auditor.readers.parse import Parser

    del sys.path[0]
    items = [
        Item(index, name, size, lambda index=index: channel.ask(index))  # type: ignore[misc]
        for index, name, size in job["items"]
    ]

    def begin(index: int, step: str) -> None:
        channel.tell("file", index=index, step=step)

    return Parser(items, Limits(**job["limits"]), begin)


def image(parsed: Parsed) -> dict[str, object]:
    """The answer as plain JSON; the schema as hexadecimal Arrow IPC."""
    schema = parsed.schema
    return {
        "schema": None if schema is None else schema.serialize().to_pybytes().hex(),
        "rows": sorted(parsed.rows.items()),
        "formats": sorted(parsed.formats.items()),
        "notes": sorted(parsed.notes.items()),
        "refused": sorted(parsed.refused.items()),
        "decoded": parsed.decoded,
    }


if __name__ == "__main__":
    sys.excepthook = _failed
    main()
