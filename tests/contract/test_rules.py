"""What every rule has: an id of its own, options with defaults, a page in the reference."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from auditor.context import Detector
from auditor.detectors import EVERY
from auditor.model import ATTACKS, STATISTICAL

PAGES = Path(__file__).resolve().parents[2] / "docs" / "reference" / "rules"


@pytest.fixture(params=EVERY, ids=[d.rule.id for d in EVERY])
def detector(request: pytest.FixtureRequest) -> type[Detector]:
    """Those of every profile."""
    found: type[Detector] = request.param
    return found


def test_no_id_occurs_twice() -> None:
    ids = [d.rule.id for d in EVERY]
    assert len(set(ids)) == len(ids)


def test_the_id_has_the_usual_form(detector: type[Detector]) -> None:
    assert re.fullmatch(r"AUD-[A-Z]\d{3}", detector.rule.id)


def test_the_attacks_are_known(detector: type[Detector]) -> None:
    assert detector.rule.attacks
    assert set(detector.rule.attacks) <= set(ATTACKS)


def test_options_are_frozen_and_have_defaults(detector: type[Detector]) -> None:
    assert dataclasses.is_dataclass(detector.options)
    assert detector.options.__dataclass_params__.frozen
    assert detector.options() == detector.options()


def test_statistical_rules_name_a_source(detector: type[Detector]) -> None:
    if detector.rule.family in STATISTICAL:
        assert detector.rule.references


def test_the_module_says_what_it_sees_and_misses(detector: type[Detector]) -> None:
    doc = __import__(detector.__module__, fromlist=["__doc__"]).__doc__ or ""
    assert "Misses" in doc


def test_the_rule_has_a_page_in_the_reference(detector: type[Detector]) -> None:
    page = PAGES / f"{detector.rule.id}.md"
    assert page.is_file(), f"{page.name} is missing"
    assert detector.rule.title in page.read_text("utf-8")
