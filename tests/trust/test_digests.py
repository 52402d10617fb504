"""The subject digest is what coreutils compute; the fingerprint and the roll are canonical."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.provenance.digests import (
    contributor_roll,
    schema_fingerprint,
    sha256,
    subject_digest,
)
from auditor.provenance.manifest import FileEntry

SHELL = "find . -type f | cut -c3- | LC_ALL=C sort | xargs -r sha256sum | sha256sum"
NAMES = ("b.parquet", "B.parquet", "a/z", "a-b", "a.b", "a_b", "a0", "A/x=1+2@3", "_x", "0")


def entry(name: str, content: bytes) -> FileEntry:
    return FileEntry(name=name, sha256=sha256(content), size=len(content), rows=0)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="coreutils are not installed")
@pytest.mark.parametrize("names", [(), NAMES[:1], NAMES])
def test_equals_coreutils(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    done = subprocess.run(["sh", "-c", SHELL], cwd=tmp_path, capture_output=True, check=True)
    expected = done.stdout.decode().split()[0]
    assert subject_digest([entry(name, name.encode()) for name in names]) == expected


@given(st.permutations(NAMES))
def test_order_does_not_matter(names: list[str]) -> None:
    files = [entry(name, b"x") for name in names]
    assert subject_digest(files) == subject_digest(files[::-1])


def test_names_are_bound() -> None:
    swapped = [entry("label=0", b"b"), entry("label=1", b"a")]
    assert subject_digest([entry("label=0", b"a"), entry("label=1", b"b")]) != subject_digest(
        swapped
    )


def test_fingerprint_is_the_sha256_of_canonical_json() -> None:
    text = '[["x","double",true],["é","int64",false]]'
    expected = hashlib.sha256(text.encode()).hexdigest()
    assert schema_fingerprint([("x", "double", True), ("é", "int64", False)]) == expected


def test_roll_is_canonical() -> None:
    assert contributor_roll({"b": 1, "a": 2}) == b'{"a":2,"b":1}'
