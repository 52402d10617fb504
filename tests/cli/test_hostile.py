"""Hostile cells, names, labels and files in everything that a real run writes or prints."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pytest

#: What breaks out of HTML, Markdown, a terminal, a spreadsheet, SARIF and a workflow command.
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    '=HYPERLINK("http://evil","x")',
    "@SUM(1+1)*cmd|'/C calc'!A0",
    "\x1b[31mred\x1b[0m\x1b]0;title\x07",
    "[click](javascript:alert(1)) ![](http://evil/x.png) `code` | cell |",
    "\u202egnp.exe \u200b\u2066hidden",
    "first\r\n::error::forged\nsecond",
    "{0} {{message}} $(id) ${HOME}",
    "-2+3+cmd",
]


class Tags(HTMLParser):
    """Every tag and attribute of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def attacked(
    tmp_path_factory: pytest.TempPathFactory, site_at: Callable[[str, Path], Any]
) -> tuple[Any, Any, Path]:
    """A site, how the gate over a hostile batch ended there, and the folder of that run.

    File, columns, ids, contributors, labels and cells are hostile; 60 of the rows are copies.
    """
    site = site_at("hostile", tmp_path_factory.mktemp("hostile"))
    table = site.rows(200, 6)
    cells = [HOSTILE[number % len(HOSTILE)] for number in range(200)]
    table = table.append_column("=note<b>", pa.array(cells))
    table = table.set_column(0, "id", pa.array([f"{cell}-{n}" for n, cell in enumerate(cells)]))
    table = table.set_column(3, "who", pa.array(cells))
    labels = table["label"].to_pylist()
    labels = [HOSTILE[n % 2] if n % 3 == 0 else label for n, label in enumerate(labels)]
    table = table.set_column(4, "label", pa.array(labels))
    site.write("in/<b>=1+1&a.parquet", site.copies(table, 60))
    # More than half of these rows look bad; they are to reach every output all the same.
    site.configure(
        roles={**site.settings["roles"], "ignored": ["=note<b>"]},
        policy={**site.settings.get("policy", {}), "limits": {"batch_share": 1.0}},
    )
    done = site.auditor("gate", "in")
    (run,) = site.visible("runs")
    return site, done, run


def test_the_batch_is_judged(attacked: tuple[Any, Any, Path]) -> None:
    site, done, _ = attacked
    assert done.code == 10, (done.out, done.err)
    assert site.report()["rows_quarantined"] >= 60


def test_stdout_and_stderr_obey_nobody(attacked: tuple[Any, Any, Path]) -> None:
    _, done, _ = attacked
    for text in (done.out, done.err):
        assert all(c.isprintable() or c == "\n" for c in text)
        assert not any(line.startswith("::") for line in text.splitlines())


