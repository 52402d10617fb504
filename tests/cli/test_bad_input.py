"""What arrives broken, through the whole gate: exit code, what is said, what the ledger knows."""

from __future__ import annotations

import fcntl
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

LABELS = ("a", "b")


def csv(values: list[object], labels: list[object], *, column: str = "x") -> str:
    """A small CSV: an id, one column and a label."""
    pairs = enumerate(zip(values, labels, strict=True))
    lines = [f"r{number},{value},{label}" for number, (value, label) in pairs]
    return "\n".join([f"id,{column},label", *lines]) + "\n"


def alternating(count: int) -> list[object]:
    return [LABELS[number % 2] for number in range(count)]


def numbers(count: int) -> list[object]:
    return [round(number * 1.37, 3) for number in range(count)]


def truncated(path: Path) -> None:
    pq.write_table(pa.table({"x": list(range(1000)), "label": alternating(1000)}), path)
    path.write_bytes(path.read_bytes()[:-100])


def bomb(path: Path) -> None:
    """A few hundred bytes that decode to half a gigabyte of text."""
    cell = pa.array(["x" * 2**20]).dictionary_encode().dictionary
    cells = pa.DictionaryArray.from_arrays(pa.array(np.zeros(500, np.int32)), cell)
    options: dict[str, Any] = {"compression": "zstd", "write_statistics": False}
    pq.write_table(pa.table({"x": cells}), path, **options)
    assert path.stat().st_size < 2_000


def no_rows(path: Path) -> None:
    pq.write_table(
        pa.table({"x": pa.array([], pa.float64()), "label": pa.array([], pa.string())}), path
    )


def same_names(path: Path) -> None:
    columns = [pa.array([1]), pa.array([2]), pa.array(["a"])]
    pq.write_table(pa.Table.from_arrays(columns, names=["x", "x", "label"]), path)


