"""Commands in the documentation exist, with these options; settings in it can be loaded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from auditor.cli import app
from auditor.config import load
from auditor.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
#: What a command line that cannot be parsed raises (typer does not export it by name).
USAGE = typer.BadParameter.__mro__[1]


def parse(words: list[str]) -> str | None:
    """What is wrong with an `auditor ...` line, or None."""
    command: Any = typer.main.get_command(app)
    rest = words[1:]
    while hasattr(command, "commands"):
        if not rest or rest[0].startswith("-"):
            return None
        if rest[0] not in command.commands:
            return f"no command {rest[0]!r}"
        command, rest = command.commands[rest[0]], rest[1:]
    try:
        command.make_context(words[0], list(rest))
    except typer.Exit:  # --help
        return None
    except USAGE as error:
        return str(error) or type(error).__name__
    return None


def test_the_parser_of_this_test_refuses_what_does_not_exist() -> None:
    assert parse(["auditor", "gate", "x", "--observe"]) is None
    assert parse(["auditor", "gait", "x"]) == "no command 'gait'"
    assert "--obverse" in str(parse(["auditor", "gate", "x", "--obverse"]))
    assert parse(["auditor", "gate"]) is not None
    assert parse(["auditor", "baseline", "bild"]) == "no command 'bild'"
    assert parse(["auditor", "gate", "x", "--format", "pdf"]) is not None


def test_every_auditor_command_parses(every_command: list[tuple[str, list[str]]]) -> None:
    ours = [(p, ["auditor", *w[1:]]) for p, w in every_command if Path(w[0]).name == "auditor"]
    assert len(ours) > 30
    wrong = [f"{place}: {' '.join(words)}: {parse(words)}" for place, words in ours if parse(words)]
    assert not wrong, "\n".join(wrong)


def test_every_make_target_exists(every_command: list[tuple[str, list[str]]]) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    wanted = {(p, w[1]) for p, w in every_command if w[0] == "make" and len(w) > 1}
    assert {name for _, name in wanted} >= {"demo", "test"}
    missing = [f"{p}: {n}" for p, n in wanted if not re.search(rf"^{n}:", makefile, re.MULTILINE)]
    assert not missing


def test_settings_in_the_documentation_can_be_loaded(
    every_block: list[Any], tmp_path: Path
) -> None:
    ours = [
        b
        for b in every_block
        if b.language == "yaml" and not re.search(r"^\s*- ", b.text, re.MULTILINE)
    ]
    assert len(ours) >= 3
    for block in ours:
        path = tmp_path / "auditor.yaml"
        path.write_text(block.text, "utf-8")
        try:
            load(path, {}, strict_permissions=False, files_must_exist=False)
        except ConfigError as error:
            pytest.fail(f"{block.place}: {error}")


def test_extras_in_the_readme_exist() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = set(re.findall(r"\.\[(\w+)\]", (ROOT / "README.md").read_text("utf-8")))
    assert named == set(project["optional-dependencies"])
