"""What arrives broken: each case through the real reader, with its stable code."""

from __future__ import annotations

import gzip
import os
import pickle  # noqa: TID251 - to write one that must never be loaded
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditor.readers import Ingest, ingest, resolve

Read = Callable[..., Ingest]
Refusal = Callable[[Ingest], tuple[object, str]]


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return os.system, (f"touch {self.trace}",)


def parquet(path: Path, **columns: object) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.jsonl", "a.arrow", "a.csv.gz"])
def test_empty_file(folder: Path, read: Read, refusal: Refusal, name: str) -> None:
    (folder / name).write_bytes(gzip.compress(b"") if name.endswith(".gz") else b"")
    code, message = refusal(read(folder))
    assert code == "FILE_FORMAT"
    assert "empty (0 bytes)" in message


@pytest.mark.parametrize("text", [b" \n \n", b"\n\n", b"\xef\xbb\xbf"])
def test_blank_file(folder: Path, read: Read, refusal: Refusal, text: bytes) -> None:
    (folder / "a.csv").write_bytes(text)
    code, message = refusal(read(folder))
    assert code == "FILE_FORMAT"
    assert "no header" in message


def test_header_only_is_a_batch_of_no_rows(folder: Path, read: Read) -> None:
    (folder / "a.csv").write_text("a,b\n")
    result = read(folder)
    assert result.batch is not None
    assert result.batch.rows == 0
    assert result.batch.schema.names == ["a", "b"]
    assert list(result.batch.chunks(["a"])) == []
    assert result.findings == ()


def test_one_row(folder: Path, read: Read, table: Callable[[Ingest], pa.Table]) -> None:
    (folder / "a.csv").write_text("a,b\n1,x")
    assert table(read(folder)).to_pylist() == [{"a": 1, "b": "x"}]


def test_case_79_truncated_parquet(folder: Path, read: Read, refusal: Refusal) -> None:
    path = parquet(folder / "a.parquet", a=list(range(1000)))
    path.write_bytes(path.read_bytes()[:-100])
    code, message = refusal(read(folder))
    assert code == "FILE_FORMAT"
    assert "a.parquet" in message


def test_damage_inside_the_pages(folder: Path, read: Read, refusal: Refusal) -> None:
    path = parquet(folder / "a.parquet", a=np.random.default_rng(1).normal(size=5000))
    whole = bytearray(path.read_bytes())
    whole[4:200] = bytes(196)
    path.write_bytes(whole)
    assert refusal(read(folder))[0] == "FILE_FORMAT"


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.feather"])
def test_case_79_text_under_a_binary_name(
    folder: Path, read: Read, refusal: Refusal, name: str
) -> None:
    (folder / name).write_text("a,b\n1,2\n")
    code, message = refusal(read(folder))
    assert code == "FILE_FORMAT"
    assert "but it is not" in message


def test_case_79_encrypted_footer(folder: Path, read: Read, refusal: Refusal) -> None:
    (folder / "a.parquet").write_bytes(b"PARE" + bytes(200) + b"PARE")
    code, message = refusal(read(folder))
    assert code == "FILE_FORMAT"
    assert "encrypted" in message


@pytest.mark.parametrize("name", ["a.pkl", "a.csv", "a.parquet", "a.npy"])
def test_case_81_a_pickle_is_never_loaded(
    tmp_path: Path, folder: Path, read: Read, refusal: Refusal, name: str
) -> None:
    trace = tmp_path / "trace"
    (folder / name).write_bytes(pickle.dumps(Bomb(trace)))
    code, message = refusal(read(folder))
    assert code == "FILE_FORMAT"
    assert "never opened" in message
    assert not trace.exists()