#: name -> (content, or what writes it; exit code; what is said besides the name of the file)
REFUSED: dict[str, tuple[str | bytes | Callable[[Path], None], int, str]] = {
    "empty.csv": (b"", 11, "the file is empty (0 bytes)"),
    "header.csv": ("id,x,label\n", 12, "the batch has no rows"),
    "twice.csv": ("id,x,x\n1,2,3\n", 11, "2 columns are called x"),
    "nul.csv": (b"id,x,label\nr1,1,a\x00b\n", 11, "line 2: a NUL byte"),
    "ragged.csv": ("id,x,label\nr1,1,a\nr2\n", 11, "line 3"),
    "truncated.parquet": (truncated, 11, "cannot be decoded"),
    "text.parquet": ("x,label\n1,a\n", 11, "named .parquet but it is not a Parquet file"),
    "bomb.parquet": (bomb, 11, "decodes to more than"),
    "empty.parquet": (b"", 11, "the file is empty (0 bytes)"),
    "none.parquet": (no_rows, 12, "the batch has no rows"),
    "twice.parquet": (same_names, 11, "2 columns are called x"),
    "broken.jsonl": ('{"x": 1, "label": "a"}\n{"x": 2, "label": \n', 11, "line 2"),
    "noise.csv": (bytes(range(256)) * 64, 11, "line 1: a NUL byte"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_used(bare: Any, name: str) -> None:
    content, code, words = REFUSED[name]
    if callable(content):
        content(bare.root / name)
    else:
        bare.write(name, content)
    bare.configure(manifest={"unsigned": "note"})
    done = bare.call("gate", name)
    assert done.code == code, done.out
    verdict = {11: "REJECT", 12: "HOLD"}[code]
    assert done.last.startswith(f"auditor: {verdict} 0/0 rows")
    assert name in done.out
    assert words in done.out
    assert "What to do next" in done.out
    event = {11: "verdict", 12: "batch.held"}[code]
    assert bare.events()[-1] == event
    assert bare.visible("published") == bare.visible("quarantine") == []
    assert bare.staged() == []
    if code == 11:
        assert "no rows" not in done.out, "why it is refused is said once, and nothing else"


def test_an_empty_folder_is_refused_before_a_run(bare: Any) -> None:
    (bare.root / "batch").mkdir()
    done = bare.auditor("audit", "batch")
    assert (done.code, done.out) == (2, "")
    assert done.err == "auditor: batch: no data file in it; name another path\n"
    assert not (bare.root / ".auditor" / "ledger.db").exists()


@pytest.mark.parametrize("given", ["https://example.org/a.csv", "s3://bucket/a.parquet", "no.csv"])
def test_a_path_that_cannot_be_opened(bare: Any, given: str) -> None:
    done = bare.call("audit", given)
    assert done.code == 2
    assert given in done.err
    words = "remote addresses are not read" if "://" in given else "no such file"
    assert words in done.err
    assert bare.visible("runs") == []


#: Odd, and no reason to refuse: name -> (content, rows, words in the notes of the file)
TAKEN: dict[str, tuple[str | bytes, int, str]] = {
    "one-row.csv": (csv([1.5], ["a"]), 1, ""),
    "null-column.csv": (csv([""] * 60, alternating(60)), 60, ""),
    "constant-label.csv": (csv(numbers(60), ["a"] * 60), 60, ""),
    "null-labels.csv": (csv(numbers(60), ["", "a", "b"] * 20), 60, ""),
    "many-labels.csv": (csv(numbers(10_000), [f"c{n}" for n in range(10_000)]), 10_000, ""),
    "float-label.csv": (csv(numbers(60), [n * 0.731 for n in range(60)]), 60, ""),
    "not-finite.csv": (csv(["nan", "inf", "-inf", 1.5] * 15, alternating(60)), 60, ""),
    "mixed.csv": (
        csv([*numbers(40), "oops", *numbers(19)], alternating(60)),
        60,
        "line 42 does not fit",
    ),
    "bom.csv": (b"\xef\xbb\xbf" + csv(numbers(60), alternating(60)).encode(), 60, "utf-8-sig"),
    "latin.csv": (csv(numbers(60), ["caf\xe9", "b"] * 30).encode("latin-1"), 60, "cp1252"),
    "long-cell.csv": (csv(["z" * 2**20, *["q"] * 59], alternating(60)), 60, ""),
}


@pytest.mark.parametrize("name", TAKEN)
def test_an_odd_file_is_taken_whole(bare: Any, name: str) -> None:
    content, rows, note = TAKEN[name]
    bare.write(name, content)
    bare.configure(manifest={"unsigned": "note"}, detectors=bare.light)
    done = bare.call("gate", name, "-q")
    assert done.code == 0, done.out
    assert done.err == ""
    report = bare.report()
    assert report["rows_in"] == report["rows_published"] == rows
    assert [rule["id"] for rule in report["rules"] if rule["status"] == "failed"] == []
    assert note.lower() in " ".join(report["files"][0]["notes"]).lower()
    assert bare.events()[-1] == "verdict"
    (folder,) = bare.visible("published")
    (published,) = folder.glob("*.parquet")
    table = pq.read_table(published)
    assert table.num_rows == rows
    assert table.column_names == ["id", "x", "label"]


def test_values_that_are_no_numbers_arrive_as_they_were(bare: Any) -> None:
    bare.write("a.csv", csv(["nan", "inf", "-inf", 1.5] * 15, alternating(60)))
    bare.configure(manifest={"unsigned": "note"}, detectors=bare.light)
    assert bare.call("gate", "a.csv", "-q").code == 0
    (published,) = bare.visible("published")[0].glob("*.parquet")
    first = pq.read_table(published)["x"].to_pylist()[:4]
    assert math.isnan(first[0])
    assert first[1:] == [math.inf, -math.inf, 1.5]


@pytest.mark.slow
@pytest.mark.parametrize("name", TAKEN)
def test_an_odd_file_breaks_no_model(bare: Any, name: str) -> None:
    bare.write(name, TAKEN[name][0])
    done = bare.call("audit", name, "-q", "--label", "label")
    assert done.code == 0, done.out
    failed = [rule for rule in bare.report()["rules"] if rule["status"] == "failed"]
    assert failed == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TAKEN if name != "one-row.csv"])
