"""`auditor verify --exec`: the command reads what was verified, whatever happens while it runs."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from auditor.provenance.entries import FileEntry
from auditor.verify import NotVerified, Verified, sealed
from auditor.verify.materialise import materialised

RESOURCE = "vendor-a/stones@2026-11-22"
VERIFIER = "https://gate.test/prod"


@pytest.fixture(params=["sealed", "on disk"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to hand files over."""
    if request.param == "on disk":
        monkeypatch.setattr(sealed, "why_not", lambda _: "no room")
    return str(request.param)


def run(world: Any, program: str, *more: str) -> tuple[int, str]:
    """Run a Python program on the verified folder; exit code, and what the command said."""
    from auditor.cli import app

    status = world.root / "status.dsse.json"
    status.write_bytes(world.status())
    public = world.root / "status.pub"
    from auditor.provenance import keys

    public.write_bytes(keys.public_half(world.online).pem())
    arguments = [
        "verify", world.published, "--resource", RESOURCE, "--gate-key", world.root / "gate.pub",
        "--verifier", VERIFIER, "--ledger-key", world.vkey, "--status-key", public,
        "--status", status, "--exec", "--", sys.executable, "-c", program, "{}", *more,
    ]  # fmt: skip
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stderr


#: The start of a program: `file` is the only file of the folder.
ONE = "import sys, pathlib as p; (file,) = p.Path(sys.argv[1]).iterdir(); "


def test_it_says_how_the_files_are_handed_over(world: Any, way: str) -> None:
    """Never silently: a copy on disk is weaker than sealed memory."""
    code, said = run(world, "")
    assert code == 0, said
    assert ("1 file(s), sealed in memory" in said) == (way == "sealed")
    assert ("private copy on disk (no room)" in said) == (way == "on disk")


def test_the_published_file_is_swapped_edited_and_grown_meanwhile(
    world: Any, way: str, tmp_path: Path
) -> None:
    """What the command reads has nothing to do with the published folder any more."""
    expected, out = world.data.read_bytes(), tmp_path / "read"
    attack = (
        "data = p.Path(sys.argv[2]); data.chmod(0o644); "
        "open(data, 'r+b').write(b'poison'); open(data, 'ab').write(b'more'); "
        "other = data.with_name('other'); other.write_bytes(b'poison'); other.replace(data); "
    )
    read = "p.Path(sys.argv[3]).write_bytes(file.read_bytes())"
    code, said = run(world, ONE + attack + read, str(world.data), str(out))
    assert code == 0, said
    assert world.data.read_bytes() == b"poison"
    assert out.read_bytes() == expected


