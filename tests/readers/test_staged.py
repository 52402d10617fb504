"""The staged batch: chunks, verification, where a row came from, what is remembered."""

from __future__ import annotations

import pickle  # noqa: TID251 - only to see that a batch can go to another process
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.batch import CHUNK_ROWS, BatchKind, Roles, read_columns
from auditor.errors import BatchError
from auditor.readers import (
    BLOCK,
    Ingest,
    StagedBatch,
    VerifiedFile,
    block_digests,
    ingest,
    ingest_table,
    resolve,
)

Read = Callable[..., Ingest]


def batch_of(folder: Path, read: Read, rows: int = 300_000) -> StagedBatch:
    random = np.random.default_rng(0)
    columns = {name: random.normal(size=rows) for name in "abcd"}
    pq.write_table(pa.table({"id": np.arange(rows), **columns}), folder / "a.parquet")
    result = read(folder)
    assert result.batch is not None
    return result.batch


def test_chunks_are_bounded_and_in_order(folder: Path, read: Read) -> None:
    batch = batch_of(folder, read)
    chunks = list(batch.chunks(["b", "id"]))
    assert [chunk.data.num_rows for chunk in chunks] == [CHUNK_ROWS, CHUNK_ROWS, 37_856]
    assert [chunk.start for chunk in chunks] == [0, CHUNK_ROWS, 2 * CHUNK_ROWS]
    assert chunks[0].data.schema.names == ["b", "id"]
    ids = read_columns(batch, ["id"])["id"].to_numpy()
    assert (ids == np.arange(300_000)).all()


def test_chunks_without_columns_still_count(folder: Path, read: Read) -> None:
    batch = batch_of(folder, read)
    assert sum(chunk.data.num_rows for chunk in batch.chunks([])) == 300_000


def test_an_unknown_column(folder: Path, read: Read) -> None:
    with pytest.raises(KeyError):
        list(batch_of(folder, read, 10).chunks(["nope"]))


def test_small_files_are_joined_into_full_chunks(folder: Path, read: Read) -> None:
    for number in range(4):
        ids = np.arange(50_000) + number * 50_000
        pq.write_table(pa.table({"id": ids}), folder / f"{number}.parquet", row_group_size=7_000)
    batch = read(folder).batch
    assert batch is not None
    assert [chunk.data.num_rows for chunk in batch.chunks(["id"])] == [CHUNK_ROWS, 68_928]
    assert (read_columns(batch, ["id"])["id"].to_numpy() == np.arange(200_000)).all()


def test_memory_stays_bounded(folder: Path, read: Read) -> None:
    """Nine row groups, 60 MB on disk: never more than a few row groups are alive."""
    batch = batch_of(folder, read, 1_100_000)
    size = batch.path.stat().st_size
    assert size > 30 << 20
    before, peak = pa.total_allocated_bytes(), 0
    for _ in batch.chunks(batch.schema.names):
        peak = max(peak, pa.total_allocated_bytes() - before)
    group = CHUNK_ROWS * 5 * 8
    assert peak < 3 * group
    assert peak < size / 2


