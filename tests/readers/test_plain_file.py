"""Files that come along with a batch are opened as a stranger's."""

from __future__ import annotations

import errno
import os
import re
import socket
from pathlib import Path

import pytest

from auditor.readers import read_plain

OPEN = Path("/proc/self/fd")


def test_at_most_one_byte_too_many(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_plain(path, 5) == b"12345"
    assert read_plain(path, 4) == b"12345", "five bytes say that it is longer than four"
    assert read_plain(path, 2) == b"123"


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "a").write_bytes(b"secret")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(tmp_path / "socket"))
        expected = {
            "link": errno.ELOOP,
            "fifo": errno.ENXIO,
            "folder": errno.ENXIO,
            "socket": errno.ENXIO,
            "nothing": errno.ENOENT,
        }
        for name, number in expected.items():
            with pytest.raises(OSError, match=re.escape(f"[Errno {number}]")):
                read_plain(tmp_path / name, 100)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    before = len(list(OPEN.iterdir()))
    for _ in range(20):
        with pytest.raises(OSError, match="not a regular file"):
            read_plain(tmp_path / "fifo", 100)
    assert len(list(OPEN.iterdir())) == before
