"""Hostile values in every place of a report, read back with a real parser of each format."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any, Final
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt

from auditor.formats import escape, html, junit, markdown, report_json, sarif, text
from auditor.report_records import Report

HOSTILE: Final = {
    "script": "<script>alert(1)</script>",
    "attribute": "\"><img src=x onerror=alert(1)> ' onmouseover='alert(1)",
    "style": "</style></title></textarea></svg><script>alert(1)</script>",
    "comment": "--><script>alert(1)</script><!--",
    "entity": "&lt;script&gt;&#60;b&#x3e;&amp;&nbsp",
    "formula": "=cmd()|' /C calc'!A0",
    "ansi": "\x1b[2J\x1b[31mred\x1b]0;title\x07\x9b1m",
    "bidi": "\u202egpj.exe\u2066x\u2069\u200b\u200f",
    "pipes": "a|b||c\\|d",
    "backticks": "`one` ``two`` ```three",
    "newlines": "one\r\n\r\n# heading\n\n- item\n\n---\n\n    code\n| a |\n|---|",
    "nul": "nul\x00\x01\x08\x0b\x0cbyte\uffff\ufffe\ufdd0",
    "link": "[click](javascript:alert(1)) ![x](javascript:alert(2)) <javascript:alert(3)>",
    "url": "https://example.invalid/x www.example.invalid a@example.invalid",
    "mention": "@everyone #1 $x$ :smile: ~~s~~ **b** __u__",
    "cdata": "]]><failure message='x'/><![CDATA[",
    "placeholder": "{0} {{1}} %s ${x} {{7*7}}",
    "surrogate": "\ud800 \udc80 \udcff",
    "backslash": "\\ \\\\ \\` \\| \\[",
    "path": "../../etc/passwd C:\\x //host/share file:///x",
    "html block": "<div>\n<table><tr><td>x</td></tr></table>\n</div>",
    "empty": "",
    "long": "<\x1b|`" * 250_000,
}
Build = Callable[[str], Report]

ELEMENTS: Final = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "a",
    "div",
    "nav",
    "ol",
    "ul",
    "li",
    "main",
    "header",
    "h1",
    "h2",
    "h3",
    "h4",
    "p",
    "span",
    "strong",
    "small",
    "code",
    "section",
    "table",
    "caption",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "dl",
    "dt",
    "dd",
    "details",
    "summary",
    "article",
    "mark",
    "figure",
    "footer",
    "pre",
    "svg",
    "path",
    "circle",
    "rect",
    "wbr",
}
ATTRIBUTES: Final = {
    "charset",
    "class",
    "content",
    "href",
    "http-equiv",
    "id",
    "lang",
    "name",
    "scope",
    "open",
    "colspan",
    "tabindex",
    "role",
    "aria-label",
    "aria-labelledby",
    "aria-hidden",
    "viewbox",
    "preserveaspectratio",
    "x",
    "y",
    "width",
    "height",
    "d",
    "cx",
    "cy",
    "r",
}
VOID: Final = {"meta", "wbr"}


@pytest.fixture(params=HOSTILE)
def value(request: pytest.FixtureRequest) -> str:
    return HOSTILE[request.param]


class Page(HTMLParser):
    """Keeps elements, attributes and text; every element must be closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        pytest.fail(f"a comment: {data[:60]!r}")

    def unknown_decl(self, data: str) -> None:
        pytest.fail(f"a declaration: {data[:60]!r}")


def test_html_holds_only_our_elements(hostile: Build, value: str) -> None:
    page = Page(html.render(hostile(value)))
    assert page.open == []
    assert page.elements <= ELEMENTS
    assert {name for name, _ in page.attributes} <= ATTRIBUTES
    assert all(
        found is None or found[:1] == "#" for name, found in page.attributes if name == "href"
    )
    assert escape.visible(value, 60)[:50].strip() in "".join(page.text)


def test_html_classes_are_ours(hostile: Build, value: str) -> None:
    page = Page(html.render(hostile(value)))
    used = {word for name, found in page.attributes if name == "class" for word in found.split()}
    known = set(re.findall(r"\.([a-z][a-z-]*)", html.style())) | {"rules", "roles", "plot"}
    assert used <= known


def test_terminal_gets_no_control_character(hostile: Build, value: str) -> None:
    plain = text.render(hostile(value), report_path=value)
    painted = text.render(hostile(value), report_path=value, colour=True)
    assert re.sub(r"\x1b\[\d+m", "", painted) == plain
    for char in plain.replace("\n", ""):
        assert unicodedata.category(char)[0] != "C"
    assert plain.rstrip("\n").split("\n")[-1].startswith("auditor: QUARANTINE 214/10000 rows")


def test_markdown_holds_only_our_markup(hostile: Build, report: Report, value: str) -> None:
    source = markdown.render(hostile(value), report_path=value)
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    tokens = parser.parse(source)
    kinds = {token.type for token in tokens}
    inline = {child.type for token in tokens for child in token.children or []}
    assert not kinds & {"html_block", "code_block", "fence", "blockquote_open", "hr"}
    assert inline <= {"text", "text_special", "code_inline", "softbreak"}
    ours = parser.parse(markdown.render(report, report_path="x"))
    for name in ("heading_open", "table_open", "tr_open", "td_open"):
        assert _count(tokens, name) == _count(ours, name)
    assert not any(sign in re.sub(r"`[^`]*`", "", source) for sign in ("://", "www.", "@", "$"))


def _count(tokens: list[Any], name: str) -> int:
    return sum(token.type == name for token in tokens)


def test_junit_is_xml_of_our_elements(hostile: Build, value: str) -> None:
    root = ElementTree.fromstring(junit.render(hostile(value)).encode())
    assert {element.tag for element in root.iter()} <= {
        "testsuites",
        "testsuite",
        "properties",
        "property",
        "testcase",
        "failure",
        "error",
        "skipped",
    }
    for element in root.iter():
        words = [*element.attrib.values(), element.text or ""]
        assert all(len(word) < 50_000 for word in words)


def test_sarif_messages_are_plain_and_places_are_relative(hostile: Build, value: str) -> None:
    run = json.loads(sarif.render(hostile(value)))["runs"][0]
    for result in run["results"]:
        message = result["message"]["text"]
        assert message.isprintable()
        assert "](" not in message
        for location in result["locations"]:
            uri = location["physicalLocation"]["artifactLocation"]["uri"]
            assert urlsplit(uri)[:2] == ("", "")
            assert re.fullmatch(r"(?:[A-Za-z0-9._~/-]|%[0-9A-F]{2})+", uri)


def test_json_is_ascii_and_keeps_the_value(hostile: Build, value: str) -> None:
    report = hostile(value)
    out = report_json.dumps(report)
    assert out.isascii()
    assert "\x1b" not in out
    assert json.loads(out)["findings"][0]["samples"][0]["id"] == value
