"""Files that are not what a signed manifest declares, or no files at all: on the real gate."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditor.provenance import dsse
from auditor.provenance.digests import sha256
from auditor.signing import FileSigner, add_signature, unsigned_envelope

pytestmark = pytest.mark.slow

Attack = Callable[[Path], Any]


@pytest.fixture(scope="session")
def signed_root(site_at: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site, and a signed batch of two files in it; made once."""
    site = site_at("signed", tmp_path_factory.mktemp("files"))
    for number in range(2):
        site.write(f"in/day/{number}.parquet", site.rows(60, 20 + number))
    assert site.call("keys", "generate", "vendor").code == 0
    manifest = {"keys": {"v/stones": ["./vendor.pub"]}, "unsigned": "reject"}
    site.configure(manifest=manifest)
    create = ("--source", "v/stones", "--batch-id", "1", "--label", "label", "--contributor", "who")
    assert site.call("manifest", "create", "in/day", *create).code == 0
    sign = ("manifest", "sign", "in/day.manifest.dsse.json", "--key", "vendor.key")
    assert site.call(*sign).code == 0
    root: Path = site.root
    return root


@pytest.fixture
def sent(site: Any, signed_root: Path) -> Any:
    """A copy of that site."""
    shutil.rmtree(site.root)
    shutil.copytree(signed_root, site.root)
    site.settings = json.loads((site.root / "auditor.yaml").read_bytes())
    return site


def codes(site: Any) -> set[str]:
    return {str(f["evidence"].get("code")) for f in site.report()["findings"]}


def resign(site: Any, change: Callable[[dict[str, Any]], Any]) -> None:
    """Edit the manifest and sign it again with other tools than ours: they refuse nothing."""
    path = site.root / "in" / "day.manifest.dsse.json"
    statement = json.loads(dsse.parse(path.read_bytes()).payload)
    change(statement)
    predicate = statement["predicate"]
    listing = sorted(f"{f['digest'].get('sha256')}  {f['name']}\n" for f in predicate["files"])
    ordered = sorted(listing, key=lambda line: line.split("  ", 1)[1].encode())
    statement["subject"][0]["digest"] = {"sha256": sha256("".join(ordered).encode())}
    unsigned = unsigned_envelope(json.dumps(statement).encode())
    path.write_bytes(add_signature(unsigned, FileSigner(site.root / "vendor.key")))


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path)), path)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)


def extra(day: Path, name: str) -> None:
    target = day / name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(day / "0.parquet", target)


def link(day: Path) -> None:
    (day / "0.parquet").rename(day.parent / "elsewhere.parquet")
    (day / "0.parquet").symlink_to(day.parent / "elsewhere.parquet")


def linked_folder(day: Path) -> None:
    outside = day.parent / "outside"
    outside.mkdir()
    shutil.copyfile(day / "0.parquet", outside / "0.parquet")
    (day / "more").symlink_to(outside)


def fifo(day: Path) -> None:
    (day / "0.parquet").unlink()
    os.mkfifo(day / "0.parquet")


def listening(day: Path) -> None:
    here = Path.cwd()
    os.chdir(day)  # the name of a socket may be 108 bytes long
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("s.parquet")
    finally:
        os.chdir(here)


def renamed_folder(day: Path) -> None:
    (day / "label=up").mkdir()
    (day / "0.parquet").rename(day / "label=up" / "0.parquet")


def sidecar(day: Path) -> None:
    """A `_metadata` file whose row group is in a file outside the folder."""
    table = pq.read_table(day / "0.parquet")
    kept: list[Any] = []
    pq.write_table(table, day.parent / "evil.parquet", metadata_collector=kept)
    kept[0].set_file_path("../evil.parquet")
    kept[0].write_metadata_file(str(day / "_metadata"))


def doubled(day: Path) -> None:
    path = day / "0.parquet"
    path.write_bytes(path.read_bytes() + (day / "1.parquet").read_bytes())