def test_case_81_a_numpy_file_of_objects_is_never_loaded(
    folder: Path, read: Read, refusal: Refusal
) -> None:
    np.save(folder / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    code, message = refusal(read(folder))
    assert code == "FILE_FORMAT"
    assert "NumPy" in message


@pytest.mark.parametrize("name", ["a.md", "README", "a.docx", "a.xml"])
def test_unknown_format(folder: Path, read: Read, refusal: Refusal, name: str) -> None:
    (folder / name).write_text("hello there")
    code, message = refusal(read(folder))
    assert code == "FILE_FORMAT"
    assert "not a known format" in message


def test_case_82_duplicate_column_names(folder: Path, read: Read, refusal: Refusal) -> None:
    (folder / "a.csv").write_text("a,b,a\n1,2,3\n")
    code, message = refusal(read(folder))
    assert code == "SCHEMA"
    assert "2 columns are called a" in message


def test_case_82_duplicate_column_names_in_parquet(
    folder: Path, read: Read, refusal: Refusal
) -> None:
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    pq.write_table(twice, folder / "a.parquet")
    assert refusal(read(folder))[0] == "SCHEMA"


@pytest.mark.parametrize(
    ("text", "line"), [("a,b\n1,2\n3\n4,5\n", 3), ('a,b\n"x\ny",2\n3,4,5\n', 4)]
)
def test_ragged_rows_are_named_by_line(
    folder: Path, read: Read, refusal: Refusal, text: str, line: int
) -> None:
    (folder / "a.csv").write_text(text)
    code, message = refusal(read(folder))
    assert code == "FILE_FORMAT"
    assert f"line {line}:" in message


def test_nul_bytes_are_named_by_line(folder: Path, read: Read, refusal: Refusal) -> None:
    (folder / "a.csv").write_bytes(b"a,b\n1,2\n3,x\0y\n")
    code, message = refusal(read(folder))
    assert code == "FILE_FORMAT"
    assert "line 3: a NUL byte" in message


def test_an_open_quote_does_not_swallow_the_rest(
    folder: Path, read: Read, refusal: Refusal
) -> None:
    (folder / "a.csv").write_text('a,b\n1,2\n3,"x\n4,5\n6,7\n')
    code, message = refusal(read(folder))
    assert code == "FILE_FORMAT"
    assert "never closed" in message


def test_strings_that_are_not_utf8_in_parquet(folder: Path, read: Read, refusal: Refusal) -> None:
    bad = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(np.array([0, 2], np.int32)), pa.py_buffer(b"\xff\xfe")]
    )
    pq.write_table(pa.table({"a": bad}), folder / "a.parquet")
    assert refusal(read(folder))[0] == "FILE_FORMAT"


def test_arrow_offsets_that_point_outside(folder: Path, read: Read, refusal: Refusal) -> None:
    batch = pa.record_batch({"a": ["ab", "cd"]})
    with (
        pa.OSFile(str(folder / "a.arrows"), "wb") as sink,
        pa.ipc.new_stream(sink, batch.schema) as w,
    ):
        w.write_batch(batch)
    good, bad = (np.array([0, 2, end], np.int32).tobytes() for end in (4, 1 << 30))
    whole = (folder / "a.arrows").read_bytes()
    assert whole.count(good) == 1
    (folder / "a.arrows").write_bytes(whole.replace(good, bad))
    assert refusal(read(folder))[0] == "FILE_FORMAT"


def test_case_61_64_links_and_fifos_in_a_folder_do_not_hang(folder: Path, read: Read) -> None:
    parquet(folder / "a.parquet", a=[1])
    (folder / "link.parquet").symlink_to("a.parquet")
    (folder / "dir").symlink_to("/")
    os.mkfifo(folder / "pipe.csv")
    result = read(folder)
    assert result.batch is None
    assert {f.evidence["file"]: f.evidence["code"] for f in result.findings} == {
        "dir": "FILE_SYMLINK",
        "link.parquet": "FILE_SYMLINK",
        "pipe.csv": "FILE_TYPE",
    }
    assert all(finding.rule == "AUD-I001" for finding in result.findings)


def test_case_62_a_folder_swapped_for_a_link_after_listing(tmp_path: Path, folder: Path) -> None:
    (folder / "sub").mkdir()
    parquet(folder / "sub/a.parquet", a=[1])
    sources = resolve([str(folder)])
    (folder / "sub").rename(tmp_path / "elsewhere")
    (folder / "sub").symlink_to(tmp_path / "elsewhere")
    result = ingest(sources, staging=tmp_path / "s")
    assert result.batch is None
    assert "FILE_SYMLINK" in {finding.evidence["code"] for finding in result.findings}


def one_good_one_bad(folder: Path) -> None:
    parquet(folder / "a.parquet", a=[1, 2], b=["x", "y"])
    (folder / "b.parquet").write_text("no parquet")
    parquet(folder / "c.parquet", a=[3], b=["z"])


def test_one_broken_file_rejects_the_batch(folder: Path, read: Read, refusal: Refusal) -> None:
    one_good_one_bad(folder)
    result = read(folder)
    assert refusal(result)[0] == "FILE_FORMAT"
    assert [file.refused for file in result.files] == [None, "FILE_FORMAT", None]
    assert all(len(file.sha256) == 64 for file in result.files)


def test_one_broken_file_is_set_aside_where_that_is_allowed(
    folder: Path, read: Read, table: Callable[[Ingest], pa.Table]
) -> None:
    one_good_one_bad(folder)
    result = read(folder, broken="set_aside")
    assert table(result)["a"].to_pylist() == [1, 2, 3]
    (finding,) = result.findings
    assert finding.evidence == {"code": "FILE_FORMAT", "file": "b.parquet", "set_aside": True}
    assert "set aside, the other 2 are read" in finding.message
    assert result.digest == read(folder).digest


