"""The HTML report: its policy, its order, its reach, its size."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from auditor.formats import html, wording
from auditor.model import Verdict
from auditor.report_records import Charts, MapPoint, Report

ORDER = (
    "Verdict",
    "What to do next",
    "What ran",
    "What this audit could have missed",
    "Self-measurement",
    "Findings",
    "Plots",
    "Provenance",
    "Files and columns",
    "Reproduce",
)


def headings(page: str, level: int) -> list[str]:
    found = re.findall(rf"<h{level}[^>]*>(.*?)</h{level}>", page)
    return [re.sub(r"<[^>]*>", "", heading).strip() for heading in found]


def test_policy_allows_the_one_style_sheet_and_nothing_else(report: Report) -> None:
    page = html.render(report)
    styles = re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(styles[0].encode()).digest()).decode()
    assert len(styles) == 1
    assert f"default-src &#x27;none&#x27;; style-src &#x27;sha256-{digest}&#x27;" in page
    assert "unsafe-inline" not in page
    assert page.index("Content-Security-Policy") < page.index("<style>")


def test_nothing_is_loaded_and_nothing_runs(report: Report) -> None:
    page = html.render(report)
    assert not re.search(r"<(script|link|img|iframe|object|form|base)\b", page)
    assert not re.search(r"\b(src|srcset|style|on[a-z]+)=", page)
    assert not re.search(r"https?://|url\(|@import|@font-face", page)


def test_sections_come_in_the_order_of_the_questions(report: Report) -> None:
    page = html.render(report)
    assert headings(page, 1) == ["QUARANTINE"]
    assert headings(page, 2) == list(ORDER[1:])
    links = re.findall(r'<li><a href="#(\w+)">(.*?)</a>', page)
    assert [title for _, title in links] == list(ORDER)
    ids = re.findall(r' id="(\w+)"', page)
    assert len(ids) == len(set(ids))
    assert {target for target, _ in links} <= set(ids)


def test_headings_do_not_skip_a_level(report: Report) -> None:
    levels = [int(level) for level in re.findall(r"<h(\d)", html.render(report))]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


@pytest.mark.parametrize("verdict", list(Verdict))
def test_the_verdict_is_said_in_word_icon_and_colour(report: Report, verdict: Verdict) -> None:
    page = html.render(replace(report, verdict=verdict))
    assert f'<body class="verdict-{verdict.lower()}">' in page
    assert re.search(rf"<h1><svg .*?</svg><span>{verdict}</span></h1>", page)


def test_a_word_that_is_no_verdict_counts_as_hold(report: Report) -> None:
    assert headings(html.render(replace(report, verdict="FINE")), 1) == ["HOLD"]


def test_skipped_and_failed_rules_come_first_with_their_reason(report: Report) -> None:
    rules = (*report.rules, replace(report.rules[0], id="AUD-X", status="failed", reason="broke"))
    page = html.render(replace(report, rules=rules))
    table = page[page.index('id="ran"') : page.index('id="missed"')]
    places = [table.index(word) for word in ("broke", "no manifest to compare", "AUD-L001")]
    assert places == sorted(places)


def test_what_was_not_looked_for_is_named_with_its_meaning(report: Report) -> None:
    page = html.render(report)
    part = page[page.index('id="missed"') : page.index('id="findings"')]
    assert "Not looked for: 5 attacks" in part
    assert "a rare combination of values paired with the attacker&#x27;s label" in part
    assert "0.06 % of rows" in part


def test_what_could_not_be_judged_is_no_longer_said_to_be_covered(report: Report) -> None:
    covered = len(wording.covered(report))
    assert f"Looked for: {covered} attacks" in html.render(report)
    page = html.render(replace(report, not_judged=("label-flip",)))
    part = page[page.index('id="missed"') : page.index('id="findings"')]
    assert "Looked for, but not judged without a baseline: 1 attack<" in part
    assert f"Looked for: {covered - 1} attacks" in part
    assert part.count("labels changed at random") == 1


def test_a_row_stands_above_its_neighbours_and_what_differs_is_marked(report: Report) -> None:
    page = html.render(report)
    row = re.search(r"<tr><th scope=\"row\" class=\"n\">104</th>.*?</tr>", page)
    assert row is not None
    assert "<mark>Gentoo</mark>" in row.group()
    assert "<mark>Torgersen</mark>" not in row.group()
    assert page[row.end() :].startswith('<tr class="near">')
    assert "191 of 412 rows set aside in this batch" in page
    assert re.search(r"172 more rows in <code>findings.parquet</code>", page)


def test_plots_have_a_text_alternative(report: Report) -> None:
    for figure in re.findall(r"<svg [^>]*>(?:<title>.*?</title>)?", html.render(report)):
        named = 'role="img"' in figure and "<title>" in figure
        assert named or 'aria-hidden="true"' in figure


def test_a_report_without_anything_still_says_so(report: Report) -> None:
    bare = replace(
        report, findings=(), charts=Charts(), baseline=None, provenance={}, rules=(), roles=(),
        reasons=(), next_steps=(), not_covered=(), columns=(), files=(), settings={}, reproduce={},
        rows_in=0, rows_published=0, rows_quarantined=0,
    )  # fmt: skip
    page = html.render(bare)
    for sentence in (
        "No rule found anything",
        "No baseline",
        "Nothing needs to be done",
        "No plot",
    ):
        assert sentence in page


@pytest.mark.parametrize("text", ["x" * 300, '<"&\u202e' * 80, "\U0001f427" * 300], ids=str.__len__)
def test_the_page_stays_small(enormous: Callable[[str], Report], text: str) -> None:
    page = html.render(enormous(text))
    size = len(page.encode())
    assert size <= html.LARGEST
    assert "more findings in" in page
    assert headings(page, 2) == list(ORDER[1:])


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_is_readable_in_light_dark_and_print() -> None:
    schemes = re.findall(r":root \{(.*?)\}", html.style(), flags=re.DOTALL)
    assert len(schemes) == 3
    for scheme in schemes:
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", scheme))
        for ink in ("ink", "soft", "green", "amber", "red", "blue"):
            for paper in ("paper", "sheet"):
                assert contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)
        assert contrast(colours["ink"], colours["glow"]) >= 4.5
        for accent in ("green", "amber", "red", "blue", "mark"):
            assert contrast(colours[accent], colours["track"]) >= 3.0, accent


def test_a_map_shows_every_point(report: Report) -> None:
    """Two thousand characters of a path would be a quarter of the map under a caption of all."""
    points = tuple(MapPoint(x=at, y=-at, quarantined=at % 2 == 1) for at in range(900))
    charts = replace(report.charts, map=points)
    page = html.render(replace(report, charts=charts))
    dots, crosses = (
        re.findall(rf'<path d="([^"]*)" class="{name}"', page) for name in ("dots", "hots")
    )
    assert "h0" in "".join(dots)
    assert max(path.count("h0") for path in dots) == 450
    assert max(path.count("8m0-8l") for path in crosses) == 450
