"""`escape` on its own: what is hidden becomes visible, what is syntax becomes text."""

from __future__ import annotations

import csv
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from auditor.formats import escape
from auditor.formats.markup import Markup, join, tag

ANY = st.text(alphabet=st.characters(), max_size=60)
SYNTAX = st.text(alphabet="<>&\"'`|*_[](){}!#~\\@:/.-+=$ \n\t\x00\x1bw1ahtps", max_size=40)
TEXTS = ANY | SYNTAX


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x00b", "a\u2400b"),
        ("a\x1b[31mb", "a\u241b[31mb"),
        ("a\nb\tc\rd", "a\u240ab\u2409c\u240dd"),
        ("\x7f", "\u2421"),
        ("\x9b31m", "\u27e8U+009B\u27e931m"),
        ("\u202egpj.exe", "\u27e8U+202E\u27e9gpj.exe"),
        ("zero\u200bwidth", "zero\u27e8U+200B\u27e9width"),
        ("\ufe0f", "\u27e8U+FE0F\u27e9"),
        ("\u3164", "\u27e8U+3164\u27e9"),
        ("\ud800", "\u27e8U+D800\u27e9"),
        ("\ue000", "\u27e8U+E000\u27e9"),
        ("Gr\u00f6\u00dfe \u4e2d\u6587", "Gr\u00f6\u00dfe \u4e2d\u6587"),
    ],
)
def test_hidden_characters_become_visible(text: str, shown: str) -> None:
    assert escape.visible(text) == shown


@given(TEXTS, st.integers(1, 50))
def test_visible_is_one_bounded_printable_line(text: str, limit: int) -> None:
    shown = escape.visible(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()
    assert escape.visible(text, None).isprintable()


def test_a_long_cell_is_cut_and_says_so() -> None:
    shown = escape.visible("A" * 1_000_000)
    assert len(shown) == escape.CELL
    assert shown.endswith("\u2026")
    assert escape.visible("A" * escape.CELL) == "A" * escape.CELL


def test_marks_do_not_pile_up() -> None:
    shown = escape.visible("e" + "\u0301" * 100)
    assert sum(unicodedata.combining(char) > 0 for char in shown) < 10


@given(TEXTS)
def test_html_has_no_syntax_left(text: str) -> None:
    assert not set(escape.html(text)) & set("<>\"'")


@given(TEXTS)
def test_plain_strings_in_markup_are_escaped(text: str) -> None:
    made = tag("p", text, class_=text or "x")
    assert made.count("<") == 2
    assert made.count('"') == 2


def test_markup_is_not_escaped_twice_and_str_is_not_markup() -> None:
    assert join(tag("b", "x"), "<b>") == "<b>x</b>&lt;b&gt;"
    assert not isinstance(tag("b", "x") + "<i>", Markup)


@pytest.mark.parametrize("name", ["onclick", "style", "on_load", "a b"])
def test_attributes_that_could_run_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="attribute"):
        tag("p", **{name: "x"})


@given(TEXTS)
def test_markdown_renders_as_one_paragraph_of_text(text: str) -> None:
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough")
    blocks = tokens.parse(escape.markdown(text))
    assert [token.type for token in blocks] in (
        [],
        ["paragraph_open", "inline", "paragraph_close"],
    )
    kinds = {child.type for token in blocks for child in token.children or []}
    assert kinds <= {"text", "text_special"}


@given(TEXTS)
def test_markdown_gives_the_text_back(text: str) -> None:
    blocks = MarkdownIt("commonmark").parse(escape.markdown(text, None))
    shown = "".join(child.content for token in blocks for child in token.children or [])
    back = shown.replace("\uff20", "@").replace("\uff03", "#").replace("\uff04", "$")
    back = back.replace("\u2215", "/").replace("\u2024", ".")
    same = escape.visible(text, None).strip().replace("\uff20", "@").replace("\uff03", "#")
    assert back == same.replace("\uff04", "$").replace("\u2215", "/").replace("\u2024", ".")


@given(TEXTS)
def test_markdown_code_is_one_code_span_in_one_cell(text: str) -> None:
    out = escape.markdown_code(text)
    blocks = MarkdownIt("commonmark", {"html": True}).parse(out)
    kinds = [child.type for token in blocks for child in token.children or []]
    assert kinds == (["code_inline"] if out else [])
    assert "|" not in out


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_csv_comes_back_as_one_row_without_formulas(cells: list[str]) -> None:
    rows = list(csv.reader([escape.csv_row(cells)], strict=True))
    assert len(rows) == 1
    assert len(rows[0]) == len(cells)
    assert not any(cell.startswith(tuple("=+-@\t\r\n")) for cell in rows[0])


@pytest.mark.parametrize(
    "text", ["=cmd()", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "\uff1d1"]
)
def test_csv_guards_formulas_with_an_apostrophe(text: str) -> None:
    assert escape.csv_cell(text).startswith("\"'")


@pytest.mark.parametrize("text", ["A-1", "N12A1", "1=1", ""])
def test_csv_leaves_ordinary_ids_alone(text: str) -> None:
    assert escape.csv_cell(text) == f'"{text}"'


@given(TEXTS)
def test_sarif_text_has_no_placeholder_and_no_link(text: str) -> None:
    out = escape.sarif(text)
    assert "](" not in out
    assert "{" not in out.replace("{{", "")
    assert "}" not in out.replace("}}", "")
