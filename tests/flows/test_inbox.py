"""What is a batch in an inbox, and when it is complete. No Prefect."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.errors import ConfigError
from auditor.provenance.declare import create
from auditor.provenance.manifest import FileEntry
from auditor.readers import Limits, ingest, resolve
from auditor.signing import generate, sign
from auditor_flows import inbox, sightings
from auditor_flows.sightings import Look, Memory

LIMITS = Limits(files=20)
Watch = Callable[[float], Look]


@pytest.fixture
def box(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def watch(box: Path, tmp_path: Path) -> Watch:
    """A look at a given second, each with the memory of a new process."""
    return lambda now: sightings.look(
        box, Memory(tmp_path / "runs", box), LIMITS, settle=60, now=now
    )


def names(look: Look) -> list[str]:
    return [one.name for one in look.complete]


def test_a_file_is_complete_once_it_has_not_changed_for_the_settling_time(
    box: Path, watch: Watch
) -> None:
    (box / "a.csv").write_text("x,y\n1,2\n")
    assert names(watch(1000.0)) == []
    assert names(watch(1059.0)) == []
    assert names(watch(1060.0)) == ["a.csv"]


def test_a_write_starts_the_settling_anew_even_if_size_and_mtime_are_put_back(
    box: Path, watch: Watch
) -> None:
    path = box / "a.csv"
    path.write_text("x,y\n1,2\n")
    before = path.stat()
    watch(1000.0)
    path.write_text("x,y\n9,9\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert names(watch(1060.0)) == []
    assert names(watch(1120.0)) == ["a.csv"]


def test_a_clock_that_was_set_back_does_not_stop_a_batch(box: Path, watch: Watch) -> None:
    (box / "a.csv").write_text("x\n1\n")
    watch(9000.0)
    watch(1000.0)
    assert names(watch(1060.0)) == ["a.csv"]


def test_a_marker_completes_a_folder_at_once(box: Path, watch: Watch) -> None:
    (box / "day").mkdir()
    (box / "day" / "part-0.csv").write_text("x\n1\n")
    assert names(watch(1000.0)) == []
    (box / "day" / "_SUCCESS").touch()
    assert names(watch(1001.0)) == ["day"]


def test_a_link_is_no_marker(box: Path, watch: Watch) -> None:
    (box / "day").mkdir()
    (box / "day" / "_SUCCESS").symlink_to("/etc/hostname")
    assert names(watch(1000.0)) == []


def _manifest(folder: Path, key: Path) -> bytes:
    files = [
        FileEntry(
            name=path.name,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            size=path.stat().st_size,
            rows=1,
        )
        for path in sorted(folder.iterdir())
    ]
    now = datetime.now(UTC).replace(microsecond=0)
    payload = create(
        files,
        source="vendor/x",
        batch_id="2024-07-01",
        sequence=1,
        schema_fields=[("x", "int64", True)],
        created_on=now,
        expires_on=now + timedelta(days=1),
    )
    return sign(payload, key=key)


def test_a_signed_manifest_that_matches_completes_a_batch_at_once(
    box: Path, watch: Watch, tmp_path: Path
) -> None:
    generate(tmp_path / "vendor")
    (box / "day").mkdir()
    (box / "day" / "a.csv").write_text("x\n1\n")
    (box / "day" / "b.csv").write_text("x\n2\n")
    envelope = _manifest(box / "day", tmp_path / "vendor.key")
    (box / "day" / "b.csv").unlink()
    (box / "day.manifest.dsse.json").write_bytes(envelope)
    assert names(watch(1000.0)) == []  # b.csv is still to come
    (box / "day" / "b.csv").write_text("x\n3\n")
    assert names(watch(1001.0)) == []  # it has other bytes
    (box / "day" / "b.csv").write_text("x\n2\n")
    assert names(watch(1002.0)) == ["day"]


def test_a_broken_manifest_only_means_waiting(box: Path, watch: Watch) -> None:
    (box / "a.csv").write_text("x\n1\n")
    (box / "a.manifest.dsse.json").write_bytes(b"\xff{" * 9)
    assert names(watch(1000.0)) == []
    assert names(watch(1060.0)) == ["a.csv"]


def test_the_digest_is_the_one_that_ingest_finds(box: Path, watch: Watch, tmp_path: Path) -> None:
    (box / "day").mkdir()
    for name in ("a.csv", "b.csv", ".hidden", "_metadata"):
        (box / "day" / name).write_text("x\n1\n")
    (box / "day" / "link.csv").symlink_to("a.csv")
    watch(0.0)
    (found,) = watch(60.0).complete
    read = ingest(resolve([str(box / "day")]), staging=tmp_path / "staging", limits=LIMITS)
    assert found.digest == read.digest
    assert len(found.odd) == 1


def test_the_key_follows_name_bytes_and_manifest(box: Path) -> None:
    def key(name: str) -> str:
        return inbox.delivery(inbox.listing(box, name, LIMITS), LIMITS).key

    (box / "a.csv").write_text("x\n1\n")
    (box / "b.csv").write_text("x\n1\n")
    first = key("a.csv")
    os.utime(box / "a.csv", (1, 1))
    assert key("a.csv") == first
    assert key("b.csv") != first
    (box / "a.manifest.dsse.json").write_text("{}")
    signed = key("a.csv")
    assert signed != first
    (box / "a.csv").write_text("x\n2\n")
    assert key("a.csv") != signed


def test_hostile_entries_break_nothing(box: Path, watch: Watch) -> None:
    (box / "good.csv").write_text("x\n1\n")
    (box / "link").symlink_to("/etc")
    os.mkfifo(box / "pipe")
    (box / "loop").symlink_to(box)
    Path(os.fsdecode(bytes(box) + b"/bad\xff.csv")).write_text("x\n")
    (box / "new\nline.csv").write_text("x\n")
    many = box / "many"
    many.mkdir()
    for number in range(1100):
        (many / f"{number}.csv").touch()
    deep = box / "deep"
    for _ in range(60):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (box / "inner").mkdir()
    (box / "inner" / "tab\t.csv").write_text("x\n")
    (box / "_temporary").mkdir()
    watch(0.0)
    look = watch(60.0)
    problems = {one.name: one.problem for one in look.complete}
    assert problems.pop("good.csv") == ""
    assert problems.pop("many") == ""  # ingest refuses it with LIMIT
    assert set(problems) == {"link", "pipe", "loop", "deep", "inner"}
    assert all(problems.values())
    assert len(look.refused) == 2


def test_too_many_files_are_refused_by_the_limit_without_being_read(
    box: Path, tmp_path: Path
) -> None:
    (box / "many").mkdir()
    for number in range(1100):
        (box / "many" / f"{number}.csv").write_text("x\n1\n")
    listed = inbox.listing(box, "many", LIMITS)
    read = ingest(inbox.sources_of(listed, LIMITS), staging=tmp_path / "s", limits=LIMITS)
    assert [finding.evidence["code"] for finding in read.findings] == ["LIMIT"]
    assert inbox.delivery(listed, LIMITS).digest == read.digest


def test_a_damaged_memory_is_as_good_as_none(box: Path, watch: Watch, tmp_path: Path) -> None:
    (box / "a.csv").write_text("x\n1\n")
    watch(0.0)
    (memory,) = (tmp_path / "runs" / ".inbox").iterdir()
    for said in ("", "[]", '{"sightings":{"a.csv":{"fingerprint":"x","since":"y","digest":""}}}'):
        memory.write_text(said)
        assert names(watch(1000.0)) == []
    assert names(watch(1060.0)) == ["a.csv"]


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "/etc/passwd", ".hidden", "_x", "a\0b", "a\\b", "a\n", "x" * 201,
     "a.manifest.dsse.json", "a.contributors.json", "\udcff"],
)  # fmt: skip
def test_names_that_are_no_batch_are_refused(box: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        inbox.listing(box, name, LIMITS)


@given(st.text())
def test_no_accepted_name_leaves_the_inbox(name: str) -> None:
    if inbox.refusal(name):
        return
    path = Path("/inbox") / name
    assert path.parent == Path("/inbox")
    assert Path(os.path.normpath(path)) == path