#: What a process of the same user, even root, may try on a file that it was given.
ATTACKS = {
    "edit": "fd = os.open(file, os.O_RDWR); os.pwrite(fd, b'x', 9)",
    "grow": "fd = os.open(file, os.O_RDWR); os.ftruncate(fd, 10**7)",
    "shrink": "fd = os.open(file, os.O_RDWR); os.ftruncate(fd, 10)",
    "map": "import mmap; fd = os.open(file, os.O_RDWR); mmap.mmap(fd, 0)[9] = 1",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_nobody_can_write_to_what_is_sealed(world: Any, attack: str, tmp_path: Path) -> None:
    """The kernel says no; what the command reads afterwards is what was verified."""
    expected, out = world.data.read_bytes(), tmp_path / "read"
    program = (
        f"import os\n{ONE}\nfile.chmod(0o600)\n"
        f"try:\n    {ATTACKS[attack]}\nexcept PermissionError as error:\n"
        "    p.Path(sys.argv[2]).write_bytes(bytes([error.errno]) + file.read_bytes())\n"
    )
    run(world, program, str(out))
    assert out.read_bytes() == bytes([errno.EPERM]) + expected


def test_a_copy_on_disk_that_is_edited_is_found_out(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its user can change it; then what the command made is not to be used."""
    monkeypatch.setattr(sealed, "why_not", lambda _: "no room")
    edit = "file.chmod(0o600); content = file.read_bytes(); file.write_bytes(content[:-1] + b'x'); "
    for program in (edit, edit + "file.write_bytes(content)"):  # put back: found out all the same
        code, said = run(world, ONE + program)
        assert (code, "CHANGED_MEANWHILE" in said) == (13, True), said


SWAP = (
    "folder = file.parent; folder.chmod(0o700); kept = folder.with_name('kept'); "
    "file.rename(kept); file.write_bytes(b'poison'); file.read_bytes(); "
)


@pytest.mark.parametrize("back", ["", "kept.replace(file); folder.chmod(0o500)"])
def test_a_swap_in_the_folder_is_found_out(world: Any, way: str, back: str) -> None:
    """Another file under the name, and the first one put back before the command ends."""
    code, said = run(world, ONE + SWAP + back)
    assert (code, "CHANGED_MEANWHILE" in said) == (13, True), said
    code, said = run(world, f"{ONE}file.parent.chmod(0o700); (file.parent / 'new').touch()")
    assert (code, "CHANGED_MEANWHILE" in said) == (13, True), said


def test_what_is_hashed_is_the_sealed_file(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody writes to the memory after it was filled and before it is sealed."""
    real = os.fchmod

    def edited(descriptor: int, mode: int) -> None:
        os.pwrite(descriptor, b"x", 100)
        real(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", edited)
    with pytest.raises(NotVerified, match="FILE_DIGEST"), materialised(world.verify()):
        pass


def test_a_process_of_the_command_reads_the_same(world: Any, tmp_path: Path) -> None:
    """Workers that are started without their parent's descriptors find the files too."""
    inner = "import sys; open(sys.argv[2], 'wb').write(open(sys.argv[1], 'rb').read())"
    program = (
        f"import subprocess; {ONE}"
        f"subprocess.run([sys.executable, '-c', {inner!r}, file, sys.argv[2]], check=True)"
    )
    assert run(world, program, str(tmp_path / "read"))[0] == 0
    assert (tmp_path / "read").read_bytes() == world.data.read_bytes()


def test_folders_are_links_to_what_the_attestation_lists(world: Any, way: str) -> None:
    rows = world.rows.drop_columns(["who"])
    world.of_files({"who=a/x.parquet": rows, "who=b/x.parquet": rows.slice(1)})
    with materialised(world.verify()) as folder:
        found = [p.relative_to(folder.path).as_posix() for p in folder.path.rglob("*.parquet")]
        assert sorted(found) == ["who=a/x.parquet", "who=b/x.parquet"]
        assert [(folder.path / name).is_symlink() for name in found] == [way == "sealed"] * 2
        for name in found:
            assert (folder.path / name).read_bytes() == (world.published / name).read_bytes()
        top = folder.path.parent
    assert not top.exists()


def test_descriptors_and_memory_are_given_back(world: Any) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    verified: Verified = world.verify()
    before = descriptors()
    with materialised(verified):
        assert descriptors() == before + 1
    world.write(world.data.name, world.data.read_bytes()[:-1] + b"x")
    with pytest.raises(NotVerified), materialised(verified):
        pass
    assert descriptors() == before


def _refusing(error: int) -> Callable[..., int]:
    def refuse(*_: Any) -> int:
        raise OSError(error, os.strerror(error))

    return refuse


def test_where_the_system_gives_no_memory(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is said, and the files are copies."""
    monkeypatch.setattr(os, "memfd_create", _refusing(errno.EMFILE))
    code, said = run(world, "")
    assert (code, "private copy on disk (Too many open files)" in said) == (0, True), said


def test_what_does_not_fit() -> None:
    assert sealed.why_not(1) is None
    assert "memory" in str(sealed.why_not(10**15))


def test_a_source_that_grows_is_not_copied_for_ever() -> None:
    class Endless:
        size, grain = 5, 1 << 20

        def read_into(self, offset: int, target: memoryview) -> int:
            return len(target)

        def close(self) -> None:
            pass

    with pytest.raises(NotVerified, match="FILE_SIZE"):
        sealed.sealed(Endless(), FileEntry(name="a", sha256="0" * 64, size=5, rows=0))
