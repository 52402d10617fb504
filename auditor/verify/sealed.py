"""Verified bytes in memory that nobody can change any more: not this process, not root.

The kernel seals such a file (Linux, `memfd_create(2)`): it takes no write, no growing and no
shrinking, and the seals cannot be taken off. What is hashed is the sealed file, not what it was
copied from.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from auditor.provenance.entries import FileEntry
from auditor.verify import reading
from auditor.verify.roots import Blob, LocalBlob

#: Of the memory that is free, the part that files may take; the command needs the rest.
_SHARE: Final = 2
_CGROUP: Final = Path("/sys/fs/cgroup")


def why_not(size: int) -> str | None:
    """Why so many bytes cannot be sealed in memory; None where they can."""
    if not hasattr(os, "memfd_create"):
        return "this platform has no sealed memory"
    free = _free()
    if size > free // _SHARE:
        return f"they have {size:,} bytes, of the memory {free:,} are free"
    return None


def sealed(blob: Blob, entry: FileEntry) -> int:
    """The descriptor of a sealed file in memory with the attested bytes; takes over `blob`.

    Raises:
        NotVerified: it is not what was audited, or cannot be read.
        OSError: the system gives no more memory or descriptors, or cannot seal.
    """
    try:
        descriptor = os.memfd_create("auditor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError:
        blob.close()
        raise
    try:
        with os.fdopen(os.dup(descriptor), "wb") as out:
            for block in reading.unverified(blob, entry):
                out.write(block)
        os.fchmod(descriptor, 0o400)
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        reading.require(LocalBlob(os.dup(descriptor)), entry)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _free() -> int:
    """Bytes that the machine, and the group that this process is limited with, have left."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    (available,) = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    free = int(available) * 1024
    limit, used = _CGROUP / "memory.max", _CGROUP / "memory.current"
    if limit.exists() and (text := limit.read_text().strip()) != "max":
        free = min(free, int(text) - int(used.read_text()))
    return free
