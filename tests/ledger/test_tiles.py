"""The log as plain files: the layout of c2sp.org/tlog-tiles, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditor.errors import LedgerError
from auditor.ledger import Ledger, LedgerTampered
from auditor.ledger.tiles import export, path_of, verify_export
from auditor.transparency.merkle import leaf_hash, levels
from auditor.transparency.refused import LogForked, LogRefused


@pytest.mark.parametrize(
    ("number", "width", "name"),
    [
        (0, 256, "000"),
        (7, 1, "007.p/1"),
        (999, 255, "999.p/255"),
        (1000, 256, "x001/000"),
        (1234067, 256, "x001/x234/067"),
    ],
)
def test_tiles_are_named_as_the_specification_says(number: int, width: int, name: str) -> None:
    assert path_of(number, width) == name


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def written(copy: Callable[[int, int], Any], tmp_path: Path) -> tuple[Any, Path]:
    database = copy(600, 200)
    folder = tmp_path / "tiles"
    assert export(database.ledger, folder).size == 600
    return database, folder


def test_the_files_are_those_of_the_tree(written: tuple[Any, Path]) -> None:
    database, folder = written
    assert files(folder) == {
        "checkpoint",
        *("tile/0/000", "tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2"),
        *("tile/entries/000", "tile/entries/001", "tile/entries/002.p/88"),
    }
    bodies = database.bodies()
    tree = levels(map(leaf_hash, bodies))
    assert (folder / "tile/0/001").read_bytes() == b"".join(tree[0][256:512])
    assert (folder / "tile/1/000.p/2").read_bytes() == b"".join(tree[8])
    first = len(bodies[512]).to_bytes(2, "big") + bodies[512]
    assert (folder / "tile/entries/002.p/88").read_bytes().startswith(first)


def test_an_export_verifies_by_its_files_and_goes_on(written: tuple[Any, Path]) -> None:
    database, folder = written
    first = verify_export(folder, [database.vkey])
    assert (first.entries, first.uncovered) == (600, 0)
    for number in range(600, 605):
        subject = database.batch(number)
        database.ledger.append("batch.received", at=database.now, via="gate", subject=subject)
    assert export(database.ledger, folder).size == 605
    again = verify_export(folder, [database.vkey], pin=first.newest)
    assert again.newest.checkpoint == database.ledger.newest().checkpoint
    with pytest.raises(LogRefused, match="LEDGER_ROLLBACK"):
        verify_export(folder, [database.vkey], pin=_later(database))


def _later(database: Any) -> Any:
    database.ledger.append("verdict", at=database.now, via="gate")
    return database.ledger.newest()


@pytest.mark.parametrize(
    "name",
    ["checkpoint", "tile/0/001", "tile/1/000.p/2", "tile/entries/001", "tile/entries/002.p/88"],
)
@pytest.mark.parametrize("what", ["flip", "cut", "grow", "remove"])
def test_any_file_that_was_changed_is_refused(
    written: tuple[Any, Path], name: str, what: str
) -> None:
    database, folder = written
    content = bytearray((folder / name).read_bytes())
    if what == "flip":
        content[len(content) // 2] ^= 4
    changed = {"cut": content[:-1], "grow": content + b"\0"}.get(what, content)
    (folder / name).write_bytes(changed)
    if what == "remove":
        (folder / name).unlink()
    with pytest.raises((LedgerError, LogRefused)):
        verify_export(folder, [database.vkey])


def test_a_forked_ledger_is_not_written_over_its_export(written: tuple[Any, Path]) -> None:
    database, folder = written
    bodies = database.bodies()
    database.rewrite([*bodies[:7], database.body_of(7, said="error"), *bodies[8:]])
    database.sign_anew(database.ledger)
    before = (folder / "checkpoint").read_bytes()
    with pytest.raises(LogForked):
        export(database.ledger, folder)
    assert (folder / "checkpoint").read_bytes() == before
    database.rewrite(bodies[:300], drop="size > 300")
    with pytest.raises((LogRefused, LedgerTampered)):
        export(database.ledger, folder)
    assert verify_export(folder, [database.vkey]).entries == 600


def test_a_ledger_that_contradicts_its_checkpoint_is_not_exported(
    written: tuple[Any, Path], tmp_path: Path
) -> None:
    database, _ = written
    bodies = database.bodies()
    database.rewrite([*bodies[:7], bodies[8], bodies[7], *bodies[9:]])
    with pytest.raises(LedgerTampered, match="not those of checkpoint 600"):
        export(Ledger(database.path), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_an_export_of_another_key_is_refused(written: tuple[Any, Path], tmp_path: Path) -> None:
    _, folder = written
    other = Ledger(tmp_path / "other.db")
    shutil.rmtree(folder / "tile" / "1")
    with pytest.raises(LogRefused, match="NOTE_UNKNOWN_KEY"):
        verify_export(folder, [_made(other)])


def _made(ledger: Ledger) -> Any:
    ledger.key.make()
    return ledger.key.public()
