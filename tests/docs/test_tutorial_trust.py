"""The commands of the trust tutorial, run one after another as they stand on the page."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tutorial-trust.md"
DIGEST = re.compile(r"\b[0-9a-f]{64}\b")
#: What differs from run to run, as it may be; digests are followed through the page.
VARIES = (
    (r"run=[0-9A-Z]{26}", r"run=[0-9A-Z]{26}"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", r"\d{4}-\d\d-\d\d \d\d:\d\d UTC"),
    (r"\.\.\.", r".*"),
)
CODES = [0, 0, 12, 0, 0, 0, 0, 0, 0, 1]


def pattern(lines: list[str]) -> re.Pattern[str]:
    """A pattern for output; a line `...` stands for any lines, each digest is a group."""
    text = "\n".join(lines)
    varies = "|".join([DIGEST.pattern, *(place for place, _ in VARIES)])
    made, end = "", 0
    for found in re.finditer(varies, text):
        made += re.escape(text[end : found.start()]) + _instead(found.group())
        end = found.end()
    return re.compile(made + re.escape(text[end:]) + r"\s*", re.DOTALL)


def _instead(text: str) -> str:
    if DIGEST.fullmatch(text):
        return r"([0-9a-f]{64})"
    return next(allowed for place, allowed in VARIES if re.fullmatch(place, text))


class Follower:
    """Someone who works through the page in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.codes, self.digests = folder, list[int](), dict[str, str]()
        scripts = Path(sys.executable).parent
        self.environment = {**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}"}

    def own(self, text: str) -> str:
        """With the digests that came out here in place of those on the page."""
        return DIGEST.sub(lambda found: self.digests.get(found.group(), found.group()), text)

    def call(self, command: str, lines: list[str]) -> None:
        done = subprocess.run(
            ["bash", "-c", self.own(command)],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.codes.append(done.returncode)
        found = pattern(lines).fullmatch(done.stdout)
        assert found, f"{command}\n--- said\n{done.stdout}\n--- on the page\n" + "\n".join(lines)
        self.digests.update(zip(DIGEST.findall("\n".join(lines)), found.groups(), strict=True))

    def work_through(self, blocks: list[Any]) -> None:
        for block in blocks:
            if block.language == "yaml":
                (self.folder / "auditor.yaml").write_text(self.own(block.text))
            elif block.language == "python":
                (self.folder / "train.py").write_text(self.own(block.text))
            elif block.language == "console":
                command, *lines = block.text.splitlines()
                assert command.startswith("$ "), block.place
                assert not any(line.startswith("$ ") for line in lines), block.place
                self.call(command[2:], lines)


def test_the_comparison_notices_another_output() -> None:
    said = pattern(["key 00" + "0" * 62, "...", "run=" + "A" * 26 + " 1/2 rows"])
    assert said.fullmatch(f"key {'a' * 64}\nx\ny\nrun={'B' * 26} 1/2 rows\n")
    assert not said.fullmatch(f"key {'a' * 64}\nx\ny\nrun={'B' * 26} 2/2 rows\n")
    assert not said.fullmatch(f"key {'a' * 63}\nx\ny\nrun={'B' * 26} 1/2 rows\n")


@pytest.mark.slow
def test_every_command_does_what_the_page_says(tmp_path: Path, every_block: list[Any]) -> None:
    """Two gate runs on 2,000 rows: half a minute."""
    blocks = [block for block in every_block if block.page == PAGE]
    shutil.copytree(ROOT / "sample_data" / "incoming", tmp_path / "sample_data" / "incoming")
    folder = tmp_path / "trust-tutorial"
    (folder / "inbox").mkdir(parents=True)
    shutil.copy(tmp_path / "sample_data/incoming/2024-07-15.parquet", folder / "inbox")
    follower = Follower(folder)
    follower.work_through(blocks)
    assert follower.codes == CODES
    assert len(follower.digests) == 3
