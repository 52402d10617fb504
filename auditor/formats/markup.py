"""HTML and SVG that are safe by construction: a plain `str` is escaped, only `Markup` is not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from auditor.formats import escape

_NAME: Final = re.compile(r"^[A-Za-z][A-Za-z0-9-]*$")
_VOID: Final = frozenset({"meta", "wbr"})


class Markup(str):
    """Text that is markup already. Only this module makes it, and `raw` where it is called."""

    __slots__ = ()


Child = str | Iterable["Child"] | None
Attribute = str | int | float | bool | None


def raw(text: str) -> Markup:
    """Return constant text of this package, such as the style sheet, as markup."""
    return Markup(text)


def clipped(text: str, limit: int) -> Markup:
    """Return hostile text, escaped and at most `limit` characters long."""
    return Markup(escape.html(text, limit))


def breakable(text: str, limit: int) -> Markup:
    """Return a name or path as `clipped` does, with places where a line may end."""
    out = clipped(text, limit)
    return Markup(out.replace("_", "_<wbr>").replace("/", "/<wbr>"))


def join(*children: Child) -> Markup:
    """Return children one after the other; plain strings are escaped and bounded."""
    return Markup("".join(_flat(child) for child in children))


def _flat(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, str):
        return escape.html(child, 2000)
    return "".join(_flat(item) for item in child)


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """Return one element.

    `class_` and `for_` lose their underscore, others turn `_` into `-`; None and False leave an
    attribute out. Names are constants of this package and are refused if they do not look so.
    """
    head = "".join(_attribute(key, value) for key, value in attributes.items())
    if not _NAME.match(name):
        raise ValueError(f"not an element name: {name!r}")
    if name in _VOID:
        return Markup(f"<{name}{head}>")
    return Markup(f"<{name}{head}>{join(*children)}</{name}>")


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if not _NAME.match(name) or name.startswith("on") or name == "style":
        raise ValueError(f"not an attribute that a report may carry: {key!r}")
    # Markup is ours and whole: half a path of a plot would be another plot.
    limit = None if isinstance(value, Markup) else 2000
    return f" {name}" if value is True else f' {name}="{escape.html(str(value), limit)}"'


def table(
    head: list[Child],
    rows: Iterable[Child],
    *,
    caption: str,
    class_: str = "",
    titled: bool = False,
    numbers: Iterable[int] = (),
) -> Markup:
    """Return a table in a container that scrolls by itself; `rows` are `tr` elements.

    The caption is for those who hear the page, and with `titled` for those who see it too. The
    heads at the positions `numbers` are aligned as numbers.
    """
    right = set(numbers)
    cells = [
        tag("th", cell, scope="col", class_="n" if at in right else None)
        for at, cell in enumerate(head)
    ]
    inner = tag(
        "table",
        tag("caption", caption, class_=None if titled else "heard"),
        tag("thead", tag("tr", *cells)),
        tag("tbody", list(rows)),
        class_=class_ or None,
    )
    return tag("div", inner, class_="scroll", tabindex=0, role="region", aria_label=caption)


def row(*cells: Child, numbers: Iterable[int] = (), class_: str | None = None) -> Markup:
    """Return a table row; the cells at the positions `numbers` are aligned as numbers."""
    right = set(numbers)
    items = [tag("td", cell, class_="n" if at in right else None) for at, cell in enumerate(cells)]
    return tag("tr", *items, class_=class_)


def facts(pairs: Iterable[tuple[str, Child]]) -> Markup:
    """Return a list of name and value."""
    items = [tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs]
    return tag("dl", *items, class_="facts") if items else Markup("")
