"""Weights cost nothing where there are none to give, and the table counts what they did."""

from __future__ import annotations

import numpy as np
import pytest

from bench.detection.cases import bundled, cut
from bench.detection.harm import hold_out, trained
from bench.detection.trials import gate_for
from bench.detection.trimmed import measure, print_table

pytestmark = pytest.mark.slow


def test_a_weight_of_0_is_a_row_less_to_a_linear_model() -> None:
    name, table = next(bundled())
    case = cut(name, table, seed=0)
    kept, held = hold_out(case.batch, 0)
    used = np.ones(kept.num_rows, dtype=bool)
    half = (np.arange(kept.num_rows) % 2).astype(np.float32)
    with_half = trained(case, kept, used, held, "logistic", weights=half)
    without = trained(case, kept, half > 0, held, "logistic")
    assert with_half.accuracy == pytest.approx(without.accuracy, abs=0.03)
    nothing = trained(case, kept, used, held, "logistic", weights=used.astype(np.float32))
    assert nothing == trained(case, kept, used, held, "logistic")


def test_flips_that_nobody_set_aside_lose_their_weight(capsys: pytest.CaptureFixture[str]) -> None:
    name, table = next(bundled())
    case = cut(name, table, seed=0)
    found = measure(case, "random-flip-spread", gate_for(case), 0)
    for record in found:
        assert record["hit 0.1"] >= record["hit 0.02"]
        assert record["zero 0.02"] <= 0.02 * case.batch.num_rows
        assert record["hit 0.1"] > 0.5 * record["poison"]
    print_table([{"set": name, "seed": 0, "attack": "random-flip-spread", **r} for r in found])
    out = capsys.readouterr().out
    assert [line.split()[:3] for line in out.splitlines()[1:]] == [
        ["random-flip-spread", r["model"], "1"] for r in found
    ]
