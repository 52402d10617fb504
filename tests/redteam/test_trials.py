"""Trials: kept in a file, added up to rates, shown on a page; labels that nobody can predict."""

from __future__ import annotations

import html
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from auditor.batch import Roles
from auditor.curves import CLEAN, Rate, Tried, summary
from auditor.errors import ConfigError
from auditor.formats import html_redteam
from auditor.labels.chance import predictable
from auditor.redteam.pure_noise import ROLES, pure_noise
from auditor.trial_file import TrialFile


def tried(attack: str = "sybil", rows: int = 10, seed: int = 0, **changes: object) -> Tried:
    known = {"verdict": "QUARANTINE", "poison": rows, "honest": 90, "poison_aside": rows}
    return Tried(**{"attack": attack, "rows": rows, "seed": seed, "recall": 1.0} | known | changes)  # type: ignore[arg-type]


def test_what_was_tried_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "trials.jsonl"
    first = TrialFile(path, "d")
    kept = [tried(), tried(seed=1, failed=("AUD-L001: broke",)), tried(CLEAN, 0, recall=None)]
    for one in kept:
        first.add(one)
    assert TrialFile(path, "d").tried == kept


def test_a_line_that_was_cut_off_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    file = TrialFile(path, "d")
    file.add(tried())
    file.add(tried(seed=1))
    path.write_bytes(path.read_bytes()[:-7])
    again = TrialFile(path, "d")
    assert again.tried == [tried()]
    again.add(tried(seed=2))
    assert TrialFile(path, "d").tried == [tried(), tried(seed=2)]


def test_trials_of_other_data_are_not_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    TrialFile(path, "d").add(tried())
    with pytest.raises(ConfigError, match="other data or another configuration"):
        TrialFile(path, "e")
    path.write_bytes(path.read_bytes() + b'{"attack": 3}\n')
    with pytest.raises(ConfigError, match=":3: not a trial"):
        TrialFile(path, "d")


def test_rates_leave_out_what_says_nothing() -> None:
    found = summary(
        [
            tried(CLEAN, 0, verdict="ACCEPT", poison_aside=0, recall=None),
            tried(CLEAN, 0, seed=1, honest_aside=4, poison_aside=0, recall=None),
            tried(),
            tried(seed=1, verdict="ACCEPT", poison_aside=0, recall=0.5),
            tried(seed=2, failed=("AUD-L001: broke",), verdict="HOLD"),
            tried("bias", unavailable="bias needs a slice"),
            tried("denial", unavailable="no room"),
            tried("denial", seed=1),
        ]
    )
    assert found.clean_batches == Rate(hits=1, trials=2)
    assert found.clean_rows == Rate(hits=4, trials=180)
    sybil, denial = found.curves
    assert sybil.points[0].stopped == Rate(hits=1, trials=2)
    assert sybil.points[0].poison == Rate(hits=10, trials=20)
    assert sybil.points[0].recall == pytest.approx(0.75)
    assert denial.points[0].stopped.trials == 1
    assert found.left_out == {"bias": "bias needs a slice"}
    assert found.broken == ("AUD-L001: broke",)


def test_the_page_loads_nothing_and_escapes_names() -> None:
    page = html_redteam.render(
        summary([tried(CLEAN, 0), tried(), tried(rows=20), tried("bias", unavailable="<b>no</b>")]),
        name="<script>alert(1)</script>",
        said=[("trusted", "<i>")],
        notes=["`code` & <u>"],
        made_by="auditor",
    )
    assert "default-src 'none'" in html.unescape(page)
    assert "<script" not in page
    assert "<b>no" not in page
    assert "<u>" not in page
    assert "10 rows, 1 of 1 not accepted; 20 rows, 1 of 1 not accepted" in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("<figure") == 1


@pytest.mark.parametrize("seed", range(3))
def test_labels_of_pure_noise_are_at_chance(seed: int) -> None:
    found = predictable(pure_noise(1200, seed).table, ROLES, seed)
    assert found is not None
    assert found.at_chance
    assert found.auc < 0.6


def test_labels_that_follow_from_the_features_are_not() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 1200))
    table = pa.table({"x": x, "y": y, "label": np.where(x * y > 0, "a", "b")})
    found = predictable(table, Roles({"feature": ("x", "y"), "label": ("label",)}), 0)
    assert found is not None
    assert not found.at_chance  # a linear model would not see it
    assert found.auc > 0.9


def test_without_classes_nothing_is_asked() -> None:
    table = pa.table({"x": [1.0, 2.0], "label": [0.5, 0.25]})
    assert predictable(table, Roles({"feature": ("x",), "label": ("label",)}), 0) is None
    assert predictable(table, Roles({"feature": ("x",)}), 0) is None