CHANGES: list[tuple[str, Attack, str]] = [
    ("55 flipped byte", lambda day: flip(day / "0.parquet"), "FILE_DIGEST"),
    ("57 missing", lambda day: (day / "1.parquet").unlink(), "FILE_MISSING"),
    ("58 extra", lambda day: extra(day, "2.parquet"), "FILE_EXTRA"),
    ("59 hidden extra", lambda day: extra(day, ".2.parquet"), "FILE_EXTRA"),
    ("60 extra in .git", lambda day: extra(day, ".git/2.parquet"), "FILE_EXTRA"),
    ("61 link to the same bytes", link, "FILE_SYMLINK"),
    ("62 linked folder", linked_folder, "FILE_SYMLINK"),
    ("64 fifo", fifo, "NOT_COMPARED"),
    ("65 socket", listening, "FILE_EXTRA"),
    ("68 renamed into a hive folder", renamed_folder, "FILE_RENAMED"),
    ("69 undeclared partition", renamed_folder, "PATH_UNSAFE"),
    ("70 sidecar that points outside", sidecar, "FILE_EXTRA"),
    (
        "75 schema change in one file",
        lambda day: rewrite(day / "1.parquet", lambda t: t.drop_columns(["y"])),
        "FILE_DIGEST",
    ),
    ("79 truncated", lambda day: os.truncate(day / "0.parquet", 900), "FILE_SIZE"),
    ("79 text", lambda day: (day / "0.parquet").write_bytes(b"id,x\n1,2\n"), "FILE_FORMAT"),
    ("80 evil and good in one", doubled, "FILE_DIGEST"),
    (
        "81 pickle",
        lambda day: (day / "2.pkl").write_bytes(b"\x80\x04}\x94\x8c\x01x\x94K\x01s."),
        "FILE_FORMAT",
    ),
    (
        "81 object array",
        lambda day: np.save(day / "2.npy", np.array([{"x": 1}]), allow_pickle=True),
        "FILE_FORMAT",
    ),
    (
        "82 duplicate column names",
        lambda day: rewrite(
            day / "0.parquet", lambda t: t.rename_columns(["id", "x", "x", "who", "label"])
        ),
        "SCHEMA",
    ),
]


@pytest.mark.parametrize(("attack", "code"), [pytest.param(c[1], c[2], id=c[0]) for c in CHANGES])
def test_case_55_to_82_files(sent: Any, attack: Attack, code: str) -> None:
    """What arrives is not what was signed."""
    attack(sent.root / "in" / "day")
    assert sent.call("gate", "in/day", "-q").code == 11
    assert code in codes(sent), codes(sent)
    assert sent.visible("published") == []


def test_the_honest_batch_passes(sent: Any) -> None:
    assert sent.call("gate", "in/day", "-q").code == 0
    assert codes(sent) <= {"None"}


def test_case_63_the_data_folder_is_a_link(sent: Any) -> None:
    """The folder that was named is a symbolic link to the batch."""
    (sent.root / "in" / "day").rename(sent.root / "real")
    (sent.root / "in" / "day").symlink_to(sent.root / "real")
    done = sent.call("gate", "in/day", "-q")
    assert done.code in (2, 11)
    assert sent.visible("published") == []