def test_an_odd_batch_against_a_baseline_gets_a_verdict(site: Any, name: str) -> None:
    bare_rows = site.rows(120, 3).to_pylist()
    cells = [line.split(",") for line in _text(TAKEN[name][0]).splitlines()[1:121]]
    for row, (_, x, label) in zip(bare_rows, cells, strict=False):
        row |= {"x": x, "label": label}
    lines = [",".join(str(value) for value in row.values()) for row in bare_rows]
    site.write("in.csv", "\n".join(["id,x,y,who,label", *lines]) + "\n")
    site.configure(detectors={})
    done = site.call("gate", "in.csv", "-q")
    assert done.code in (0, 10, 11, 12), done.err
    failed = {r["id"]: r["reason"] for r in site.report()["rules"] if r["status"] == "failed"}
    assert failed == {}
    if name in ("mixed.csv", "long-cell.csv"):
        assert done.code == 12
        assert "column 'x' holds string; the trusted rows hold double" in done.out
    assert site.staged() == []


def _text(content: str | bytes) -> str:
    return content if isinstance(content, str) else content.decode("latin-1").lstrip("\xef\xbb\xbf")


def test_a_label_that_is_not_there_is_held(bare: Any) -> None:
    bare.write("a.csv", csv(numbers(60), alternating(60)))
    bare.configure(manifest={"unsigned": "note"}, detectors=bare.light, roles={"label": ["lable"]})
    done = bare.auditor("gate", "a.csv", "-q")
    assert done.code == 12
    assert "roles.label: no column 'lable'; did you mean 'label'?" in done.out
    assert bare.events() == ["batch.received", "batch.screening", "batch.held"]
    assert bare.visible("published") == []


def test_one_broken_file_of_several_is_named_and_set_aside_where_allowed(bare: Any) -> None:
    bare.write("in/a.csv", csv(numbers(60), alternating(60)))
    bare.write("in/b.csv", b"id,x,label\nr1,\x00,a\n")
    bare.configure(manifest={"unsigned": "note"}, detectors=bare.light)
    done = bare.call("gate", "in", "-q")
    assert done.code == 11
    assert "b.csv: line 2: a NUL byte" in done.out
    assert bare.visible("published") == []
    bare.configure(policy={"broken_files": "set_aside"})
    done = bare.call("gate", "in", "-q")
    assert done.code == 0, done.out
    assert "b.csv: line 2: a NUL byte" in done.out
    assert "the file is set aside, the other 1 are read" in done.out
    assert [path.name for path in bare.visible("published")[0].glob("*.parquet")] == [
        "a.csv.parquet"
    ]


@pytest.mark.parametrize("change", ["comes", "goes"])
def test_a_folder_that_changes_while_it_is_read_is_held(bare: Any, change: str) -> None:
    for number in range(220):
        bare.write(f"in/{number:03d}.csv", "id,x,label\nr1,1,a\n")
    bare.configure(manifest={"unsigned": "note"}, detectors=bare.light)
    with bare.start("gate", "in", bufsize=0) as child:
        # A pipe that holds 150 lines: the run waits for us with most of the folder still to read.
        fcntl.fcntl(child.stderr, fcntl.F_SETPIPE_SZ, 4096)
        while b"receiving" not in child.stderr.readline():
            pass
        if change == "comes":
            bare.write("in/new.csv", "id,x,label\nr2,2,b\n")
        else:
            (bare.root / "in" / "219.csv").unlink()
        out, err = (text.decode() for text in child.communicate(timeout=600))
    assert child.returncode == 12, err
    assert "AUD-I002" in out
    assert "send it again" in out
    assert "the batch has no rows" not in out
    assert bare.events() == ["batch.received", "batch.screening", "batch.held"]
    assert bare.visible("published") == bare.staged() == []


def _plain_user() -> list[str]:
    """What makes root heed permissions: its powers to pass them by are taken away."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root passes permissions by, and there is no setpriv to stop that")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"]


@pytest.mark.parametrize(
    ("locked", "code", "words"),
    [
        ("in/a.csv", 2, "a.csv: no permission to read it"),
        ("in", 2, "in: no permission to list the folder"),
        (".", 1, "Permission denied: "),
    ],
)
def test_no_permission(bare: Any, locked: str, code: int, words: str) -> None:
    bare.write("in/a.csv", csv(numbers(60), alternating(60)))
    path = bare.root / locked
    path.chmod(0o500 if locked == "." else 0)
    try:
        done = bare.auditor("audit", "in", "--profile", "quick", "-q", before=_plain_user())
    finally:
        path.chmod(0o700)
    assert (done.code, done.out) == (code, "")
    assert words in done.err
    assert ".auditor" in done.err if locked == "." else True
    assert bare.visible("runs") == bare.staged() == []
