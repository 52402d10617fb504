"""Links resolve, generated parts are current, tables agree with the code."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

from auditor.cli.common import Exit
from auditor.detectors import EVERY
from auditor.model import ATTACKS
from auditor.provenance.codes import CODES
from auditor.site import all_rules

ROOT = Path(__file__).resolve().parents[2]
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
#: What the README calls the attacks that no rule is built to see.
UNSEEN = {
    "boundary-flip": "flips near the decision boundary",
    "baseline-poisoning": "a poisoned baseline",
    "gate-evasion": "triggers spread to evade the gate",
    "framing": "framing of honest contributors",
}


def pages() -> list[Path]:
    return [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def broken(page: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    path = (page.parent / name).resolve() if name else page
    if not path.exists():
        return True
    return bool(anchor) and anchor not in anchors(path)


def test_links_between_pages_resolve() -> None:
    links = [
        (page, target)
        for page in pages()
        for target in _LINK.findall(page.read_text("utf-8"))
        if "://" not in target
    ]
    assert len(links) > 60
    wrong = [
        f"{page.relative_to(ROOT)}: {target}" for page, target in links if broken(page, target)
    ]
    assert not wrong, "\n".join(wrong)


def test_generated_pages_are_current(generator: ModuleType) -> None:
    outdated = [
        str(path.relative_to(ROOT))
        for path, text in generator.pages()
        if not path.is_file() or path.read_text("utf-8") != text
    ]
    assert not outdated, f"run `python docs/generate.py`: {', '.join(outdated)}"


def test_the_generator_notices_a_change(generator: ModuleType, monkeypatch, capsys) -> None:
    monkeypatch.setattr(generator, "rule_table", lambda: "something else")
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    assert generator.main() == 1
    assert "rules/README.md" in capsys.readouterr().out


def test_exit_code_tables_agree_with_the_code() -> None:
    for page in (ROOT / "README.md", ROOT / "docs" / "reference" / "exit-codes.md"):
        found = [int(n) for n in re.findall(r"^\| (\d+) \|", page.read_text("utf-8"), re.MULTILINE)]
        assert sorted(found) == sorted(int(code) for code in Exit), page.name


def test_the_help_names_every_exit_code() -> None:
    import typer

    from auditor.cli import app

    epilog = typer.main.get_command(app).epilog or ""
    assert {int(n) for n in re.findall(r"\d+", epilog)} == {int(code) for code in Exit}


def test_the_readme_names_the_attacks_that_no_rule_sees() -> None:
    unseen = set(ATTACKS) - {attack for rule in all_rules().values() for attack in rule.attacks}
    assert unseen == set(UNSEEN), "a rule came or went: say so in README.md and here"
    readme = re.sub(r"\s+", " ", (ROOT / "README.md").read_text("utf-8"))
    paragraph = readme[readme.index("It has **no rule** against") :]
    assert all(phrase in paragraph[:700] for phrase in UNSEEN.values())


def test_every_rule_has_a_page_with_the_same_sections() -> None:
    for rule in all_rules():
        text = (ROOT / "docs" / "reference" / "rules" / f"{rule}.md").read_text("utf-8")
        heads = ("looks for", "How it decides", "What it misses", "Evidence", "How to fix or")
        assert all(f"## What it {h}" in text or f"## {h}" in text for h in heads), rule


def test_options_of_rules_are_explained() -> None:
    import dataclasses

    for detector in EVERY:
        page = ROOT / "docs" / "reference" / "rules" / f"{detector.rule.id}.md"
        prose = page.read_text("utf-8").partition("<!-- end of the generated part -->")[2]
        for option in dataclasses.fields(detector.options):
            assert f"`{option.name}`" in prose, f"{page.name}: {option.name}"


def test_codes_have_a_line_in_the_reference() -> None:
    text = (ROOT / "docs" / "reference" / "codes.md").read_text("utf-8")
    assert all(f"`{code}`" in text for code in CODES)


def test_evidence_keys_in_the_detectors_are_documented() -> None:
    """Only literal keys of evidence dictionaries; names that are computed are not seen."""
    for detector in EVERY:
        source = Path(sys.modules[detector.__module__].__file__ or "").read_text("utf-8")
        keys = set(re.findall(r'^\s+"([a-z_]+)": ', source, re.MULTILINE))
        page = ROOT / "docs" / "reference" / "rules" / f"{detector.rule.id}.md"
        text = page.read_text("utf-8")
        # Severities, and what is stored as thresholds.
        known = {"critical", "warning", "info", "classes", "references", "dispersion"}
        known |= {"reference", "missing", "seed", "noise", "spreads", "temperature"}
        known |= {"panel", "folds"}
        missing = {key for key in keys - known if f"`{key}`" not in text}
        assert not missing, f"{page.name}: {sorted(missing)}"
