"""The table of attacks is what the tests say: read from a file of tests made here."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]

TESTS = '''
import nothing_that_can_be_imported

MANY = [("41 future", 1, "TIME_FUTURE"), pytest.param(2, id="42b over"), ("-", 3, "EXPIRED")]

def test_case_26_one_key_twice():
    assert refused == "SIGNATURE_THRESHOLD"

def test_case_96a_edit():
    """Change | an entry.

    More words.
    """

@pytest.mark.parametrize("x", MANY)
def test_case_41_to_44_times(x):
    assert code == "EXPIRED"

def test_case_88_89_rows():
    """Two at once."""

@pytest.mark.parametrize("how", ["83 rename", "84 in place"])
def test_case_83_to_85_swap(how):
    pass

def test_of_something_else():
    assert "REPLAY"
'''


@pytest.fixture(scope="module")
def table() -> ModuleType:
    spec = importlib.util.spec_from_file_location("attack_table", ROOT / "docs/attack_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_names_docstrings_and_parameters_are_read(table: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_some.py").write_text(TESTS)
    known = frozenset({"SIGNATURE_THRESHOLD", "TIME_FUTURE", "EXPIRED", "REPLAY"})
    found = table.cases(tmp_path / "tests", known)
    assert [(f"{c.number}{c.letter}", c.words, c.codes) for c in found] == [
        ("26", "one key twice", ("SIGNATURE_THRESHOLD",)),
        ("41", "future", ("TIME_FUTURE",)),
        ("42b", "over", ("EXPIRED",)),
        ("83", "rename", ()),
        ("84", "in place", ()),
        ("88", "Two at once", ()),
        ("89", "Two at once", ()),
        ("96a", "Change | an entry", ()),
    ]
    assert {c.file for c in found} == {"tests/test_some.py"}
    missing = set(table.uncovered(found))
    assert missing >= {1, 25, 43, 44, 85, 95, 108, 146}
    assert not missing & {26, 41, 42, 96, 97, 107, 147}


def test_every_number_of_the_list_has_a_test(table: ModuleType) -> None:
    assert table.uncovered(table.cases(ROOT / "tests", frozenset())) == []
