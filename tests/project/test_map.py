"""The map in CONTRIBUTING.md names every module: nobody has to guess where a thing lives."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_module_is_on_the_map() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    here = ROOT / "auditor"
    modules = {path.stem for path in here.glob("[a-z]*.py")}
    folders = {f"{path.parent.name}/" for path in here.glob("*/__init__.py")}
    assert len(modules) > 50
    assert sorted(name for name in modules | folders if f"`{name}`" not in text) == []
