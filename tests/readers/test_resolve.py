from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import auditor.readers
from auditor.errors import BatchError
from auditor.readers import resolve


def names(*paths: str | Path) -> list[str]:
    return [source.name for source in resolve([str(path) for path in paths]) if not source.skipped]


def put(folder: Path, *files: str) -> None:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("a\n1\n")


def test_one_file_is_called_by_its_name(folder: Path) -> None:
    put(folder, "x/a.csv")
    assert names(folder / "x/a.csv") == ["a.csv"]


def test_a_folder_is_walked_in_c_locale_order(folder: Path) -> None:
    put(folder, "b.csv", "Z.csv", "a/x.csv", "a.csv", "ä.csv")
    assert names(folder) == ["Z.csv", "a.csv", "a/x.csv", "b.csv", "ä.csv"]


def test_a_folder_with_a_trailing_slash_or_dots_gives_the_same_names(folder: Path) -> None:
    put(folder, "sub/a.csv")
    assert names(f"{folder}/") == names(f"{folder}/sub/..") == ["sub/a.csv"]


def test_a_relative_path_works(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder, "sub/a.csv")
    monkeypatch.chdir(folder)
    assert names(".") == names("sub/..") == ["sub/a.csv"]
    assert names("sub/a.csv") == ["a.csv"]


def test_several_paths_are_named_from_their_common_folder(folder: Path) -> None:
    put(folder, "one/a.csv", "two/a.csv")
    assert names(folder / "one", folder / "two/a.csv") == ["one/a.csv", "two/a.csv"]


def test_a_glob_keeps_the_folders_that_it_spans(folder: Path) -> None:
    put(folder, "y=1/a.csv", "y=2/a.csv", "other.txt")
    assert names(folder / "y=*" / "*.csv") == ["y=1/a.csv", "y=2/a.csv"]
    assert names(folder / "y=1*" / "*.csv") == ["y=1/a.csv"]
    assert names(folder / "**" / "a.csv") == ["y=1/a.csv", "y=2/a.csv"]


def test_a_file_whose_name_looks_like_a_glob_is_a_file(folder: Path) -> None:
    put(folder, "a[1].csv")
    assert names(folder / "a[1].csv") == ["a[1].csv"]


def test_markers_and_manifests_are_no_data(folder: Path) -> None:
    put(folder, "a.csv", "_SUCCESS", "x.manifest.dsse.json")
    assert [source.name for source in resolve([str(folder)])] == ["a.csv"]


def test_hidden_files_and_sidecars_are_listed_but_not_read(folder: Path) -> None:
    put(folder, "a.csv", ".secret.csv", ".git/x.csv", "_metadata", "_common_metadata")
    skipped = {source.name for source in resolve([str(folder)]) if source.skipped}
    assert skipped == {".secret.csv", ".git/x.csv", "_metadata", "_common_metadata"}


def test_a_published_folder_can_be_audited(folder: Path) -> None:
    """The evidence beside published files is listed, so that a signed listing has to name it."""
    put(folder, "a.csv", "attestation.dsse.json", "proof.tlog", "x/proof.tlog")
    assert names(folder) == ["a.csv"]
    assert len(resolve([str(folder)])) == 4
    assert names(folder / "proof.tlog") == ["proof.tlog"]


def test_a_hidden_folder_that_is_named_is_read(folder: Path) -> None:
    put(folder, ".inbox/a.csv")
    assert names(folder / ".inbox") == ["a.csv"]


@pytest.mark.parametrize("address", ["https://x.example/a.csv", "s3://b/k", "file:///etc/passwd"])
def test_an_address_is_refused_with_what_to_do(address: str) -> None:
    with pytest.raises(BatchError, match=r"not read in this version.*copy the files"):
        resolve([address])


def test_nothing_there(folder: Path) -> None:
    for path, words in (
        (folder / "no.csv", "no such file"),
        (folder, "no data file"),
        (folder / "*.csv", "no file matches"),
        ("", "not a path"),
        ("a\0b", "not a path"),
    ):
        with pytest.raises(BatchError, match=words):
            resolve([str(path)])
    with pytest.raises(BatchError, match="no input"):
        resolve([])


def test_only_a_marker_is_no_data(folder: Path) -> None:
    put(folder, "_SUCCESS", ".hidden.csv")
    with pytest.raises(BatchError, match="no data file"):
        resolve([str(folder)])


def test_named_twice(folder: Path) -> None:
    put(folder, "a.csv")
    with pytest.raises(BatchError, match="named twice"):
        resolve([str(folder / "a.csv"), str(folder)])


def test_case_63_64_65_a_named_link_fifo_or_socket_is_refused_at_once(folder: Path) -> None:
    put(folder, "a.csv")
    (folder / "link").symlink_to("a.csv")
    (folder / "dir").symlink_to(folder)
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket"))
        for name, words in (
            ("link", "symbolic link"),
            ("dir", "symbolic link"),
            ("fifo", "FIFO"),
            ("socket", "FIFO, device or socket"),
        ):
            with pytest.raises(BatchError, match=words):
                resolve([str(folder / name)])
    with pytest.raises(BatchError, match="FIFO, device"):
        resolve(["/dev/null"])


@pytest.mark.parametrize("name", ["a\nb.csv", "a\x1b[31m.csv", "a\\b.csv", "a\u202eb.csv"])
def test_names_that_would_blur_the_digest_are_refused(folder: Path, name: str) -> None:
    put(folder, name)
    with pytest.raises(BatchError, match="control characters or a backslash") as caught:
        resolve([str(folder)])
    assert str(caught.value).isprintable()


AS_ANOTHER_USER = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from auditor.errors import BatchError
from auditor.readers import Source, ingest, resolve
if os.geteuid() == 0:
    os.setgroups([])
    os.setegid(65534)
    os.seteuid(65534)
try:
    ingest(resolve([sys.argv[2]]), staging=Path(sys.argv[3]))
except BatchError as error:
    sys.exit(f"refused: {error}")
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Where another user can get: pytest's own folders are closed to others."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        (Path(made) / "batch").mkdir()
        (Path(made) / "staging").mkdir()
        (Path(made) / "staging").chmod(0o777)
        yield Path(made)
        (Path(made) / "batch").chmod(0o755)


@pytest.mark.parametrize(("locked", "words"), [("batch/a.csv", "to read it"), ("batch", "to list")])
def test_no_permission(open_folder: Path, locked: str, words: str) -> None:
    """As another user where the tests run as root, since root may read everything."""
    put(open_folder, "batch/a.csv")
    (open_folder / locked).chmod(0)
    package = str(Path(auditor.readers.__file__).parents[2])
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            AS_ANOTHER_USER,
            package,
            open_folder / "batch",
            open_folder / "staging",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1, run.stderr
    assert "refused:" in run.stderr
    assert f"no permission {words}" in run.stderr
