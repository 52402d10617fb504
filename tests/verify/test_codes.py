"""Each code that the training side uses is in its table, and the table is in the reference."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import auditor
from auditor.provenance.codes import CODES as PROVENANCE
from auditor.verify import CODES, NotVerified

PACKAGE = Path(auditor.__file__).parent / "verify"
REFERENCE = PACKAGE.parents[1] / "docs" / "reference" / "codes.md"


def used() -> set[str]:
    found = set()
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                found |= {
                    arg.value
                    for arg in node.args[:2]
                    if isinstance(arg, ast.Constant)
                    and isinstance(arg.value, str)
                    and re.fullmatch(r"[A-Z]+(?:_[A-Z]+)*", arg.value)
                }
    return found


def test_the_table_is_complete_and_holds_nothing_else() -> None:
    assert used() >= set(CODES)
    assert not set(CODES) & set(PROVENANCE), "one code, one meaning"
    unknown = used() - set(CODES) - set(PROVENANCE)
    assert unknown <= {"CHECKPOINT_ORIGIN", "PROOF_FORMAT"}, "those are codes of proofs"


def test_the_reference_shows_the_table() -> None:
    rows = dict(re.findall(r"^\| `([A-Z0-9_]+)` \| (.*) \|$", REFERENCE.read_text(), re.MULTILINE))
    assert {code: rows.get(code) for code in CODES} == {
        code: f"{meaning} | {remedy}" for code, (meaning, remedy) in CODES.items()
    }


def test_an_unknown_code_is_a_mistake_at_once() -> None:
    with pytest.raises(ValueError, match="NOT_A_CODE"):
        NotVerified("NOT_A_CODE", "message")
