"""What this machine allows: the sandbox, the folders of a workspace, the site's key."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from auditor.doctor.diagnosis import Diagnosis, Health
from auditor.errors import TrustError

#: Seconds that the trial of the sandbox may take before it counts as refused.
_PATIENCE: Final = 30


def sandbox(level: str) -> Diagnosis:
    """Judge how far the process that parses batches can be shut in: see `sandbox_here`."""
    wanted = "no network, no files"
    good = level == wanted
    return Diagnosis(
        name="sandbox",
        health=Health.OK if good else Health.NOTE,
        found=level,
        wanted=wanted,
        mend=""
        if good
        else "allow unprivileged user namespaces (sysctl user.max_user_namespaces) and, in a "
        "container, `unshare` and `chroot` in its seccomp profile; until then reports say "
        "`sandbox: limits only`",
    )


#: The sandbox's own functions, in a process of its own: they cannot be undone. By path, because
#: importing the package starts threads, and a process with threads gets no user namespace.
_TRIAL: Final = """
import os, runpy, sys
sandbox = runpy.run_path(sys.argv[1], run_name="trial")
empty = os.open(sys.argv[2], os.O_RDONLY | os.O_DIRECTORY)
network = sandbox["without_network"]()
files = sandbox["without_files"](empty)
print("no network, no files" if network and files else "no network" if network else "limits only")
"""


def sandbox_here() -> str:
    """Try it: `no network, no files`, `no network` or `limits only`."""
    script = Path(__file__).parents[1] / "readers" / "sandbox.py"
    with tempfile.TemporaryDirectory() as empty:
        command = [sys.executable, "-I", "-c", _TRIAL, str(script), empty]
        try:
            trial = subprocess.run(
                command, capture_output=True, text=True, timeout=_PATIENCE, check=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            return f"cannot be tried ({type(error).__name__})"
    return trial.stdout.strip()


def folder_here(folder: Path) -> Diagnosis:
    """Whether files can be made in `folder`, or where it will be made."""
    nearest = folder.absolute()
    refused = ""
    try:
        while not nearest.exists():
            nearest = nearest.parent
        with tempfile.TemporaryFile(dir=nearest) as trial:
            trial.write(b"\0")
    except OSError as error:
        refused = f"{nearest}: {error.strerror}"
    quoted = shlex.quote(str(folder))
    return Diagnosis(
        name=f"folder {folder}",
        health=Health.BROKEN if refused else Health.OK,
        found=refused or "can be written",
        wanted="a folder that this user may write",
        mend=f"mkdir -p {quoted} && chown {os.geteuid()} {quoted}, or name another folder"
        if refused
        else "",
    )


def site_key_here(path: Path) -> Diagnosis:
    """Whether the site's key is a secret. None is fine: the first run makes it."""
    wanted = "a plain file of 32 bytes, mode 0600"
    if not (path.is_symlink() or path.exists()):
        return Diagnosis(
            name="site key",
            health=Health.OK,
            found="none yet, the first run makes it",
            wanted=wanted,
        )
    from auditor.workspace.sitekey import site_key

    quoted = shlex.quote(str(path))
    try:
        site_key(path)
    except TrustError as error:
        return Diagnosis(
            name="site key",
            health=Health.BROKEN,
            found=str(error),
            wanted=wanted,
            mend=f"chown {os.geteuid()} {quoted} && chmod 600 {quoted}; replace an exposed key",
        )
    return Diagnosis(name="site key", health=Health.OK, found=str(path), wanted=wanted)
