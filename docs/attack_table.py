"""Reads the table of attacks out of the tests, without importing one of them.

A test that plays a known attack says so in its name: `test_case_26_one_key_twice`. The attack in
words is the first line of its docstring, else the rest of its name. `test_case_41_to_44_times` and
`test_case_88_89_row_origin` are about several: there each parameter whose text begins with a
number, such as "42 expired", is a case of its own. Codes are the stable ones that stand there too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: The last number of the list, and numbers in it that stand for nothing: 96 has thirteen letters.
LAST: Final = 146
UNUSED: Final = frozenset(range(97, 108))

_NAME: Final = re.compile(r"test_case_(\d+)([a-z]?)(?:_to_(\d+)|((?:_\d+)+))?_(.+)")
_LABEL: Final = re.compile(r"(\d+)([a-z]?)(?: (.+))?")
_CODE: Final = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*")


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """One attack that a test plays: `codes` are those that the test's text names."""

    number: int
    letter: str
    words: str
    codes: tuple[str, ...]
    file: str


def cases(tests: Path, known: frozenset[str]) -> list[Case]:
    """Every case in the test files below `tests`; `known` are the stable codes."""
    found: set[Case] = set()
    for path in sorted(tests.rglob("test_*.py")):
        module = ast.parse(path.read_text("utf-8"), str(path))
        file = path.relative_to(tests.parent).as_posix()
        for node in module.body:
            if isinstance(node, ast.FunctionDef) and (name := _NAME.fullmatch(node.name)):
                found.update(_of_test(node, name, _Text(module, file, known)))
    return sorted(found)


def uncovered(found: Sequence[Case]) -> list[int]:
    """The numbers of the list that no test is named for."""
    return sorted(set(range(1, LAST + 1)) - UNUSED - {case.number for case in found})


@dataclass(frozen=True, slots=True)
class _Text:
    """Where a test stands."""

    module: ast.Module
    file: str
    known: frozenset[str]

    def codes(self, *nodes: ast.AST) -> tuple[str, ...]:
        """The stable codes in the strings below these nodes."""
        strings = [text for node in nodes for text in _strings(node)]
        words = [word for text in strings for word in _CODE.findall(text)]
        return tuple(sorted({word for word in words if word in self.known}))

    def parameters(self, test: ast.FunctionDef) -> Iterator[ast.expr]:
        """What the test is parametrised with, with the lists of the module that it names."""
        for decorator in test.decorator_list:
            yield decorator
            names = {node.id for node in ast.walk(decorator) if isinstance(node, ast.Name)}
            for node in self.module.body:
                if isinstance(node, ast.Assign | ast.AnnAssign) and names & _assigned(node):
                    yield from [node.value] if node.value else []


def _assigned(node: ast.Assign | ast.AnnAssign) -> set[str]:
    targets: Sequence[ast.expr] = node.targets if isinstance(node, ast.Assign) else [node.target]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _of_test(test: ast.FunctionDef, name: re.Match[str], text: _Text) -> Iterator[Case]:
    first, letter, last, more, rest = name.groups()
    said = (ast.get_docstring(test) or rest.replace("_", " ")).splitlines()[0].rstrip(".")
    numbers = [int(first), *map(int, (more or "").split("_")[1:])]
    parameters = list(text.parameters(test))
    if last or more:
        numbers = list(range(int(first), int(last) + 1)) if last else numbers
        labelled = _of_parameters(parameters, text, text.codes(*test.body))
        if found := [case for case in labelled if case.number in numbers]:
            yield from found
            return
    codes = text.codes(*test.body, *parameters)
    yield from (Case(number, letter, said, codes, text.file) for number in numbers)


def _of_parameters(
    parameters: Sequence[ast.expr], text: _Text, asserted: tuple[str, ...]
) -> Iterator[Case]:
    """A case for each tuple, `pytest.param` or lone string that is labelled with a number."""
    nodes = [node for each in parameters for node in ast.walk(each)]
    inside: set[ast.expr] = set()
    for node in nodes:
        parts = _parts(node)
        inside.update(parts)
        if isinstance(node, ast.Constant) and node not in inside:
            parts = [node]
        words = [word for word in map(_shown, parts) if word is not None]
        for place, word in enumerate(words):
            if label := _LABEL.fullmatch(word):
                said = label[3] or (words[place + 1] if place + 1 < len(words) else "")
                codes = text.codes(*parts) or asserted
                yield Case(int(label[1]), label[2], said, codes, text.file)
                break


def _parts(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Tuple):
        return node.elts
    called = node.func if isinstance(node, ast.Call) else None
    if isinstance(called, ast.Attribute) and called.attr == "param":
        assert isinstance(node, ast.Call)
        return [*node.args, *(keyword.value for keyword in node.keywords)]
    return []


def _shown(node: ast.expr) -> str | None:
    """A string; of an f-string what does not vary."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_shown(part) or "…" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _strings(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value