def test_an_edited_byte_is_refused_wherever_it_is(folder: Path, read: Read) -> None:
    batch = batch_of(folder, read)
    whole = batch.path.read_bytes()
    for position in (0, 5, len(whole) // 2, len(whole) - 1):
        edited = bytearray(whole)
        edited[position] ^= 1
        batch.path.write_bytes(edited)
        with pytest.raises(BatchError, match="differs from its digest"):
            list(batch.chunks(batch.schema.names))
    batch.path.write_bytes(whole)
    assert sum(chunk.data.num_rows for chunk in batch.chunks(["a"])) == 300_000


def test_an_edit_between_two_chunks_is_refused(folder: Path, read: Read) -> None:
    batch = batch_of(folder, read, 600_000)
    chunks = batch.chunks(["a"])
    next(chunks)
    with batch.path.open("r+b") as file:
        for position in range(BLOCK, batch.path.stat().st_size, BLOCK // 2):
            file.seek(position)
            file.write(b"poison")
    with pytest.raises(BatchError, match="differs from its digest"):
        list(chunks)


def test_a_shortened_lengthened_or_missing_file_is_refused(folder: Path, read: Read) -> None:
    batch = batch_of(folder, read)
    whole = batch.path.read_bytes()
    for content in (whole[:-1], whole[: 2 * BLOCK], whole + b"x", b""):
        batch.path.write_bytes(content)
        with pytest.raises((BatchError, pa.ArrowInvalid)):
            list(batch.chunks(["a"]))
    batch.path.unlink()
    with pytest.raises(BatchError, match="cannot open"):
        list(batch.chunks(["a"]))


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_a_verified_file_reads_like_a_file(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("f") / "f"
    size = data.draw(st.sampled_from([0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 17]))
    content = np.random.default_rng(size).bytes(size)
    path.write_bytes(content)
    with VerifiedFile(path, block_digests(path)) as file:
        for _ in range(5):
            start = data.draw(st.integers(0, size + 3))
            length = data.draw(st.integers(0, 2 * BLOCK))
            file.seek(start)
            assert file.read(length) == content[start : start + length]
            assert file.tell() == start + len(content[start : start + length])


def test_where_a_row_came_from(folder: Path, read: Read) -> None:
    for name, rows in (("a.csv", [1, 2]), ("b.csv", []), ("c.csv", [3])):
        (folder / name).write_text("x\n" + "".join(f"{row}\n" for row in rows))
    batch = read(folder).batch
    assert batch is not None
    names, rows = batch.locate(pa.array([2, 0, 1]))
    assert names.to_pylist() == ["c.csv", "a.csv", "a.csv"]
    assert rows.to_pylist() == [0, 0, 1]
    assert batch.locate(np.array([1]))[1].to_pylist() == [1]
    assert len(batch.locate(pa.array([], pa.int64()))[0]) == 0


def test_a_batch_can_go_to_another_process(folder: Path, read: Read) -> None:
    batch = batch_of(folder, read, 100).with_roles(Roles({"id": ("id",)}))
    again = pickle.loads(pickle.dumps(batch))
    assert again == batch
    assert again.roles.columns("id") == ("id",)
    assert read_columns(again, ["a"]).equals(read_columns(batch, ["a"]))


def test_an_ingest_is_remembered(folder: Path, tmp_path: Path) -> None:
    (folder / "a.csv").write_text("x\n1\n")
    (folder / "b.csv").write_text("")
    done = ingest(
        resolve([str(folder)]), staging=tmp_path / "s", broken="set_aside", kind=BatchKind.UPDATES
    )
    assert done.findings
    assert Ingest.load(tmp_path / "s") == done
    (tmp_path / "s").rename(tmp_path / "moved")
    moved = Ingest.load(tmp_path / "moved")
    assert moved.batch is not None
    assert moved.batch.kind is BatchKind.UPDATES
    assert read_columns(moved.batch, ["x"])["x"].to_pylist() == [1]


def test_an_unfinished_ingest_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Ingest.load(tmp_path)


def test_staging_is_private_and_used_again(folder: Path, tmp_path: Path) -> None:
    (folder / "a.csv").write_text("x\n1\n")
    staging = tmp_path / "s"
    for _ in range(2):  # the second time over what an aborted first one left
        ingest(resolve([str(folder)]), staging=staging)
    assert staging.stat().st_mode & 0o777 == 0o700
    assert (staging / "input/00000").stat().st_mode & 0o777 == 0o600
    assert (staging / "batch.parquet").stat().st_mode & 0o777 == 0o600
    assert (staging / "input/00000").read_bytes() == (folder / "a.csv").read_bytes()


def test_the_digest_is_what_coreutils_say(folder: Path, read: Read) -> None:
    (folder / "b").mkdir()
    for name in ("b/x.csv", "a.csv", "Z.csv", "ä b.csv"):
        (folder / name).write_text(f"x\n{len(name)}\n")
    listing = "find . -type f | cut -c3- | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum"
    shell = subprocess.run(
        ["sh", "-c", listing], cwd=folder, capture_output=True, text=True, check=True
    )
    assert read(folder).digest == shell.stdout.split()[0]


def test_two_ingests_of_the_same_bytes_are_the_same(folder: Path, read: Read) -> None:
    (folder / "a.csv").write_text("x,y\n1,a\n2,b\n")
    first, second = read(folder), read(folder)
    assert first.batch is not None
    assert second.batch is not None
    assert first.batch.blocks == second.batch.blocks
    assert first.digest == second.digest


def test_a_table_in_memory_is_a_batch_as_well(tmp_path: Path) -> None:
    table = pa.table({"a": pa.chunked_array([[1, 2], [3]]), "c": pa.array(["x", "y", "x"])})
    table = table.set_column(1, "c", table["c"].dictionary_encode())
    done = ingest_table(table, staging=tmp_path / "s")
    assert done.batch is not None
    assert read_columns(done.batch, ["a", "c"]).to_pydict() == {
        "a": [1, 2, 3],
        "c": ["x", "y", "x"],
    }
    assert done.sandbox == "in memory"
    assert done.files[0].name == "table.parquet"
    assert (tmp_path / "s/input/00000").exists()
    assert Ingest.load(tmp_path / "s") == done


def test_a_table_with_two_columns_of_one_name(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    done = ingest_table(table, staging=tmp_path / "s")
    assert done.batch is None
    assert done.findings[0].evidence["code"] == "SCHEMA"
