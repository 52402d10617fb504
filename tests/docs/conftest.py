"""The pages people read, and the code blocks in them."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("sample_data/*.md")],
    key=str,
)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_OPERATORS = {"|", "||", "&&", ";", ">", ">>", "<", "&", "(", ")", ";;"}


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, its language and its text."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text("utf-8")
    for found in _FENCE.finditer(text):
        yield Block(page, text[: found.start()].count("\n") + 1, found[1], found[2])


def commands(block: Block) -> Iterator[list[str]]:
    """Every simple command of a shell block, or of the `run:` lines of a YAML block, as words."""
    for line in _lines(block):
        words: list[str] = []
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        for word in lexer:
            if word in _OPERATORS:
                yield words
                words = []
            else:
                words.append(word)
        yield words


def _lines(block: Block) -> Iterator[str]:
    text = block.text.replace("\\\n", " ")
    if block.language == "console":
        yield from (line[2:] for line in text.splitlines() if line.startswith("$ "))
    elif block.language == "bash":
        yield from (line for line in text.splitlines() if line and not line.endswith(" in"))
    elif block.language == "yaml":
        yield from re.findall(r"^\s*(?:- )?run: (auditor .*)$", text, re.MULTILINE)


@pytest.fixture(scope="session")
def every_command() -> list[tuple[str, list[str]]]:
    """(place, words) of each command in the documentation that is not empty."""
    return [
        (block.place, words)
        for page in PAGES
        for block in blocks(page)
        for words in commands(block)
        if words
    ]


@pytest.fixture(scope="session")
def every_block() -> list[Block]:
    return [block for page in PAGES for block in blocks(page)]


@pytest.fixture(scope="session")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
