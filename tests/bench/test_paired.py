from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from bench.detection.paired import lower_bound, paired, print_paired


def _record(recall: float, *peers: float, seed: int = 0) -> dict[str, Any]:
    return {
        "set": "s",
        "seed": seed,
        "condition": "alike",
        "attack": "backdoor",
        "size": 0.05,
        "recall": recall,
        "peers": {f"p{i}": {"recall": value} for i, value in enumerate(peers)},
    }


def test_the_bound_is_students() -> None:
    # Mean .2, deviation .1, three pairs; the 95 % quantile of t with two degrees is 2.919986.
    expected = 0.2 - 2.919986 * 0.1 / math.sqrt(3)
    assert lower_bound(np.array([0.1, 0.2, 0.3])) == pytest.approx(expected, abs=1e-6)


def test_each_pair_has_its_own_best_peer() -> None:
    found = paired([_record(0.5, 0.4, 0.1), _record(0.5, 0.2, 0.9)])
    assert found.best.tolist() == [0.4, 0.9]


def test_a_failed_peer_is_not_a_peer_that_found_nothing() -> None:
    found = paired([_record(0.5, math.nan, -1.0), _record(0.5, math.nan)])
    assert found.best.tolist() == [-1.0]
    assert found.left_out == 1


@pytest.mark.parametrize(
    ("records", "verdict"),
    [
        ([_record(0.9, 0.1)], "unknown"),
        ([_record(0.9, 0.1), _record(0.8, 0.1)], "yes"),
        ([_record(0.5, 0.51), _record(0.5, 0.51)], "yes"),
        ([_record(0.5, 0.53), _record(0.5, 0.53)], "not shown"),
        # On average better, but by chance.
        ([_record(0.9, 0.1), _record(0.1, 0.2)], "not shown"),
        ([], "unknown"),
    ],
)
def test_beats_or_ties(records: list[dict[str, Any]], verdict: str) -> None:
    assert paired(records).verdict == verdict


def test_the_table_counts_pairs_and_those_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    records = [_record(0.9, 0.1), _record(0.8, 0.1), _record(0.8, math.nan)]
    print_paired(json.loads(json.dumps(records)))
    line = capsys.readouterr().out.splitlines()[-1].split()
    assert line[:4] == ["backdoor", "0.05", "2", "1"]
    assert line[-1] == "yes"
