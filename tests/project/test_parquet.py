"""How Parquet is read: a reading ahead that is still under way at exit aborts the process.

`terminate called without an active exception`, exit 134, after all was written: github.com/apache/
arrow/issues/34314. One in ten short processes did so that called `read_table` four times; none of
those that used `ParquetFile`, or did not read ahead.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]


def calls(name: str) -> list[tuple[str, ast.Call]]:
    files = (*(ROOT / "auditor").rglob("*.py"), *(ROOT / "flows").rglob("*.py"))
    return [
        (f"{path.relative_to(ROOT)}:{node.lineno}", node)
        for path in files
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", None) == name
    ]


def test_no_table_is_read_ahead() -> None:
    every = calls("read_table")
    ahead = [
        place
        for place, call in every
        if not any(
            word.arg == "pre_buffer"
            and isinstance(word.value, ast.Constant)
            and word.value.value is False
            for word in call.keywords
        )
    ]
    assert len(every) > 3
    assert ahead == []
    assert calls("read_parquet") == []  # pandas and polars read ahead by themselves
