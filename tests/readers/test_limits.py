"""What hostile or huge input costs: each limit is met, named, and survived."""

from __future__ import annotations

import errno
import gzip
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import auditor.readers
from auditor.readers import Ingest, Limits, ingest, launch, resolve, sandbox
from auditor.readers.limits import MIB

Read = Callable[..., Ingest]
Refusal = Callable[[Ingest], tuple[object, str]]
PACKAGE = str(Path(auditor.readers.__file__).parents[2])


def string_bomb(path: Path) -> None:
    """A few hundred bytes that decode to half a gigabyte of text."""
    cell = pa.array(["x" * MIB]).dictionary_encode().dictionary
    bomb = pa.DictionaryArray.from_arrays(pa.array(np.zeros(500, np.int32)), cell)
    pq.write_table(
        pa.table({"a": bomb}),
        path,
        compression="zstd",
        compression_level=19,
        write_statistics=False,
    )


def test_case_78_a_tiny_file_of_half_a_gigabyte(folder: Path, read: Read, refusal: Refusal) -> None:
    string_bomb(folder / "a.parquet")
    assert (folder / "a.parquet").stat().st_size < 2_000
    code, message = refusal(read(folder))
    assert code == "LIMIT"
    assert "decodes to more than" in message


def test_case_78_half_a_gigabyte_under_a_small_memory_limit(
    folder: Path, read: Read, refusal: Refusal
) -> None:
    string_bomb(folder / "a.parquet")
    code, message = refusal(read(folder, limits=Limits(memory=512 * MIB)))
    assert code == "LIMIT"
    assert "a.parquet" in message


def test_case_77_rows_without_end_in_a_small_file(
    folder: Path, read: Read, refusal: Refusal
) -> None:
    zeros = pa.table({"a": pa.repeat(pa.scalar(0, pa.int8()), 30_000_000)})
    pq.write_table(zeros, folder / "a.parquet", compression="zstd", row_group_size=30_000_000)
    assert (folder / "a.parquet").stat().st_size < 200_000
    code, message = refusal(read(folder, limits=Limits(rows=20_000_000)))
    assert code == "LIMIT"
    assert "30,000,000 rows" in message


def test_a_gzip_bomb(folder: Path, read: Read, refusal: Refusal) -> None:
    with gzip.open(folder / "a.csv.gz", "wb") as file:
        file.write(b"a\n")
        for _ in range(300):
            file.write(b"1\n" * (MIB // 2))
    code, message = refusal(read(folder, limits=Limits(expansion=10)))
    assert code == "LIMIT"
    assert "decodes to more than 268,435,456 bytes" in message


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(files=1), "2 files, more than 1"),
        (Limits(bytes=100), "larger than allowed"),
        (Limits(rows=15), "more than 15 rows"),
        (Limits(columns=1), "2 columns, more than 1"),
        (Limits(decoded_bytes=60), "decodes to more than 60"),
        (Limits(cell_bytes=9), "more than"),
    ],
    ids=lambda value: "" if isinstance(value, str) else None,
)
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_each_limit(folder: Path, read: Read, limits: Limits, words: str, suffix: str) -> None:
    for name in ("x", "y"):
        rows = pa.table({"a": range(10), "b": ["0123456789"] * 10})
        path = folder / f"{name}.{suffix}"
        if suffix == "parquet":
            pq.write_table(rows, path)
        elif suffix == "csv":
            path.write_text("a,b\n" + "".join(f"{i},0123456789\n" for i in range(10)))
        else:
            path.write_text("".join(f'{{"a":{i},"b":"0123456789"}}\n' for i in range(10)))
    result = read(folder, limits=limits)
    assert result.batch is None
    assert {finding.evidence["code"] for finding in result.findings} == {"LIMIT"}
    assert words in result.findings[0].message