def first(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda s: s["predicate"]["files"][0].update(values)


def upper(statement: dict[str, Any]) -> None:
    digest = statement["predicate"]["files"][0]["digest"]
    digest["sha256"] = digest["sha256"].upper()


def twice(statement: dict[str, Any]) -> None:
    statement["predicate"]["files"] = [
        {**statement["predicate"]["files"][0], "name": name} for name in ("a.parquet", "A.parquet")
    ]


LIES: list[tuple[str, Callable[[dict[str, Any]], Any], str]] = [
    ("56 size", lambda s: s["predicate"]["files"][0].pop("blocks") and first(size=7)(s),
     "FILE_SIZE"),
    ("66 traversal", first(name="../../0.parquet"), "PATH_UNSAFE"),
    ("66 absolute", first(name="/etc/0.parquet"), "PATH_UNSAFE"),
    ("66 hidden", first(name=".0.parquet"), "PATH_UNSAFE"),
    ("67 differ by case only", twice, "PATH_UNSAFE"),
    ("70 sidecar declared", first(name="_metadata"), "PATH_UNSAFE"),
    ("71 md5 only", first(digest={"md5": "0" * 32}), "DIGEST_ALGORITHM"),
    ("72 uppercase hex", upper, "DIGEST_ALGORITHM"),
    ("72 short hex", first(digest={"sha256": "0" * 63}), "DIGEST_ALGORITHM"),
    ("73 no files", lambda s: s["predicate"].update(files=[]), "FILES_EMPTY"),
    ("74 rows in total", lambda s: s["predicate"].update(rows=119), "ROWS"),
    (
        "74 rows of each file, the total is right",
        lambda s: [f.update(rows=59 + 2 * n) for n, f in enumerate(s["predicate"]["files"])],
        "ROWS",
    ),
    ("76 a terabyte", lambda s: s["predicate"]["files"][0].pop("blocks") and first(size=10**12)(s),
     "FILE_SIZE"),
]  # fmt: skip


@pytest.mark.parametrize(("lie", "code"), [pytest.param(c[1], c[2], id=c[0]) for c in LIES])
def test_case_56_to_76_manifests_that_lie(sent: Any, lie: Any, code: str) -> None:
    """The supplier's own key signs something that is not so, or that nobody may say."""
    resign(sent, lie)
    assert sent.call("gate", "in/day", "-q").code == 11
    assert code in codes(sent), codes(sent)
    assert sent.visible("published") == []


def test_case_77_rows_without_end(sent: Any) -> None:
    """A small file of so many rows that reading them all would fill the memory."""
    sent.configure(limits={"rows": 1_000_000})
    table = pa.table({"x": pa.nulls(20_000_000, pa.int8())})
    path = sent.root / "in" / "day" / "0.parquet"
    pq.write_table(table, path)
    assert path.stat().st_size < 1_000_000
    assert sent.call("gate", "in/day", "-q").code == 11
    assert "LIMIT" in codes(sent)


def test_case_78_string_bomb(sent: Any) -> None:
    """One long string in the dictionary, and half a gigabyte of rows that are it."""
    sent.configure(limits={"decoded_bytes": "100MB"})
    words = pa.DictionaryArray.from_arrays(pa.array([0] * 500, pa.int32()), ["a" * 1_000_000])
    path = sent.root / "in" / "day" / "0.parquet"
    table = sent.rows(500, 20)
    table = table.set_column(table.schema.get_field_index("who"), "who", words)
    pq.write_table(table, path, compression="zstd", store_schema=False)
    assert path.stat().st_size < 100_000
    assert sent.call("gate", "in/day", "-q").code == 11
    assert "LIMIT" in codes(sent)


@pytest.mark.parametrize("how", ["83 rename", "84 in place", "85 hard link"])
def test_case_83_to_85_changed_between_hash_and_parse(
    sent: Any, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The file is replaced once it was hashed: what is published are the bytes that were signed."""
    from auditor import pipeline

    day = sent.root / "in" / "day"
    good, evil = (day / "0.parquet").read_bytes(), (day / "1.parquet").read_bytes()
    if how.startswith("85"):
        (sent.root / "twin").hardlink_to(day / "0.parquet")
    genuine = pipeline.verify_manifest

    def meanwhile(run: Any, ingested: Any) -> Any:
        target = sent.root / "twin" if how.startswith("85") else day / "0.parquet"
        if how.startswith("83"):
            (day / "new").write_bytes(evil)
            (day / "new").replace(target)
        else:
            target.write_bytes(evil)
        return genuine(run, ingested)

    monkeypatch.setattr(pipeline, "verify_manifest", meanwhile)
    assert sent.call("gate", "in/day", "-q").code == 0
    assert (day / "0.parquet").read_bytes() == evil
    (folder,) = sent.visible("published")
    assert (folder / "0.parquet").read_bytes() == good
