"""The picture of the trials: a file by itself that says what it shows."""

from __future__ import annotations

import math
from typing import Any
from xml.etree import ElementTree

import pytest

from bench.detection.figure import LINES, figure

SVG = "{http://www.w3.org/2000/svg}"


def record(attack: str, size: float, verdict: str, aside: int, recall: float) -> dict[str, Any]:
    return {
        "attack": attack, "size": size, "verdict": verdict, "poison": 10,
        "poison_quarantined": aside, "recall": recall,
    }  # fmt: skip


def test_a_panel_for_each_attack_and_a_dot_for_each_mean() -> None:
    records = [
        record("backdoor", 10.0, "ACCEPT", 0, 0.5),
        record("backdoor", 10.0, "QUARANTINE", 10, math.nan),
        record("backdoor", 50.0, "QUARANTINE", 10, 1.0),
        record("<flip>", 0.05, "ACCEPT", 0, 0.0),
        record("clean", 0.0, "ACCEPT", 0, math.nan) | {"poison": 0},
        {"attack": "sybil", "unavailable": "no room"},
    ]
    root = ElementTree.fromstring(figure(records, "two sets & one seed"))
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert [t for t in texts if t in ("backdoor", "<flip>", "clean", "sybil")] == [
        "backdoor",
        "<flip>",
    ]
    assert {"10", "50", "5%", "two sets & one seed"} <= set(texts)
    dots = [dot for dot in root.iter(f"{SVG}circle") if dot.get("class") == "stopped"]
    heights = [float(str(dot.get("cy"))) for dot in dots]
    assert len(dots) == 3
    # One of two stopped lies half-way between none and all of them.
    assert heights[0] == pytest.approx((heights[1] + heights[2]) / 2)
    assert {name for name, _ in LINES} <= {str(p.get("class")) for p in root.iter(f"{SVG}path")}


def test_nothing_planted_is_no_picture() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        figure([record("clean", 0.0, "ACCEPT", 0, math.nan) | {"poison": 0}], "nothing")