def test_processor_time(folder: Path, read: Read, refusal: Refusal) -> None:
    (folder / "a.csv").write_bytes(b"a,b\n" + b"1,x\n" * (24 * MIB))
    code, message = refusal(read(folder, limits=Limits(cpu_seconds=1)))
    assert code == "LIMIT"
    assert "a.csv" in message
    assert "more than 1 processor seconds" in message


@pytest.mark.slow
def test_wall_time(folder: Path, read: Read, refusal: Refusal) -> None:
    """The parent stops serving the child, which then waits for its file until the time is over."""
    (folder / "a.csv").write_text("a\n1\n")

    def progress(message: str) -> None:
        if message.startswith("reading"):
            time.sleep(7)

    code, message = refusal(read(folder, limits=Limits(seconds=6), progress=progress))
    assert code == "LIMIT"
    assert "longer than 6 seconds" in message


def test_a_file_that_crashes_the_parser_is_named_and_set_aside(
    folder: Path, read: Read, refusal: Refusal
) -> None:
    """A hundred thousand brackets overflow the stack of Arrow's JSON parser."""
    (folder / "a.jsonl").write_text('{"a":1}\n')
    (folder / "b.jsonl").write_text('{"a":' + "[" * 200_000 + "]" * 200_000 + "}\n")
    code, message = refusal(read(folder))
    assert code == "LIMIT"
    assert "b.jsonl" in message
    result = read(folder, broken="set_aside")
    assert result.batch is not None
    assert result.batch.files == ("a.jsonl",)
    assert result.findings[0].evidence["set_aside"] is True


def test_memory_of_the_child_is_capped(folder: Path, read: Read, refusal: Refusal) -> None:
    rows = pa.table({"a": np.random.default_rng(0).normal(size=20_000_000)})
    with pa.ipc.new_file(folder / "a.arrow", rows.schema) as writer:
        writer.write_table(rows)  # one batch of 160 MB
    code, _ = refusal(read(folder, limits=Limits(memory=300 * MIB)))
    assert code == "LIMIT"


# --- the child is what we say it is ---------------------------------------------------------

PROBE = """
import json, os, resource, runpy, socket, sys
sandbox = runpy.run_path(sys.argv[1])
sandbox["limited"]({"memory": 1 << 30, "cpu_seconds": 7, "decoded_bytes": 1 << 20})
network = sandbox["without_network"]()
files = sandbox["without_files"](os.open(sys.argv[2], os.O_RDONLY))
def works(action):
    try:
        action()
    except OSError:
        return False
    return True
def connect():
    with socket.socket() as s:
        s.settimeout(5)
        s.connect(("127.0.0.1", int(sys.argv[3])))
print(json.dumps({
    "network": network, "files": files,
    "connected": works(connect),
    "opened": works(lambda: open(sys.argv[4])),
    "listed": sorted(os.listdir("/")),
    "memory": resource.getrlimit(resource.RLIMIT_AS)[0],
    "cpu": resource.getrlimit(resource.RLIMIT_CPU)[0],
    "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
}))
"""


def test_the_child_has_no_network_and_no_files(tmp_path: Path) -> None:
    secret = tmp_path / "site.key"
    secret.write_text("secret")
    (tmp_path / "empty").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        run = subprocess.run(
            [sys.executable, "-c", PROBE, sandbox.__file__, tmp_path / "empty", port, secret],
            capture_output=True,
            text=True,
            check=True,
        )
    seen = json.loads(run.stdout)
    assert (seen["memory"], seen["cpu"], seen["core"]) == (1 << 30, 7, 0)
    if not seen["network"]:
        pytest.skip("the kernel refuses user namespaces here")
    assert not seen["connected"]
    assert seen["files"]
    assert not seen["opened"]
    assert seen["listed"] == []


def test_what_is_said_about_the_sandbox(folder: Path, read: Read) -> None:
    (folder / "a.csv").write_text("a\n1\n")
    allowed = subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False)
    expected = "limits only" if allowed.returncode else "no network, no files, limits"
    assert read(folder).sandbox == expected


