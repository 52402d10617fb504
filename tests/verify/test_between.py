"""Nothing fits between verifying and using: files are swapped, edited and grown meanwhile."""

from __future__ import annotations

import gc
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from auditor.provenance.digests import BLOCK
from auditor.provenance.entries import FileEntry
from auditor.verify import NotVerified, reading, roots

pytestmark = pytest.mark.slow


@pytest.fixture(params=["buffer", "blocks"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of reading: the whole file at once, and block by block."""
    monkeypatch.setattr(reading, "BUFFERED", 0 if request.param == "blocks" else 1 << 30)
    return str(request.param)


@pytest.fixture
def big(world: Any) -> Any:
    """A world that published one file of ten mebibytes in many row groups."""
    noise = random.Random(3).randbytes(5 * BLOCK)
    column = pa.Array.from_buffers(pa.int64(), len(noise) // 8, [None, pa.py_buffer(noise)])
    world.of_files({"big.parquet": pa.table({"x": column, "y": column})}, row_group=40_000)
    return world


def poisoned(world: Any) -> bytes:
    """Another file of the same length and rows, as good a Parquet file as the first."""
    content = bytearray(world.data.read_bytes())
    for at in range(BLOCK, len(content) - BLOCK, BLOCK):
        content[at + 7] ^= 0xFF
    return bytes(content)


def test_a_file_swapped_by_rename_after_it_was_opened(big: Any, way: str) -> None:
    """Rename gives the path another file; what was opened stays what it was."""
    before = big.table()
    with big.verify() as verified:
        opened = verified.open("big.parquet")
        other = big.root / "other"
        other.write_bytes(poisoned(big))
        other.replace(big.published / "big.parquet")
        import pyarrow.parquet as pq

        assert pq.ParquetFile(opened).read().equals(before)
        with pytest.raises(NotVerified):
            verified.table()


def test_a_folder_swapped_after_it_was_opened(big: Any, way: str) -> None:
    """The whole published folder is replaced between the verdict and the reading."""
    before = big.table()
    with big.verify() as verified:
        aside = big.root / "aside"
        big.published.rename(aside)
        big.published.mkdir()
        (big.published / "big.parquet").write_bytes(b"poison")
        assert verified.table().equals(before)


def test_a_file_edited_in_place_between_hashing_and_parsing(
    big: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The classic: the digest was right, then the bytes are changed, then they are parsed."""
    before, poison = big.table(), poisoned(big)
    real = reading.buffered

    def then_edited(blob: Any, entry: Any) -> Any:
        buffer = real(blob, entry)
        with (big.published / "big.parquet").open("r+b") as file:
            file.write(poison)
        return buffer

    monkeypatch.setattr(reading, "buffered", then_edited)
    assert big.table().equals(before)


def test_a_long_file_edited_in_place_between_two_reads(
    big: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block that was right once is verified again when it is read again."""
    monkeypatch.setattr(reading, "BUFFERED", 0)
    monkeypatch.setattr(reading, "KEPT", 0)
    with big.verify() as verified, verified.open() as file:
        first = file.read_at(100, 2 * BLOCK)
        content = big.data.read_bytes()
        edited = bytearray(content)
        edited[2 * BLOCK + 50] ^= 1
        with big.data.open("r+b") as other:
            other.write(edited)
        with pytest.raises(NotVerified) as refused:
            file.read_at(100, 2 * BLOCK)
        assert refused.value.code == "FILE_DIGEST"
        assert file.read_at(100, 4 * BLOCK) == content[4 * BLOCK :][:100]
        assert first == content[2 * BLOCK :][:100]


def test_bytes_that_were_handed_out_do_not_change(big: Any, way: str) -> None:
    """No view of the file itself (a memory map) is handed out: a table stays what it was."""
    table = big.table()
    copy = pa.Table.from_pydict(table.to_pydict(), schema=table.schema)
    with big.data.open("r+b") as other:
        other.write(poisoned(big))
    assert table.equals(copy)


def test_a_file_that_grows_while_it_is_read(big: Any, way: str) -> None:
    """Appended bytes are never read, or refuse the file; they are no rows."""
    before = big.table()
    with big.verify() as verified:
        opened = verified.open()
        with big.data.open("ab") as other:
            other.write(b"x" * BLOCK)
        import pyarrow.parquet as pq

        assert pq.ParquetFile(opened).read().equals(before)
        with pytest.raises(NotVerified) as refused:
            verified.table()
        assert refused.value.code == "FILE_SIZE"


def test_a_file_that_grows_for_ever(tmp_path: Path) -> None:
    """The size is the attested one: reading ends, whatever the source does."""

    class Endless:
        size, grain = 5, BLOCK

        def read_into(self, offset: int, target: memoryview) -> int:
            return len(target)

        def close(self) -> None:
            pass

    entry = FileEntry(name="a", sha256="0" * 64, size=5, rows=0)
    with pytest.raises(NotVerified) as refused:
        reading.buffered(Endless(), entry)
    assert refused.value.code == "FILE_SIZE"


def test_a_file_that_shrinks_while_it_is_read(big: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A truncated file is refused, it does not end the process (a memory map would: SIGBUS)."""
    monkeypatch.setattr(reading, "BUFFERED", 0)
    with big.verify() as verified, verified.open() as file:
        with big.data.open("r+b") as other:
            other.truncate(3 * BLOCK)
        with pytest.raises(NotVerified) as refused:
            file.read_at(100, 5 * BLOCK)
        assert refused.value.code == "FILE_SIZE"


@pytest.fixture
def writer(big: Any) -> Iterator[threading.Event]:
    """Another process's loop, in a thread: swaps, edits and grows the file all the time."""
    stop, started = threading.Event(), threading.Event()
    good, bad = big.data.read_bytes(), poisoned(big)
    path = big.data

    def run() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            content = (bad, good, good + b"x")[turn % 3]
            if turn % 2:
                fresh = path.with_name(".fresh")
                fresh.write_bytes(content)
                fresh.replace(path)
            else:
                with path.open("r+b") as file:
                    file.write(content)
                    file.truncate(len(content))
            started.set()

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    yield stop
    stop.set()
    thread.join()


def test_a_file_that_is_changed_all_the_time(big: Any, way: str, writer: threading.Event) -> None:
    """Whatever the moment: the audited rows come back, or a refusal. Never anything else."""
    noise = random.Random(3).randbytes(5 * BLOCK)
    expected = pa.Array.from_buffers(pa.int64(), len(noise) // 8, [None, pa.py_buffer(noise)])
    codes: set[str] = set()
    with big.verify() as verified:
        for _ in range(40):
            try:
                table = verified.table()
            except NotVerified as refused:
                codes.add(refused.code)
            else:
                assert table.column("x").combine_chunks().equals(expected)
    assert codes <= {"FILE_DIGEST", "FILE_SIZE", "FILE_MISSING"}
    assert codes, "the writer was never in the way: this test tested nothing"


def test_batches_need_no_memory_for_the_whole_file(
    big: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that streams may have less memory than the file is long."""
    monkeypatch.setattr(reading, "BUFFERED", 0)
    monkeypatch.setattr(reading, "KEPT", 0)
    with big.verify() as verified:
        before, most = pa.total_allocated_bytes(), 0
        for batch in verified.batches(rows=10_000):
            assert 0 < batch.num_rows <= 10_000
            most = max(most, pa.total_allocated_bytes() - before)
    assert most < big.data.stat().st_size / 2


def test_one_column_is_all_that_is_read_of_a_file(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so all that is verified: blocks that nobody asked for cost nothing."""
    noise = random.Random(3).randbytes(5 * BLOCK)
    column = pa.Array.from_buffers(pa.int64(), len(noise) // 8, [None, pa.py_buffer(noise)])
    world.of_files({"big.parquet": pa.table(dict.fromkeys("abcd", column))})
    read: list[int] = []
    read_into = roots.LocalBlob.read_into

    def counted(self: roots.LocalBlob, offset: int, target: memoryview) -> int:
        read.append(len(target))
        return read_into(self, offset, target)

    monkeypatch.setattr(roots.LocalBlob, "read_into", counted)
    with world.verify() as verified:
        for way in (
            lambda: verified.table(["c"]),
            lambda: pa.Table.from_batches(verified.batches(["c"])),
            lambda: verified.dataset().to_table(columns=["c"]),
        ):
            read.clear()
            assert way().column("c").combine_chunks().equals(column)
            # The column, a block at each end of it that it shares, and the one with the footer.
            assert 5 * BLOCK <= sum(read) <= 9 * BLOCK < world.data.stat().st_size / 2
    edited = bytearray(world.data.read_bytes())
    edited[13 * BLOCK] ^= 1  # in the third of four columns
    world.write("big.parquet", bytes(edited))
    assert world.refused() == "FILE_DIGEST"
    with world.verify() as verified, pytest.raises(NotVerified, match="FILE_DIGEST"):
        verified.table(["c"])


def test_nothing_is_left_open(big: Any, way: str) -> None:
    """Descriptors are closed after a load, and after a refusal."""
    big.table()
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        big.table()
        assert big.refused(resource="other@1") == "RESOURCE_MISMATCH"
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_link_on_the_way_is_never_followed(tmp_path: Path) -> None:
    """Each part of a name is opened below the folder before it."""
    (tmp_path / "root" / "a").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    (tmp_path / "root" / "a" / "b").symlink_to(tmp_path / "outside")
    root = roots.root_at(tmp_path / "root")
    for name, code in (
        ("a/b/secret", "FILE_SYMLINK"),
        ("a", "FILE_TYPE"),
        ("no/x", "FILE_MISSING"),
    ):
        with pytest.raises(NotVerified) as refused:
            root.open(name)
        assert refused.value.code == code
    root.close()
