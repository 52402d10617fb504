"""Each code that the package uses is in the table, and the table is in the reference."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from auditor import signing
from auditor.provenance import codes
from auditor.provenance.codes import CODES
from auditor.provenance.refused import Refused

ROOT = Path(codes.__file__).parents[1]
REFERENCE = ROOT.parent / "docs" / "reference" / "codes.md"
CALLS = {"Refused", "KeyRefused", "Claim", "_claim"}


def sources() -> list[Path]:
    """Every file that may refuse with a code."""
    pure = [path for name in ("provenance", "trust") for path in (ROOT / name).glob("*.py")]
    return [path for path in [*pure, Path(signing.__file__)] if path != Path(codes.__file__)]


def refused_with() -> set[str]:
    """The constants that refusals and claims are made with."""
    found: set[str] = set()
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                first = node.args[0]
                if node.func.id in CALLS and isinstance(first, ast.Constant):
                    found.add(str(first.value))
    return found


def written() -> set[str]:
    """Every text constant of the package, outside the table itself."""
    found: set[str] = set()
    for path in [path for path in ROOT.rglob("*.py") if path != Path(codes.__file__)]:
        nodes = ast.walk(ast.parse(path.read_text()))
        found |= {str(node.value) for node in nodes if isinstance(node, ast.Constant)}
    return found


def test_the_table_is_complete_and_holds_nothing_else() -> None:
    assert refused_with() - set(CODES) == set()
    assert set(CODES) - written() == set()


def test_the_reference_shows_the_table() -> None:
    rows = dict(re.findall(r"^\| `([A-Z0-9_]+)` \| (.*) \|$", REFERENCE.read_text(), re.MULTILINE))
    shown = {code: f"{meaning} | {remedy}" for code, (meaning, remedy) in CODES.items()}
    assert {code: rows.get(code) for code in CODES} == shown


def test_an_unknown_code_is_a_mistake_at_once() -> None:
    with pytest.raises(ValueError, match="NOT_A_CODE"):
        Refused("NOT_A_CODE", "message")
