"""What comes back, in every form, from every kind of place: the audited rows and nothing else."""

from __future__ import annotations

import copy
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from auditor.verify import NotVerified, Verified, load_verified, reading, verify

RESOURCE = "vendor-a/stones@2026-11-22"


@pytest.fixture
def options(world: Any) -> dict[str, Any]:
    return {
        "policy": world.trust(),
        "resource": RESOURCE,
        "status": world.status(),
        "seen": world.root / "seen",
    }


@pytest.fixture(params=["buffer", "blocks"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "blocks":
        monkeypatch.setattr(reading, "BUFFERED", 0)
    return str(request.param)


def test_table_batches_and_file(world: Any, options: dict[str, Any], way: str) -> None:
    rows = world.rows
    assert load_verified(world.published, **options).equals(rows)
    two = load_verified(world.published, columns=["label", "x"], **options)
    assert two.equals(rows.select(["label", "x"]))
    batches = load_verified(world.published, into="batches", **options)
    assert pa.Table.from_batches(batches).equals(rows)
    with load_verified(world.published, into="file", **options) as file:
        assert pq.ParquetFile(file).read().equals(rows)
    with load_verified(world.published, into="file", **options) as file:
        assert file.read() == world.data.read_bytes()
        assert file.size() == world.data.stat().st_size


def test_folders_become_columns(world: Any, options: dict[str, Any], way: str) -> None:
    rows = world.rows.drop_columns(["who"])
    world.of_files({"who=a/x.parquet": rows.slice(0, 100), "who=b/x.parquet": rows.slice(100)})
    table = load_verified(world.published, **options | {"status": world.status()})
    expected = rows.append_column("who", pa.array(["a"] * 100 + ["b"] * 200))
    assert table.equals(expected)
    with world.verify() as verified:
        assert pa.Table.from_batches(verified).equals(expected)
        scanned = verified.dataset().to_table()
        assert scanned.select(expected.column_names).sort_by("id").equals(expected.sort_by("id"))
        only = verified.dataset().to_table(filter=pc.field("who") == "b", columns=["id"])
        assert only.column("id").to_pylist() == expected.column("id").to_pylist()[100:]
        assert verified.table(["who"]).column_names == ["who"]
        with pytest.raises(NotVerified) as refused:
            verified.open()
        assert refused.value.code == "FILE_UNKNOWN"
        assert "There are 2 files: say which one with name=." in str(refused.value)


def test_types_of_several_files(world: Any, options: dict[str, Any]) -> None:
    narrow = pa.table({"x": pa.array([1, 2], pa.int32())})
    wide = pa.table({"x": pa.array([3], pa.int64())})
    world.of_files({"a.parquet": narrow, "b.parquet": wide})
    assert world.table().column("x").to_pylist() == [1, 2, 3]
    assert world.table().schema.field("x").type == pa.int64()


def test_types_that_do_not_fit_are_refused_not_guessed(world: Any) -> None:
    world.of_files({"a.parquet": pa.table({"x": [1]}), "b.parquet": pa.table({"x": ["one"]})})
    assert world.refused() == "SCHEMA"
    with world.verify() as verified:
        assert [batch.num_rows for batch in verified] == [1, 1]


def test_what_is_no_parquet_and_other_counts_of_rows(world: Any, way: str) -> None:
    world.of_files({"a.parquet": world.rows})

    def lie(said: dict[str, Any]) -> None:
        extension = said["predicate"]["https://auditor.example/audit/v1"]
        extension["outputs"]["files"][0]["rows"] = 299
        extension["rows"] = {"in": 299, "out": 299, "quarantined": 0}

    world.republish(lie)
    assert world.refused() == "ROWS"


def test_a_file_that_was_audited_as_something_else(world: Any, monkeypatch: Any) -> None:
    import hashlib

    from auditor.provenance.entries import FileEntry
    from auditor.verify import tables

    content = b"PAR1 but not really"
    entry = FileEntry(
        name="a.parquet", sha256=hashlib.sha256(content).hexdigest(), size=len(content), rows=1
    )
    with pytest.raises(NotVerified) as refused:
        tables.table_of([entry], lambda _: pa.BufferReader(content), None)
    assert refused.value.code == "FILE_FORMAT"


# --- other places -------------------------------------------------------------------------------


class _Shop(fs.FileSystemHandler):  # type: ignore[misc]
    """An object store: names are keys, there are no folders, nothing is local."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects

    def get_type_name(self) -> str:
        return "shop"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> list[fs.FileInfo]:
        raise AssertionError("nothing is ever listed")

    get_file_info_selector = get_file_info

    def open_input_file(self, path: str) -> pa.NativeFile:
        if path not in self.objects:
            raise FileNotFoundError(path)
        return pa.BufferReader(self.objects[path])

    open_input_stream = open_input_file

    def _never(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("nothing is ever written")

    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = _never
    delete_file = move = copy_file = open_output_stream = open_append_stream = _never


def shop(world: Any) -> dict[str, bytes]:
    return {
        f"bucket/pub/{path.relative_to(world.published).as_posix()}": path.read_bytes()
        for path in world.published.rglob("*")
        if path.is_file()
    }


def test_a_root_of_another_file_system(world: Any, options: dict[str, Any], way: str) -> None:
    objects = shop(world)
    store = fs.PyFileSystem(_Shop(objects))
    assert load_verified("bucket/pub", filesystem=store, **options).equals(world.rows)
    below = fs.SubTreeFileSystem("bucket", store)
    assert load_verified("pub", filesystem=below, **options).equals(world.rows)
    name = f"bucket/pub/{world.data.name}"
    objects[name] = objects[name][:-1] + bytes([objects[name][-1] ^ 1])
    with pytest.raises(NotVerified, match="FILE_DIGEST"):
        load_verified("bucket/pub", filesystem=store, **options)
    del objects[name]
    with pytest.raises(NotVerified, match="FILE_MISSING"):
        load_verified("bucket/pub", filesystem=store, **options)


def test_local_places_by_any_name_follow_no_link(world: Any, options: dict[str, Any]) -> None:
    local, where = fs.LocalFileSystem(), str(world.published)
    assert load_verified(f"file://{where}", **options).num_rows == 300
    assert load_verified(where, filesystem=local, **options).num_rows == 300
    tree = fs.SubTreeFileSystem(str(world.published.parent), local)
    path, moved = world.data, world.root / "moved"
    path.rename(moved)
    path.symlink_to(moved)
    for root, filesystem in (
        (f"file://{where}", None), (where, local), (world.published.name, tree),
    ):  # fmt: skip
        with pytest.raises(NotVerified, match="FILE_SYMLINK"):
            load_verified(root, filesystem=filesystem, **options)


@pytest.mark.parametrize("root", ["gone", "gone/deeper"])
def test_no_such_place(world: Any, options: dict[str, Any], root: str) -> None:
    with pytest.raises(NotVerified, match="FILE_MISSING"):
        verify(world.root / root, **options)
    with pytest.raises(NotVerified, match="ATTESTATION_MISSING"):
        verify(world.published.parent, **options)


def test_status_and_attestation_from_elsewhere(world: Any, options: dict[str, Any]) -> None:
    path = world.root / "status.dsse.json"
    path.write_bytes(options["status"])
    for status in (path, str(path), f"file://{path}"):
        assert load_verified(world.published, **options | {"status": status}).num_rows == 300
    envelope, proof = world.envelope, (world.published / "proof.tlog").read_bytes()
    (world.published / "proof.tlog").unlink()
    (world.published / "attestation.dsse.json").unlink()
    table = load_verified(world.published, attestation=envelope, proof=proof, **options)
    assert table.num_rows == 300


# --- one line each ------------------------------------------------------------------------------


def test_pandas(world: Any, options: dict[str, Any], way: str) -> None:
    pd = pytest.importorskip("pandas")
    frame = load_verified(world.published, **options).to_pandas()
    assert frame.equals(world.rows.to_pandas())
    verified = verify(world.published, **options)
    read = pd.read_parquet(world.data.name, filesystem=verified.filesystem())
    assert read.equals(frame)


def test_pyarrow_dataset(world: Any, options: dict[str, Any], way: str) -> None:
    data = ds.dataset(load_verified(world.published, **options))
    assert data.count_rows() == 300
    verified = verify(world.published, **options)
    dataset = verified.dataset()
    found = dataset.to_table(columns=["id"], filter=pc.field("label") == "up")
    expected = world.rows.filter(pc.field("label") == "up").select(["id"])
    assert found.equals(expected)
    world.write(world.data.name, world.data.read_bytes()[:-1] + b"x")
    with pytest.raises(NotVerified):
        verified.dataset().to_table()


def test_polars(world: Any, options: dict[str, Any]) -> None:
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(verify(world.published, **options))
    assert frame.shape == (300, 5)
    assert pa.table(verify(world.published, **options)).num_rows == 300


def test_hugging_face_datasets(world: Any, options: dict[str, Any]) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    data = datasets.Dataset(load_verified(world.published, **options))
    assert data.num_rows == 300
    assert data[0] == world.rows.slice(0, 1).to_pylist()[0]
    assert not data.cache_files, "nothing may be taken from a cache on disk"


WORKERS = [(0, None), (2, "fork"), (2, "spawn")]


def loader(data: Any, workers: int, start: str | None, **options: Any) -> Any:
    from torch.utils.data import DataLoader

    return DataLoader(data, num_workers=workers, multiprocessing_context=start, **options)


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "start"), WORKERS)
def test_torch(world: Any, options: dict[str, Any], way: str, workers: int, start: Any) -> None:
    """Workers share out the rows: none is missing, none comes twice, in any epoch."""
    pytest.importorskip("torch", reason="torch is not installed")
    from auditor.verify.torch import VerifiedRows

    data = VerifiedRows(verify(world.published, **options), columns=["id", "x"], rows=64)
    batches = loader(data, workers, start, batch_size=10)
    for _ in range(2):
        found = [(i, x) for b in batches for i, x in zip(b["id"], b["x"].tolist(), strict=True)]
        expected = world.rows.select(["id", "x"]).to_pylist()
        assert sorted(found) == sorted((row["id"], row["x"]) for row in expected)


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "start"), WORKERS)
def test_torch_never_hands_out_what_was_changed(
    world: Any, options: dict[str, Any], way: str, workers: int, start: Any
) -> None:
    """Between the verdict and the epoch: the main process gets the refusal, and not one row."""
    pytest.importorskip("torch", reason="torch is not installed")
    from auditor.verify.torch import VerifiedRows

    data = VerifiedRows(verify(world.published, **options), columns=["id"], rows=64)
    content = bytearray(world.data.read_bytes())
    content[100] ^= 1
    world.write(world.data.name, bytes(content))
    batches = iter(loader(data, workers, start, batch_size=10))
    with pytest.raises((NotVerified, RuntimeError), match="FILE_DIGEST"):
        next(batches)


def test_a_worker_process_gets_its_own_copy(world: Any, options: dict[str, Any]) -> None:
    verified = verify(world.published, **options)
    again: Verified = copy.deepcopy(verified)  # as pickling does it
    verified.close()
    assert again.table().equals(world.rows)


def test_the_verified_file_system_is_read_only_and_complete(
    world: Any, options: dict[str, Any]
) -> None:
    rows = world.rows
    world.of_files({"a/x.parquet": rows, "b/c/y.parquet": rows})
    held = world.verify().filesystem()
    infos = held.get_file_info(fs.FileSelector("", recursive=True))
    assert [i.path for i in infos] == ["a", "a/x.parquet", "b", "b/c", "b/c/y.parquet"]
    assert [i.path for i in held.get_file_info(fs.FileSelector("b"))] == ["b/c"]
    assert held.get_file_info("b/c").type == fs.FileType.Directory
    assert held.get_file_info("nothing").type == fs.FileType.NotFound
    assert pq.read_table("a/x.parquet", filesystem=held).num_rows == rows.num_rows
    for action in (
        lambda: held.delete_file("a/x.parquet"),
        lambda: held.open_output_stream("new"),
        lambda: held.create_dir("new"),
    ):
        with pytest.raises(PermissionError):
            action()
    with pytest.raises(FileNotFoundError):
        held.open_input_file("attestation.dsse.json")
    with pytest.raises(FileNotFoundError):
        held.get_file_info(fs.FileSelector("gone"))