def test_a_file_that_breaks_half_way_leaves_no_row(
    folder: Path, read: Read, table: Callable[[Ingest], pa.Table]
) -> None:
    rows = pa.table({"a": np.random.default_rng(2).integers(0, 1 << 60, 60_000)})
    pq.write_table(rows, folder / "a.parquet", row_group_size=10_000, compression="none")
    whole = bytearray((folder / "a.parquet").read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 90_000] = bytes(90_000)
    (folder / "a.parquet").write_bytes(whole)
    parquet(folder / "b.parquet", a=[7])
    damaged = pq.ParquetFile(folder / "a.parquet")
    assert damaged.read_row_group(0).num_rows == 10_000  # it begins well
    result = read(folder, broken="set_aside")
    if result.findings:
        assert table(result)["a"].to_pylist() == [7]
    else:
        pytest.fail("the damage was not seen")


def test_all_files_broken(folder: Path, read: Read) -> None:
    (folder / "a.parquet").write_text("x")
    (folder / "b.csv").write_bytes(b"")
    result = read(folder, broken="set_aside")
    assert result.batch is None
    assert len(result.findings) == 2


@pytest.mark.parametrize(
    ("change", "file"),
    [
        (lambda f: (f / "b.csv").unlink(), "b.csv"),
        (lambda f: (f / "new.csv").write_text("a\n9\n"), "new.csv"),
        (lambda f: (f / "a.csv").unlink(), "a.csv"),
    ],
    ids=["gone before it is read", "added", "gone after it was read"],
)
def test_a_folder_that_changes_while_it_is_read(
    tmp_path: Path, folder: Path, change: Callable[[Path], object], file: str
) -> None:
    (folder / "a.csv").write_text("a\n1\n")
    (folder / "b.csv").write_text("a\n2\n")

    def progress(message: str) -> None:
        if message == "receiving b.csv":
            change(folder)

    sources = resolve([str(folder)])
    result = ingest(sources, staging=tmp_path / "s", progress=progress, broken="set_aside")
    assert result.batch is None
    assert [finding.rule for finding in result.findings] == ["AUD-I002"]
    assert result.findings[0].evidence["code"] == "FILE_CHANGED"
    assert file in str(result.findings[0].evidence["file"])


def test_case_86_a_file_that_grows_while_it_is_read(tmp_path: Path, folder: Path) -> None:
    (folder / "a.csv").write_bytes(b"a\n" + b"1\n" * (32 << 20))
    stop = threading.Event()

    def grow() -> None:
        with (folder / "a.csv").open("ab", buffering=0) as file:
            while not stop.is_set():
                file.write(b"2\n")

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        result = ingest(resolve([str(folder)]), staging=tmp_path / "s")
    finally:
        stop.set()
        thread.join()
    assert result.batch is None
    assert [finding.evidence["code"] for finding in result.findings] == ["FILE_CHANGED"]
    assert result.files[0].refused == "FILE_CHANGED"


def test_what_happens_after_the_copy_has_no_effect(
    tmp_path: Path, folder: Path, table: Callable[[Ingest], pa.Table]
) -> None:
    parquet(folder / "a.parquet", a=[1])

    def progress(message: str) -> None:
        if message == "looking into a.parquet":  # the child is about to parse
            parquet(folder / "a.parquet", a=[666])

    result = ingest(resolve([str(folder)]), staging=tmp_path / "s", progress=progress)
    assert table(result)["a"].to_pylist() == [1]


def test_each_file_is_named_once_a_step(tmp_path: Path, folder: Path) -> None:
    """Also where a file breaks half-way and the others are read again without it."""
    for name in ("a", "c"):
        parquet(folder / f"{name}.parquet", a=[1])
    (folder / "b.csv").write_bytes(b"a\n1\n" + b"2\n" * 2_000_000 + b'"never closed\n')
    said: list[str] = []
    sources = resolve([str(folder)])
    result = ingest(sources, staging=tmp_path / "s", progress=said.append, broken="set_aside")
    assert [record.refused for record in result.files] == [None, "FILE_FORMAT", None]
    assert said[:3] == ["receiving a.parquet", "receiving b.csv", "receiving c.parquet"]
    assert [s for s in said if s.startswith("looking into")] == [
        "looking into a.parquet", "looking into b.csv", "looking into c.parquet",
    ]  # fmt: skip
    assert [s for s in said if s.endswith("a.parquet")][2:] == ["reading a.parquet"]
    assert len(said) == len(set(said))


def test_messages_carry_no_control_characters(folder: Path, read: Read, refusal: Refusal) -> None:
    (folder / "a.csv").write_text("a,a\x1b[31m\u202e,a\n" + "x" * 5000 + "\n")
    _, message = refusal(read(folder))
    assert message.isprintable()
    assert len(message) < 700
