"""Digests of the mebibytes of a file: in manifest and attestation, and their strict reader."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.provenance import dsse, entries, manifest
from auditor.provenance.digests import BLOCK, contents_of
from auditor.provenance.entries import FileEntry
from auditor.provenance.fields import Fields
from auditor.provenance.refused import Refused


class Trickle(io.RawIOBase):
    """A raw file that returns less than it is asked for, as a pipe or an object store may."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(min(size, 700_001))


def entry_of(content: bytes) -> FileEntry:
    found = contents_of(io.BytesIO(content))
    return FileEntry(
        name="a.parquet", sha256=found.sha256, size=found.size, rows=1, blocks=found.blocks
    )


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_blocks_are_the_digests_of_the_mebibytes(size: int) -> None:
    content = hashlib.shake_128(b"%d" % size).digest(size)
    for file in (io.BytesIO(content), Trickle(content)):
        found = contents_of(file)  # type: ignore[arg-type]
        parts = [content[at : at + BLOCK] for at in range(0, size, BLOCK)]
        assert found.blocks == tuple(hashlib.sha256(part).hexdigest() for part in parts)
        assert (found.size, found.sha256) == (size, hashlib.sha256(content).hexdigest())


@given(size=st.integers(0, 3 * BLOCK))
def test_what_is_written_is_read(size: int) -> None:
    entry = entry_of(bytes(size))
    written = json.loads(json.dumps(entries.as_json(entry)))
    assert entries.read(Fields.of(written, "file")) == entry


def changed(change: Any) -> Any:
    value: Any = entries.as_json(entry_of(bytes(BLOCK + 1)))
    change(value)
    return value


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda v: v["blocks"].update(size=BLOCK // 2), "BLOCKS"),
        (lambda v: v["blocks"].update(other=1), "BLOCKS"),
        (lambda v: v["blocks"]["sha256"].pop(), "BLOCKS"),
        (lambda v: v["blocks"]["sha256"].append("0" * 64), "BLOCKS"),
        (lambda v: v.update(size=2 * BLOCK + 1), "BLOCKS"),
        (lambda v: v["blocks"]["sha256"].__setitem__(0, "A" * 64), "DIGEST_ALGORITHM"),
        (lambda v: v["blocks"]["sha256"].__setitem__(0, 7), "FIELD_TYPE"),
        (lambda v: v["blocks"].pop("sha256"), "FIELD_MISSING"),
        (lambda v: v.update(blocks=[]), "FIELD_TYPE"),
        (lambda v: v.update(size=5, blocks={"size": BLOCK, "sha256": ["0" * 64]}), "BLOCKS"),
    ],
)
def test_blocks_that_do_not_fit_are_refused(change: Any, code: str) -> None:
    with pytest.raises(Refused) as refused:
        entries.read(Fields.of(changed(change), "file"))
    assert refused.value.code == code


def test_a_manifest_carries_the_blocks_and_is_refused_where_they_lie(world: Any) -> None:
    def lie(document: dict[str, Any]) -> None:
        document["predicate"]["files"][0]["blocks"] = {"size": BLOCK, "sha256": []}

    with pytest.raises(Refused) as refused:
        manifest.parse(world.sign(world.changed(lie)))
    assert refused.value.code == "BLOCKS"
    whole = [replace(entry, blocks=(entry.sha256,)) for entry in world.entries()]
    blocks = [entries.as_json(entry)["blocks"] for entry in sorted(whole, key=lambda e: e.name)]

    def honest(document: dict[str, Any]) -> None:
        for file, block in zip(document["predicate"]["files"], blocks, strict=True):
            file["blocks"] = block

    read = manifest.parse(dsse.build(world.changed(honest), dsse.IN_TOTO, ()))
    assert [file.blocks for file in read.files] == [(file.sha256,) for file in read.files]