def test_limits_only_where_the_kernel_refuses(folder: Path, tmp_path: Path) -> None:
    """Inside a user namespace that allows no further one, and without the right to chroot."""
    (folder / "a.csv").write_text("a\n1\n")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from auditor.readers import ingest, resolve\n"
        "r = ingest(resolve([sys.argv[2]]), staging=Path(sys.argv[3]))\n"
        "print(r.sandbox, r.batch.rows)\n"
    )
    staging = tmp_path / "s"
    script = (
        "echo 0 > /proc/sys/user/max_user_namespaces && "
        'exec setpriv --bounding-set=-all --inh-caps=-all -- "$0" "$@"'
    )
    run = subprocess.run(
        ["unshare", "-r", "sh", "-c", script, sys.executable, "-c", code, PACKAGE, folder, staging],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode and "auditor" not in run.stderr:
        pytest.skip(f"no user namespace to try it in: {run.stderr[:200]}")
    assert run.stdout == "limits only 1\n", run.stderr


def test_the_environment_of_the_child_is_clean(
    folder: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONSTARTUP", "/nowhere")
    monkeypatch.setenv("LD_PRELOAD_X", "secret")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    (folder / "a.csv").write_text("a\n1\n")
    started: list[dict[str, str]] = []
    original = subprocess.Popen

    class Recorded(original):  # type: ignore[misc, valid-type]
        def __init__(self, *args: object, **options: object) -> None:
            started.append(options["env"])  # type: ignore[arg-type]
            super().__init__(*args, **options)

    monkeypatch.setattr(launch.subprocess, "Popen", Recorded)
    assert read(folder).batch is not None
    assert set(started[0]) <= set(launch._ENVIRONMENT)


def test_limits_are_plain_numbers() -> None:
    assert all(isinstance(getattr(Limits(), field.name), int) for field in fields(Limits))
    assert sandbox.OUT_OF_MEMORY != sandbox.MACHINE_FAILED


# --- no space -------------------------------------------------------------------------------

FULL = """
import errno, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from auditor.readers import ingest, resolve
try:
    ingest(resolve([sys.argv[2]]), staging=Path(sys.argv[3]) / "s")
except OSError as error:
    print(errno.errorcode[error.errno])
"""


@pytest.mark.parametrize("kilobytes", [64, 700], ids=["while copying", "while the child writes"])
def test_a_full_disk_is_the_machines_trouble(folder: Path, tmp_path: Path, kilobytes: int) -> None:
    """In a mount of a few kilobytes; the batch is 512 KB as received and more when normalised."""
    numbers = np.random.default_rng(3).integers(0, 1 << 62, 64 * 1024)
    pq.write_table(pa.table({"a": numbers}), folder / "a.parquet", compression="zstd")
    small = tmp_path / "small"
    small.mkdir()
    python = (sys.executable, "-c", FULL, PACKAGE)
    mount = f'mount -t tmpfs -o size={kilobytes}k none "$0" && exec "$@"'
    run = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mount, small, *python, folder, small],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare" in run.stderr or "mount" in run.stderr:
        pytest.skip(f"no mount of our own: {run.stderr[:200]}")
    assert run.stdout == "ENOSPC\n", run.stderr


def test_a_child_that_cannot_write_is_no_finding(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The normalised file goes to /dev/full."""
    (folder / "a.csv").write_text("a\n" + "1\n" * 1000)
    original = os.open

    def full(path: object, *args: int, **options: int) -> int:
        target = "/dev/full" if str(path).endswith("batch.parquet") else str(path)
        return original(target, *args, **options)

    monkeypatch.setattr("auditor.readers.intake.os.open", full)
    with pytest.raises(OSError, match="staging") as caught:
        ingest(resolve([str(folder)]), staging=tmp_path / "s")
    assert caught.value.errno in {errno.ENOSPC, errno.EINVAL}
