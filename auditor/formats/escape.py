"""The one place that makes hostile text safe to show.

`visible` comes first in every function: control, bidirectional and invisible characters become
something a reader can see, and the length is bounded. What follows is the syntax of the target.
"""

from __future__ import annotations

import re
from html import escape as _escape_markup
from typing import Final
from unicodedata import combining as _combining

#: Characters of a cell that a report shows before it says "…".
CELL: Final = 200
ELLIPSIS: Final = "\u2026"

# Printable for Unicode, but nothing a reader can see: fillers, joiners, variation selectors.
_BLANK: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, range(0xFE00, 0xFE10)))
    + "".join(map(chr, range(0xE0100, 0xE01F0)))
)
_STACK: Final = 4  # combining marks on one letter; more than that only serves to paint over others

# What GitHub turns into links, mentions or formulas after rendering cannot be escaped there, so a
# look-alike stands in: fullwidth @ # $, division slashes, a one-dot leader.
_LOOKALIKE: Final = (
    (re.compile(r"://"), ":\u2215\u2215"),
    (re.compile(r"(?i)(www)\."), "\\1\u2024"),
)
_FULLWIDTH: Final = str.maketrans({"@": "\uff20", "#": "\uff03", "$": "\uff04"})
_MARKUP: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_PUNCTUATION: Final = re.compile(r"([\\`*_\[\]{}|~!])")
_LINE_START: Final = re.compile(r"^(\d*)([-+=.):])")
_CODE: Final = str.maketrans({"`": "\u02cb", "|": "\u00a6"})

# Excel and LibreOffice also read the fullwidth forms as the start of a formula.
_FORMULA: Final = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def visible(text: str, limit: int | None = CELL) -> str:
    """Return one line of at most `limit` characters in which nothing is hidden.

    C0 controls become their pictures (NUL is U+2400), other characters that cannot be printed
    become their code point in angle brackets. `limit=None` does not shorten.
    """
    head = text if limit is None else text[:limit]
    if not head.isprintable() or not head.isascii():
        head = _shown(head)
    if limit is None or (len(text) <= limit and len(head) <= limit):
        return head
    return head[: max(limit - 1, 0)] + ELLIPSIS


def _shown(text: str) -> str:
    """Replace what cannot be seen, and marks that pile up on one letter."""
    if text.isprintable() and _BLANK.isdisjoint(text) and not any(map(_combining, text)):
        return text
    out: list[str] = []
    marks = 0
    for char in text:
        marks = marks + 1 if _combining(char) else 0
        hidden = not char.isprintable() or char in _BLANK or marks > _STACK
        out.append(_picture(char) if hidden else char)
    return "".join(out)


def _picture(char: str) -> str:
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"\u27e8U+{code:04X}\u27e9"


def terminal(text: str, limit: int | None = CELL) -> str:
    """Return text that no terminal obeys: no control, bidirectional or zero-width characters."""
    return visible(text, limit)


def html(text: str, limit: int | None = CELL) -> str:
    """Return text for HTML, safe as content and inside a quoted attribute."""
    return _escape_markup(visible(text, limit), quote=True)


def xml(text: str, limit: int | None = CELL) -> str:
    """Return text with legal XML 1.0 characters only; the serialiser still quotes `&` and `<`."""
    return visible(text, limit)


def markdown(text: str, limit: int | None = CELL, *, start: bool = True) -> str:
    """Return prose for one line or table cell of GitHub-flavoured Markdown: no markup, no links.

    `start`: the text may come first in its line, where more characters are syntax.
    """
    out = visible(text, limit).strip().translate(_FULLWIDTH)
    for pattern, instead in _LOOKALIKE:
        out = pattern.sub(instead, out)
    out = _PUNCTUATION.sub(r"\\\1", out).translate(_MARKUP)
    return _LINE_START.sub(r"\1\\\2", out) if start else out


def markdown_code(text: str, limit: int | None = CELL) -> str:
    """Return text as a code span, which renderers leave alone; backticks and pipes look alike."""
    out = visible(text, limit).translate(_CODE).strip()
    return f"`{out}`" if out else ""


def sarif(text: str, limit: int | None = 1000) -> str:
    """Return a SARIF message string (3.11.5, 3.11.6): no placeholder, no embedded link."""
    out = visible(text, limit).replace("](", "] (")
    return out.replace("{", "{{").replace("}", "}}")


def csv_cell(text: str, limit: int | None = CELL) -> str:
    """Return a quoted CSV cell (RFC 4180) that a spreadsheet does not take for a formula."""
    shown = visible(text, limit)
    guarded = "'" + shown if text.lstrip(" ").startswith(_FORMULA) else shown
    return '"' + guarded.replace('"', '""') + '"'


def csv_row(cells: list[str], limit: int | None = CELL) -> str:
    """Return one CSV record with its line end (RFC 4180)."""
    return ",".join(csv_cell(cell, limit) for cell in cells) + "\r\n"