def test_html_holds_no_tag_of_theirs(attacked: tuple[Any, Any, Path]) -> None:
    page = (attacked[2] / "report.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(page)
    names = {tag for tag, _ in tags.found}
    assert not names & {"img", "iframe", "object", "embed", "base", "form"}
    attributes = {name for _, found in tags.found for name in found}
    assert not {name for name in attributes if name.startswith("on")}
    links = [found.get("href") or "" for _, found in tags.found if "href" in found]
    assert [link for link in links if link.startswith(("javascript:", "http://evil"))] == []
    assert "&lt;script&gt;" in page, "the cells are shown"
    assert "<script>alert" not in page
    assert "\x1b" not in page


def test_markdown_holds_no_link_of_theirs(attacked: tuple[Any, Any, Path]) -> None:
    text = (attacked[2] / "report.md").read_text(encoding="utf-8")
    assert "<script>" not in text
    assert "](javascript" not in text
    assert "http://evil" not in re.sub(r"`[^`]*`", "", text)
    assert not any(line.startswith("::") for line in text.splitlines())
    assert all(c.isprintable() or c == "\n" for c in text)


def test_json_and_sarif_are_ascii_or_escaped(attacked: tuple[Any, Any, Path]) -> None:
    for name in ("report.json", "findings.sarif"):
        text = (attacked[2] / name).read_text(encoding="utf-8")
        assert not any(ord(c) < 32 and c != "\n" for c in text), name
        json.loads(text)
    sarif = json.loads((attacked[2] / "findings.sarif").read_text(encoding="utf-8"))
    messages = [result["message"]["text"] for result in sarif["runs"][0]["results"]]
    assert messages
    assert not any("](" in text for text in messages)


def test_junit_is_xml_of_our_own(attacked: tuple[Any, Any, Path]) -> None:
    root = ElementTree.fromstring((attacked[2] / "junit.xml").read_bytes())
    known = {"testsuites", "testsuite", "testcase", "failure", "error", "skipped"}
    assert {node.tag for node in root.iter()} <= known | {"properties", "property", "system-out"}


def formulas(text: str) -> list[str]:
    cells = (cell for row in csv.reader(io.StringIO(text)) for cell in row)
    return [cell for cell in cells if cell.lstrip().startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_no_cell_of_a_csv_is_a_formula(attacked: tuple[Any, Any, Path], tmp_path: Path) -> None:
    site, _, run = attacked
    listed = (run / "quarantine.csv").read_text(encoding="utf-8")
    assert len(list(csv.reader(io.StringIO(listed)))) >= 61
    assert formulas(listed) == []
    target = tmp_path / "rows.csv"
    assert site.call("quarantine", "export", "latest", "-o", target).code == 0
    exported = target.read_text(encoding="utf-8")
    numbers = [cell for cell in formulas(exported) if not re.fullmatch(r"-?[0-9.e-]+", cell)]
    assert numbers == []


def test_what_is_printed_afterwards_obeys_nobody(attacked: tuple[Any, Any, Path]) -> None:
    site, _, _ = attacked
    row = next(f["samples"][0]["row"] for f in site.report()["findings"] if f["samples"])
    commands = [
        ("quarantine", "show"),
        ("quarantine", "list"),
        ("explain", "latest", str(row)),
        ("history",),
        ("report", "--format", "text"),
        ("report", "--format", "github"),
        ("baseline", "show", "baseline"),
    ]
    for command in commands:
        done = site.call(*command)
        assert done.code == 0, (command, done.err)
        assert done.out, command
        assert all(c.isprintable() or c == "\n" for c in done.out), command
        forged = [line for line in done.out.splitlines() if line.startswith("::error::forged")]
        assert forged == [], command


def test_the_rows_themselves_are_kept_as_they_came(attacked: tuple[Any, Any, Path]) -> None:
    import pyarrow.parquet as pq

    site, _, _ = attacked
    (folder,) = site.visible("quarantine")
    assert set(pq.read_table(folder / "rows.parquet")["=note<b>"].to_pylist()) <= set(HOSTILE)
    (folder,) = site.visible("published")
    (path,) = folder.glob("*.parquet")
    assert path.name == "auditor-00000.parquet", "a name of theirs that is not plain is not used"


@pytest.mark.parametrize("name", ["a\x1b[31m.csv", "a\nb.csv", "a\\b.csv"])
def test_a_file_name_that_no_listing_can_hold_is_refused(bare: Any, name: str) -> None:
    bare.write(name, "id,x,label\nr1,1,a\n")
    done = bare.call("audit", ".", "--profile", "quick")
    assert done.code == 2
    assert "control characters or a backslash in the name" in done.err
    assert bare.visible("runs") == []


def test_no_samples_leaves_values_out_everywhere(site: Any) -> None:
    secret = "Xq7-secret-value"
    table = site.rows(200, 6)
    table = table.set_column(0, "id", pa.array([f"{secret}-{n}" for n in range(200)]))
    table = site.copies(table.append_column("note", pa.array([secret] * 200)), 30)
    site.write("in/a.parquet", table)
    site.configure(roles={**site.settings["roles"], "ignored": ["note"]})
    outputs = [f"-o{form}=out.{form}" for form in ("json", "html", "md", "sarif", "junit", "text")]
    done = site.call(
        "audit", "in/a.parquet", "--profile", "quick", "--no-samples", "--format", "json", *outputs
    )
    assert done.code == 0, done.err
    assert any(finding["samples"] for finding in json.loads(done.out)["findings"])
    assert secret not in done.out
    for form in ("json", "html", "md", "sarif", "junit", "text"):
        assert secret not in (site.root / f"out.{form}").read_text(encoding="utf-8"), form
