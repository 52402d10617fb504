"""The HTML report: one file, no network, no script, at most 2 MB whatever the batch.

The content security policy allows nothing but the one style sheet, by its digest (CSP level 3), so
even markup that slipped through could load, run or send nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final

from auditor.formats import html_findings, html_overview, html_plots, html_record, wording
from auditor.formats.limits import Limits
from auditor.formats.markup import Markup, join, raw, tag
from auditor.formats.samples import without_values
from auditor.report_records import Report

#: Bytes that the file never exceeds.
LARGEST: Final = 2_000_000
#: Tried in turn until the page is small enough; the last one is for reports made to be large.
_TIERS: Final = (
    Limits(),
    Limits(samples=5, neighbours=2, columns=16, cell=80, items=100, points=2000),
    Limits(findings=40, detailed=10, samples=3, neighbours=1, columns=8, items=50, points=1000),
    Limits(findings=20, detailed=0, cell=60, items=20, text=4000, points=500),
)
_TITLES: Final = (
    ("next", "What to do next"),
    ("ran", "What ran"),
    ("missed", "What this audit could have missed"),
    ("measured", "Self-measurement"),
    ("findings", "Findings"),
    ("plots", "Plots"),
    ("provenance", "Provenance"),
    ("files", "Files and columns"),
    ("reproduce", "Reproduce"),
)


def render(report: Report, *, no_samples: bool = False) -> str:
    """Return the page. `no_samples` leaves the values of cells out.

    Raises:
        ValueError: the page cannot be made small enough, a mistake in the limits above.
    """
    shown = without_values(report) if no_samples else report
    for limits in _TIERS:
        page = _page(shown, limits)
        if len(page.encode("utf-8", "replace")) <= LARGEST:
            return page
    raise ValueError(f"the report does not fit {LARGEST} bytes")


@cache
def style() -> str:
    """Return the style sheet."""
    return files("auditor.formats").joinpath("report.css").read_text(encoding="utf-8")


def policy() -> str:
    """Return the content security policy of the page."""
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _page(report: Report, limits: Limits) -> str:
    title = f"{wording.verdict(report)} \u00b7 {report.batch_name} \u00b7 auditor"
    kind = f"verdict-{wording.verdict(report).lower()}"
    return page(title, (("main", "Verdict"), *_TITLES), _main(report, limits), class_=kind)


def page(title: str, contents: Sequence[tuple[str, str]], main: Markup, *, class_: str) -> str:
    """Return a page of our kind: `contents` are (anchor, title), `main` is the element `#main`."""
    body = tag(
        "body",
        tag("a", "Skip to the report", href="#main", class_="skip"),
        tag("div", _contents(contents), main, class_="frame"),
        class_=class_,
    )
    return "<!doctype html>\n" + tag("html", _head(title), body, lang="en") + "\n"


def _head(title: str) -> Markup:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy()),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="robots", content="noindex"),
        tag("title", title),
        tag("style", raw(style())),
    )


def _contents(titles: Sequence[tuple[str, str]]) -> Markup:
    items = [tag("li", tag("a", title, href=f"#{name}")) for name, title in titles]
    return tag("nav", tag("ol", *items), aria_label="Contents", class_="contents")


def _main(report: Report, limits: Limits) -> Markup:
    bodies = (
        html_overview.next_steps(report),
        html_overview.ran(report, limits),
        html_overview.missed(report, limits),
        html_overview.measured(report, limits),
        html_findings.section(report, limits),
        html_plots.section(report, limits),
        html_record.provenance(report, limits),
        html_record.inputs(report, limits),
        html_record.reproduce(report, limits),
    )
    sections = [
        tag("section", tag("h2", title, id=name), body, aria_labelledby=name)
        for (name, title), body in zip(_TITLES, bodies, strict=True)
        if body
    ]
    return tag("main", html_overview.verdict(report), join(sections), _foot(report), id="main")


def _foot(report: Report) -> Markup:
    line = f"Made by auditor {report.auditor}, run {report.run}, {report.created_at}."
    return tag("footer", tag("p", line), class_="foot")
